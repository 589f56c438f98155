"""What a measure is in the table: one entry beside its function."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from jaxuq._arguments import typed
from jaxuq._entries import Entry
from jaxuq._errors import OptionError


class Need(NamedTuple):
    """Something that a measure is made from.

    Attributes:
        gives: names under which a measure finds it in what it is given, see `Seen`.
        seconds: what of a run's time it takes, beside generating the answer.
        about: for the reader.
    """

    gives: tuple[str, ...]
    seconds: tuple[str, ...]
    about: str


_READ = ("read", "measures")
NEEDS: Mapping[str, Need] = {
    "tokens": Need(("log_probs", "entropies", "values"), _READ, "probabilities and distributions of the response"),
    "attention": Need(("back", "itself"), _READ, "attention of each token on itself and on the one before it"),
    "states": Need(("embedding", "without", "sample_embeddings", "cosines", "near"), _READ, "hidden states"),
    "chain": Need(("chain", "filtered", "joint"), _READ, "the attention chain of the final answer"),
    "substitutions": Need(("changed", "tried"), ("substitutions",), "texts with one token of the chain changed"),
    "samples": Need(
        ("sample_log_probs", "sample_lengths", "clusters", "agrees", "distinct"), ("samples",), "further answers"
    ),
    "words": Need(("rouge", "jaccard"), ("samples",), "similarities of further answers by their words"),
    "judge": Need(("true_logits", "false_logits"), ("p_true",), "one more prompt: is it true?"),
    "judge_attention": Need(("judge_attention",), ("p_true",), "attention of that prompt on the answer"),
    "stated": Need(("stated",), ("stated_confidence",), "one more prompt: how sure, from 0 to 10?"),
    "unprompted": Need(
        ("unprompted_log_probs",), ("pointwise_mutual_information",), "a pass over the response without its prompt"
    ),
    "text": Need(
        ("text", "answer_text", "question", "sample_texts", "sample_answers", "reply"), (), "texts, on the host"
    ),
    "labels": Need((), _READ, "questions that were graded"),
}
"""What a run can give a measure; a measure that needs anything else is a function alone."""
OF_ATTENTION = frozenset(("attention", "chain", "substitutions", "judge_attention"))
"""Needs that a model without `attention` does not meet."""
OF_SAMPLES = frozenset(("samples", "words"))
"""Needs of further answers."""
_ALWAYS = ("response", "inner", "answer", "answered")
GROUPS = ("uqac", "answer", "response", "samples", "asking", "learned")


class Seen:
    """What a measure is given of one answer; arrays within `jit` and `vmap`, unless it needs `text`.

    | name | need | what it is |
    |---|---|---|
    | `response`, `inner`, `answer` | | tokens of the response; without its last; of its final answer, `[time]` |
    | `answered` | | whether there is a final answer |
    | `log_probs`, `entropies` | `tokens` | of each token, and of its distribution, nats, `[time]` |
    | `values` | `tokens` | what the entry's own function `token(logits, tokens)` gave, `[time]` |
    | `back`, `itself` | `attention` | on the token before, `[middle layers, heads, time]`; on itself, `[heads, time]` |
    | `embedding` | `states` | mean hidden state of the response |
    | `without` | `states` | similarity of the response to itself without each token, `[time]` |
    | `chain`, `filtered` | `chain` | `AttentionChain`, `SimilarityFilter` |
    | `joint` | `chain` | `ChainConfidence` |
    | `changed`, `tried` | `substitutions` | log-probabilities of the text and its changes, `[rows, time]`; valid ones |
    | `sample_log_probs`, `sample_lengths` | `samples` | of whole samples, and their tokens, `[samples]` |
    | `clusters` | `samples` | of equivalent final answers; -1 for samples without one |
    | `agrees`, `distinct` | `samples` | with this answer; texts that no sample before it has |
    | `rouge`, `jaccard` | `words` | between samples, `[samples, samples]` |
    | `sample_embeddings`, `cosines`, `near` | `samples`, `states` | mean states, between samples, with the response |
    | `true_logits`, `false_logits` | `judge` | of the spellings of both words |
    | `judge_attention` | `judge_attention` | of the judge on the tokens of the answer, `[heads, time]`; 0 elsewhere |
    | `stated` | `stated` | confidence in words, from 0 to 1; NaN without a number |
    | `unprompted_log_probs` | `unprompted` | of the response without its prompt, `[time]` |
    | `text`, `answer_text`, `question` | `text` | as text |
    | `sample_texts`, `sample_answers`, `reply` | `text` | as text |
    | `convention` | | `"text"` or `"published"` |
    """

    def __init__(self, fields: Mapping[str, Any], name: str, needs: Sequence[str], convention: Any = "text"):
        """What was seen, to be read under the names of the needs."""
        self._fields, self._name, self._needs = fields, name, needs
        self.convention = convention

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        giving = [need for need, about in NEEDS.items() if name in about.gives]
        if name not in _ALWAYS and not giving:
            known = [*_ALWAYS, *(one for about in NEEDS.values() for one in about.gives)]
            raise OptionError(f"the measure {self._name!r} asks for `{name}`, which there is not; {', '.join(known)}")
        missing = [need for need in giving if need not in self._needs]
        if missing:
            raise OptionError(
                f"the measure {self._name!r} asks for `{name}`, which it does not need: declare it, "
                f"measure({self._name!r}, ..., needs={(*self._needs, missing[0])!r})"
            )
        if name not in self._fields or (name == "values" and isinstance(self._fields[name], Mapping)):
            raise OptionError(f"the measure {self._name!r} asks for `{name}`, which its entry's function `token` gives")
        return self._fields[name]


@typed()
def measure(
    name: str,
    title: str = "",
    score: Callable[[Seen], Any] | None = None,
    *,
    needs: Sequence[str] = ("tokens",),
    token: Callable[..., Any] | None = None,
    likeliest: Callable[..., Any] | None = None,
    higher: Literal["confident", "uncertain"] = "confident",
    bounded: bool | Literal["one minus"] = False,
    group: str = "",
    citation: Sequence[str] = (),
    formula: int = 1,
) -> Entry:
    """A measure as the table has it.

    Args:
        name: as `--measures` calls it.
        title: for tables; empty: its name.
        score: from what is seen of one answer, see `Seen`, to a number; NaN where it is undefined. None: it cannot be
            had in a run, and is a function alone.
        needs: names of `NEEDS`, or in other words what a run does not have.
        token: a reduction of the distributions, `token(logits [..., vocabulary], tokens [...]) -> [...]`, which `score`
            finds as `values`.
        likeliest: the same from the log-probabilities of the likeliest tokens alone, `likeliest(log_probs [...,
            likeliest]) -> [...]`, which is all that files of other programs have.
        higher: what a higher number means.
        bounded: whether it is a confidence in [0, 1] as it is, so that it has a calibration error; `"one minus"` if one
            minus it is.
        group: of tables; empty: as its needs say.
        citation: names of `jaxuq.citation`, or BibTeX.
        formula: version of what it computes; raise it when its numbers change.

    Returns:
        The entry, for `MEASURES[name]`, `run_study(measures=...)` or an entry point of the group `jaxuq.measures`.

    Raises:
        OptionError: an unknown group or direction.

    Example:
        >>> mine = measure("longest", "Longest answer", lambda seen: seen.response.sum(), higher="uncertain")
        >>> mine.about["group"], mine.about["higher"]
        ('response', 'uncertain')
    """
    if (
        group not in ("", *GROUPS)
        or higher not in ("confident", "uncertain")
        or bounded not in (True, False, "one minus")
    ):
        raise OptionError(
            f"the measure {name!r} has group={group!r}, higher={higher!r}, bounded={bounded!r}; expected a group of "
            f"{', '.join(GROUPS)}, 'confident' or 'uncertain', and True, False or 'one minus'"
        )
    usual = "response"
    for need, found in {"chain": "uqac", "samples": "samples", "labels": "learned"}.items():
        usual = found if need in needs else usual
    usual = "asking" if {"judge", "judge_attention", "stated", "unprompted"} & set(needs) else usual
    functions = {"score": score, "token": token, "likeliest": likeliest}
    return Entry(
        name, title or name, {kind: one for kind, one in functions.items() if one is not None}, tuple(citation),
        tuple(needs), formula=formula, about={"group": group or usual, "higher": higher, "bounded": bounded},
    )  # fmt: skip
