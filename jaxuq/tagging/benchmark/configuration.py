"""What `jaxuq tag` can be told."""

import dataclasses
import pathlib
from typing import Annotated, Any, Literal

from jaxuq.study.crew import CrewOptions
from jaxuq.study.options import from_packages, options_of

APPLIED = ("apply", "recall", "precision", "delta", "calibrate")
"""Options of labelling with a saved model, which change no fit."""


@dataclasses.dataclass(frozen=True)
class TaggingConfiguration(CrewOptions):
    """Label tokens by several labelling functions: jaxuq tag --data NCBI-Disease --model majority-vote,hmm."""

    data: tuple[str, ...]
    """Data sets: folders with meta.json and train, valid, test.json, or their names below JAXUQ_DATA/ner_weak; or files
    of columns (.conll, .tsv, .bio, .iob2) with --gold. With --apply also a text file, one sentence a line, words
    separated by blanks. Without a valid part a fifth of what is fitted to is held out to choose epochs by."""

    model: Annotated[str, from_packages("jaxuq.label_models")] = "majority-vote,snorkel,dawid-skene,hmm,best-consensus"
    """Label models, separated by commas: majority-vote, snorkel, dawid-skene, hmm, chmm, sparse-chmm, connet; with gold
    access best-consensus, chmm-fixed-emissions, supervised."""

    embeddings: str = "minilm"
    """Encoder of the words for the neural models: minilm, or a folder with a BERT or RoBERTa in safetensors."""

    sentence_vector: Literal["mean", "cls"] = "mean"
    """The vector of a sentence, which Sparse-CHMM and ConNet read: the mean of its words', or the encoder's first token
    (CLS), as published for BERT. MiniLM was trained to be averaged."""

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

    functions: Literal["recommended", "all"] = "recommended"
    """Labelling functions: those that meta.json recommends (lf_rec), or all."""

    gold: Literal["last", "none"] | None = None
    """Of files of columns, which do not say it: the last column of tags holds the right ones, or it is one more
    labelling function."""

    outside: Literal["abstain", "votes"] = "abstain"
    """What a function's O means at a token where another function marks an entity: nothing, or a vote for O."""

    tagger: bool = False
    """Train a tagger (linear layer and CRF on the frozen vectors) on the soft labels of every label model besides; it
    appears as <model>+tagger."""

    alternate: int = 0
    """Rounds of CHMM-ALT: the tagger becomes a labelling function of the label model, which then teaches it again."""

    ablations: bool = False
    """Run the ablations of Sparse-CHMM (Table 4.4 of the dissertation) instead of --model."""

    part: Literal["train", "valid", "test"] = "test"
    """The part of the data that is labelled and, if it has gold labels, scored."""

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
        known = options_of(self, left_out=("data", "model", "embeddings", "seeds", *APPLIED))
        return dict(known.configuration), dict(known.defaults)

    def models(self) -> list[str]:
        """The names in `model`, each once."""
        return list(dict.fromkeys(name.strip() for name in self.model.split(",") if name.strip()))

    def folder(self) -> pathlib.Path:
        """Where results go."""
        return self.output or pathlib.Path("runs") / f"tag-{pathlib.Path(self.data[0]).name.lower()}"
