"""Which samples a run learns from: the plane of error and entropy under the model before tuning (Q-Tuning)."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import jax.numpy as jnp
import numpy as np

from jaxuq.language import Instruction
from jaxuq.study import Cell
from jaxuq.tuning.responses import response_scores
from jaxuq.tuning.selection import MISTAKE, NOISE, REDUNDANT, UNSURE, prune_samples

if TYPE_CHECKING:
    from jaxuq.language import LanguageModel

_NAMES = {"noise": NOISE, "mistake": MISTAKE, "redundant": REDUNDANT, "unsure": UNSURE}


def kept_examples(
    model: "LanguageModel", examples: Sequence[Instruction], keep_ratio: float, cell: Cell
) -> tuple[list[int], dict[str, int]]:
    """The samples that `prune_samples` keeps, by log perplexity and mean entropy of their responses.

    Args:
        model: before tuning.
        examples: to learn from.
        keep_ratio: at most this share is kept, see `prune_samples`.
        cell: where the scores are kept, so that a run that goes on keeps the same samples.

    Returns:
        Their numbers, in order, and counts: of all, of those kept, of each quadrant, and of each quadrant those kept.
    """
    scores = cell.read()
    if scores is None:
        scores = response_scores(model, examples)._asdict()
        cell.write(scores)
    found = prune_samples(jnp.asarray(-scores["log_probs"]), jnp.asarray(scores["entropies"]), keep_ratio)
    keep, quadrant = np.asarray(found.keep), np.asarray(found.quadrant)
    counts = {"of": len(examples), "kept": int(keep.sum())}
    for name, number in _NAMES.items():
        counts[name] = int((quadrant == number).sum())
        counts[f"{name}_kept"] = int((keep & (quadrant == number)).sum())
    return np.flatnonzero(keep).tolist(), counts


def pruning_note(counts: Mapping[str, int]) -> str:
    """What was left out, for the reader.

    Args:
        counts: from `kept_examples`.

    Returns:
        A sentence.

    Example:
        >>> counts = {"of": 8, "kept": 5} | dict.fromkeys(_NAMES, 2)
        >>> pruning_note(counts | {"noise_kept": 1, "redundant_kept": 0, "mistake_kept": 2, "unsure_kept": 2})
        'Tuned on 5 of 8 questions: kept were 1 of 2 noise, 2 of 2 mistake, 0 of 2 redundant, 2 of 2 unsure.'
    """
    parts = ", ".join(f"{counts[f'{name}_kept']} of {counts[name]} {name}" for name in _NAMES)
    return f"Tuned on {counts['kept']} of {counts['of']} questions: kept were {parts}."
