"""What `jaxuq tag` can be told."""

import dataclasses
import pathlib
from typing import Annotated, Any, Literal

from jaxuq._errors import OptionError
from jaxuq.study.crew import CrewOptions
from jaxuq.study.options import from_packages, options_of

APPLIED = ("apply", "formats", "recall", "precision", "delta", "calibrate")
"""Options of labelling with a saved model, which change no fit."""
_ROUNDS = ("active", "start", "acquire", "acquisition")
_LABEL_MODELS = "majority-vote,snorkel,dawid-skene,hmm,best-consensus"


@dataclasses.dataclass(frozen=True)
class TaggingConfiguration(CrewOptions):
    """Label tokens by several labelling functions: jaxuq tag --data NCBI-Disease --model majority-vote,hmm."""

    data: tuple[str, ...]
    """Data sets: folders with meta.json and train, valid, test.json, or their names below JAXUQ_DATA/ner_weak; folders
    with train, valid and test in columns, or one file of columns (.conll, .tsv, .bio, .iob2), with --gold or --columns;
    files of Prodigy (.jsonl), Label Studio (.json) or spaCy (.spacy), or of text (.txt), one sentence a line, words
    separated by blanks. Without a valid part a fifth of what is fitted to is held out to choose epochs by."""

    model: Annotated[str, from_packages("jaxuq.label_models")] = _LABEL_MODELS
    """Label models, separated by commas: majority-vote, snorkel, dawid-skene, ibcc, ebcc, flying-squid, hmm, chmm,
    sparse-chmm, connet; with gold access best-consensus, chmm-fixed-emissions, supervised, fine-tuned. With --active by
    default supervised."""

    embeddings: str = "minilm"
    """Encoder of the words for the neural models: minilm, mpnet (five times as large), or a folder with a BERT, RoBERTa
    or MPNet in safetensors."""

    sentence_vector: Literal["mean", "cls"] = "mean"
    """The vector of a sentence, which Sparse-CHMM and ConNet read: the mean of its words', or the encoder's first token
    (CLS), as published for BERT. MiniLM and MPNet were trained to be averaged."""

    seeds: int = 5
    """Runs of every model that draws random numbers; those that draw none run once."""

    output: pathlib.Path | None = None
    """The result folder; by default runs/tag-<first data set>."""

    settings: Literal["default", "published"] = "default"
    """Options of the neural models: the library's, or those published for each data set (much longer schedules)."""

    epochs: int | None = None
    """Most epochs of a stage of training; by default what the settings say."""

    batch_size: int | None = None
    """Sentences of a training step; by default what the settings say."""

    selection: Literal["f1", "likelihood"] = "f1"
    """How the best epoch is chosen on the validation part: F1 against its gold labels, as published, or the likelihood,
    which needs none. Without gold labels there it is the likelihood."""

    functions: str = "recommended"
    """Labelling functions, separated by commas: recommended (those that meta.json or the columns give) or all, and
    files of your own: mine.py, which is run, or rules.toml with gazetteers and regular expressions. Files alone replace
    those of the data; recommended,mine.py adds to them."""

    gold: Literal["last", "none"] | None = None
    """Of files of columns without names, which do not say it: the last column of tags holds the right ones, or it is
    one more labelling function. Of annotations: they are the right ones (the default), or a labelling function."""

    columns: tuple[str, ...] | None = None
    """Of files of columns: what each is, such as token pos chunk gold; names like pos, chunk or - are left out, and any
    other name is the labelling function of that name."""

    outside: Literal["abstain", "votes"] = "abstain"
    """What a function's O means at a token where another function marks an entity: nothing, or a vote for O."""

    tagger: bool = False
    """Train a tagger (linear layer and CRF on the frozen vectors) on the soft labels of every label model besides; it
    appears as <model>+tagger."""

    fine_tune: bool = False
    """As --tagger, with the whole encoder trained besides (hours on two cores; an interrupted training goes on); it
    appears as <model>+fine-tuned, and its encoder lies in models/ as a folder that --embeddings takes."""

    alternate: int = 0
    """Rounds of CHMM-ALT: the tagger becomes a labelling function of the label model, which then teaches it again."""

    ablations: bool = False
    """Run the ablations of Sparse-CHMM (Table 4.4 of the dissertation) instead of --model."""

    active: int = 0
    """Active learning in so many rounds instead of label models side by side: a tagger learns from few right labels,
    more are bought where it is unsure, and it is trained anew. --model supervised starts with sentences drawn at
    random, a label model with what it says and no right label at all. Rehearsed on text with gold labels; epochs are
    never chosen by labels that were not bought."""

    start: int = 2000
    """Active learning: tokens of the first sentences that get right labels; cost is counted in tokens."""

    acquire: int = 2000
    """Active learning: tokens that each round adds."""

    acquisition: str = "mnlp,random"
    """Active learning: which sentences: mnlp (least likely best labelling, a token), entropy (of the whole labelling, a
    token), bald (five taggers disagree on the labelling), random; several with commas between."""

    part: Literal["train", "valid", "test"] = "test"
    """The part of the data that is labelled and, if it has gold labels, scored."""

    formats: tuple[Literal["prodigy", "label-studio"], ...] = ()
    """With --apply: further files of what is found: prodigy.jsonl, label-studio.json."""

    apply: pathlib.Path | None = None
    """A saved model, such as runs/ncbi/models/NCBI-Disease/hmm/seed-0: label --data with it instead of fitting."""

    recall: float | None = None
    """With --apply: keep the spans of which this share of the right ones of each type is there, on average over new
    texts (conformal risk control); spans may then overlap."""

    precision: float | None = None
    """With --apply: keep the spans of which this share is right, on average over new texts (learn then test)."""

    delta: float = 0.1
    """The chance that a promised precision does not hold."""

    calibrate: str | None = None
    """Where texts with gold labels are that --recall or --precision learn from, and that the model was not fitted to:
    train, valid or test, another part of --data, or a data set or file like --data. By default half of the sentences of
    --data, which are then not labelled."""

    resume: bool = True
    """Go on with an interrupted run in the same folder."""

    def cell_options(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The options that the numbers of one model with one seed follow from, besides data and encoder; defaults."""
        known = options_of(self, left_out=("data", "model", "embeddings", "seeds", *_ROUNDS, *APPLIED))
        return dict(known.configuration), dict(known.defaults)

    def models(self) -> list[str]:
        """The names in `model`, each once."""
        named = "supervised" if self.active and self.model == _LABEL_MODELS else self.model
        return list(dict.fromkeys(name.strip() for name in named.split(",") if name.strip()))

    def acquisitions(self) -> list[str]:
        """How active learning chooses.

        Raises:
            OptionError: an unknown name.
        """
        from jaxuq.tagging.committee import SCORES

        named, known = [name.strip() for name in self.acquisition.split(",") if name.strip()], (*SCORES, "random")
        if not named or not set(named) <= set(known):
            raise OptionError(f"--acquisition is {self.acquisition!r}; expected some of {', '.join(known)}")
        return list(dict.fromkeys(named))

    def own_functions(self) -> Literal["recommended", "all", "none"]:
        """Which of the data's labelling functions are wanted."""
        named = self._functions()
        others = [name for name in named if name not in ("recommended", "all") and not name.endswith((".py", ".toml"))]
        if others or not named:
            raise OptionError(
                f"--functions is {self.functions!r}: expected recommended or all, and files that end in .py or .toml"
            )
        return "all" if "all" in named else "recommended" if "recommended" in named else "none"

    def function_files(self) -> list[pathlib.Path]:
        """Files of further labelling functions."""
        return [pathlib.Path(name) for name in self._functions() if name.endswith((".py", ".toml"))]

    def _functions(self) -> list[str]:
        return [name.strip() for name in self.functions.split(",") if name.strip()]

    def folder(self) -> pathlib.Path:
        """Where results go."""
        ending = "-active" if self.active else ""
        return self.output or pathlib.Path("runs") / f"tag-{pathlib.Path(self.data[0]).name.lower()}{ending}"
