"""How sure a model is of what it wrote into a table: by the probability of the cell, and by agreement of samples."""

import math
from collections.abc import Sequence

from jaxuq.extraction.chat import Reply
from jaxuq.extraction.spans import Span, overlap


def cell_confidence(reply: Reply, phrase: str) -> float:
    r"""The probability per token of the cell of a reply's table that holds a phrase.

    $$c = \exp\left(\frac{1}{|C|} \sum_{t \in C} \log p_t\right)$$

    with C the tokens that share a character with the cell. The geometric mean does not punish long names, as the
    product would; it says how sure the model was of the words, not of the type.

    Args:
        reply: with pieces and log-probabilities.
        phrase: as it is written in the table.

    Returns:
        A number in [0, 1]; NaN if the model gave no probabilities, or the phrase is not in the reply. Of several
        occurrences the last cell that is the phrase counts, else the last occurrence.

    Example:
        >>> reply = Reply("|A|\\n|-|\\n|Bo|", "", "stop", ("|A|\\n|-|\\n|", "B", "o", "|"), (0.0, -1.0, -3.0, 0.0))
        >>> round(cell_confidence(reply, "Bo"), 4)
        0.1353
    """
    if not reply.log_probs or not phrase:
        return math.nan
    text = "".join(reply.pieces)
    at = _last_cell(text, phrase)
    if at < 0:
        return math.nan
    position, chosen = 0, []
    for piece, log_prob in zip(reply.pieces, reply.log_probs):
        if piece and overlap((position, position + len(piece)), (at, at + len(phrase))):
            chosen.append(log_prob)
        position += len(piece)
    return math.exp(min(0.0, sum(chosen) / len(chosen))) if chosen else math.nan


def _last_cell(text: str, phrase: str) -> int:
    at = text.rfind(phrase)
    found = at
    while at >= 0:
        before, after = text[:at][-40:].rstrip(" *`\"'"), text[at + len(phrase) :][:40].lstrip(" *`\"'")
        if before.endswith(("|", "\n", "-")) and after[:1] in ("|", "\n", ""):
            return at
        at = text.rfind(phrase, 0, at + len(phrase) - 1)
    return found


def agreement(samples: Sequence[Sequence[Span]]) -> list[Span]:
    """The spans of several samples, each with the share of samples that have it (self-consistency).

    Args:
        samples: spans of each sample, none overlapping another within a sample and type. A sample that failed is an
            empty one: it agrees with nothing.

    Returns:
        Every different span (place and type), in the order of the text, with the share as its confidence, in (0, 1],
        and its best match as its score.

    Example:
        >>> a, b = Span(0, 2, "person"), Span(3, 4, "person")
        >>> [(span[:2], span.confidence) for span in agreement([[a], [a, b]])]
        [((0, 2), 1.0), ((3, 4), 0.5)]

    References:
        Wang et al. Self-consistency improves chain of thought reasoning in language models. ICLR, 2023.
    """
    best: dict[tuple[int, int, str], float] = {}
    votes: dict[tuple[int, int, str], int] = {}
    for spans in samples:
        for place in {span[:3] for span in spans}:
            votes[place] = votes.get(place, 0) + 1
        for span in spans:
            best[span[:3]] = max(best.get(span[:3], 0.0), span.score)
    return [Span(*place, best[place], votes[place] / len(samples)) for place in sorted(votes)]
