"""Tables of active learning: what each acquisition saves against chance, and where the stopping rule would end it."""

import itertools
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from jaxuq.study import Examples, Resamples, Scored, digest, resample_cells, write_table
from jaxuq.study.comparison import Paired, paired_interval
from jaxuq.tagging.benchmark.cells import SHOWN, entity_f1

STABLE = 0.99
"""Agreement of successive taggers, on average over three rounds, at which more labels are taken to change little."""
_RESAMPLES = 500
Curve = tuple[Mapping[str, Any], Sequence[Mapping[str, np.ndarray]]]
"""The keys of a curve, and what its rounds have left."""


def agreement_of(before: Int[np.ndarray, " token"] | None, after: Int[np.ndarray, " token"]) -> float:
    r"""Cohen's $\kappa$ of two labellings, at the tokens at which either sees an entity.

    Of all tokens it would be high at once, as nearly all are `O`.

    Args:
        before: labels of the tagger of the round before; None: there is none.
        after: of this round's.

    Returns:
        At most 1; NaN without a round before; 1 if neither sees any entity, or both the same one label.

    Example:
        >>> round(agreement_of(np.array([0, 1, 1, 2, 0]), np.array([0, 1, 1, 0, 0])), 4)
        0.4

    References:
        Bloodgood, Vijay-Shanker. A method for stopping active learning based on stabilizing predictions and the need
        for user-adjustable stopping. CoNLL 2009.
    """
    if before is None:
        return float("nan")
    where = (before > 0) | (after > 0)
    if not where.any():
        return 1.0
    first, second = before[where], after[where]
    if len(np.unique(np.concatenate([first, second]))) == 1:
        return 1.0  # one label only, whose agreement by chance is whole too
    from sklearn.metrics import cohen_kappa_score

    return float(cohen_kappa_score(first, second))


def stop_at(agreements: Sequence[float], *, level: float = STABLE, rounds: int = 3) -> int | None:
    """The round at which labelling would stop: the mean agreement of the last rounds has reached the level.

    Args:
        agreements: of `agreement_of`, by round; the first is NaN.
        level: to be reached.
        rounds: that are averaged.

    Returns:
        Its number; None if none does.

    Example:
        >>> stop_at([float("nan"), 0.9, 0.99, 0.99, 0.995])
        4
    """
    for number in range(rounds, len(agreements)):
        if np.mean(agreements[number - rounds + 1 : number + 1]) >= level:
            return number
    return None


def tokens_needed(
    tokens: Sequence[int], scores: Float[np.ndarray, "*draws round"], target: Float[np.ndarray, "*draws"]
) -> Float[np.ndarray, "*draws"]:
    """How many tokens a learning curve takes to reach a score and to stay there, between rounds by a straight line.

    Args:
        tokens: that had labels in each round.
        scores: of each round.
        target: the score to be reached.

    Returns:
        Tokens; the first round's number if it has it already, NaN if the curve ends below.

    Example:
        >>> tokens_needed([100, 200, 300], np.array([0.5, 0.7, 0.8]), np.array(0.6)).item()
        150.0
    """
    scores, target = np.asarray(scores, np.float64), np.asarray(target, np.float64)
    below = scores < target[..., None]
    last = np.where(below.any(-1), scores.shape[-1] - 1 - np.argmax(below[..., ::-1], axis=-1), -1)
    after = np.minimum(last + 1, scores.shape[-1] - 1)
    before = np.maximum(last, 0)
    low, high = (np.take_along_axis(scores, at[..., None], -1)[..., 0] for at in (before, after))
    share = np.where(high > low, (target - low) / np.where(high > low, high - low, 1.0), 0.0)
    found = np.asarray(tokens, np.float64)
    between = found[before] + np.clip(share, 0.0, 1.0) * (found[after] - found[before])
    return np.where(last < 0, found[0], np.where(last == scores.shape[-1] - 1, np.nan, between))


def write_saved(path: pathlib.Path, curves: Sequence[Curve]) -> None:
    """Write `saved.csv`: for each data set, model and acquisition what it is worth beside chance, with the same seeds.

    `f1` is the mean over the rounds that both have after the first, `f1_gain` by how much it is above that of `random`;
    `target` the F1 of `random` in its last round, `labels_needed` the tokens that it takes to reach that and stay
    there (the mean over seeds in which it does), `saved` the share of those of `random` that are not needed, 0 where it
    is not reached. Intervals of 95 % are
    over test sentences, the same for both, and seeds. `stop` says with how many tokens `stop_at` would have ended it,
    on average over the seeds for which it does, and `stop_f1` the F1 there.

    Args:
        path: of the run.
        curves: all of them.
    """
    resamples = _resampled(path, curves)
    rows = []
    for (dataset, method), group in _grouped(curves).items():
        chance = {keys["seed"]: cells for keys, cells in group if keys["acquisition"] == "random"}
        for acquisition in dict.fromkeys(keys["acquisition"] for keys, _ in group):
            own = {keys["seed"]: cells for keys, cells in group if keys["acquisition"] == acquisition}
            place = {"dataset": dataset, "method": method, "acquisition": acquisition, "num_seeds": len(own)}
            rows.append(place | _worth(resamples, place, own, chance) | _stopping(own))
    write_table(path / "saved.csv", rows, ("dataset", "method", "acquisition"))


def _grouped(curves: Sequence[Curve]) -> dict[tuple[str, str], list[Curve]]:
    groups: dict[tuple[str, str], list[Curve]] = {}
    for keys, cells in curves:
        groups.setdefault((keys["dataset"], keys["method"]), []).append((keys, cells))
    return groups


def _resampled(path: pathlib.Path, curves: Sequence[Curve]) -> Resamples:
    def examples(cell: Mapping[str, np.ndarray]) -> Examples:
        counts = cell["counts"].astype(np.float32)
        return Examples((counts,), np.ones(len(counts), bool), digest(cell["ids"], cell["gold"]))

    scored = [
        Scored(
            {**keys, "round": number, "labels": int(cell["tokens"])},
            digest(dict(keys), number, cell["labels"]),
            lambda cell=cell: examples(cell),
        )
        for keys, cells in curves
        for number, cell in enumerate(cells)
    ]
    return resample_cells(path, scored, entity_f1, SHOWN, num_resamples=_RESAMPLES)


def _worth(
    resamples: Resamples,
    place: Mapping[str, Any],
    own: Mapping[int, Sequence[Mapping[str, np.ndarray]]],
    chance: Mapping[int, Sequence[Mapping[str, np.ndarray]]],
) -> dict[str, Any]:
    """Means, and what is gained over chance."""
    seeds = sorted(own)
    f1 = {seed: _curve_scores(resamples, place, seed) for seed in seeds}
    found: dict[str, Any] = {"f1": float(np.mean([f1[seed][0, 1:].mean() for seed in seeds]))}
    if place["acquisition"] == "random" or set(own) != set(chance):
        return found | {"last_f1": float(np.mean([f1[seed][0, -1] for seed in seeds]))}
    by_chance = {seed: _curve_scores(resamples, {**place, "acquisition": "random"}, seed) for seed in seeds}
    tokens = {seed: [int(cell["tokens"]) for cell in own[seed]] for seed in seeds}
    ends = {seed: int(chance[seed][-1]["tokens"]) for seed in seeds}
    needed = {seed: tokens_needed(tokens[seed], f1[seed], by_chance[seed][:, -1]) for seed in seeds}
    saved = {seed: np.nan_to_num(1.0 - needed[seed] / ends[seed], nan=0.0) for seed in seeds}
    gain = {seed: f1[seed][:, 1:].mean(1) - by_chance[seed][:, 1:].mean(1) for seed in seeds}
    found |= {
        "last_f1": float(np.mean([f1[seed][0, -1] for seed in seeds])),
        "target": float(np.mean([by_chance[seed][0, -1] for seed in seeds])),
        "labels_needed": _mean_of_known([float(needed[seed][0]) for seed in seeds]),
    }
    for name, values in (("f1_gain", gain), ("saved", saved)):
        found[name] = float(np.mean([values[seed][0] for seed in seeds]))
        nothing = {seed: np.zeros_like(one) for seed, one in values.items()}
        interval = paired_interval(_paired(values), _paired(nothing))
        if interval is not None:
            least = 0.0 if name == "saved" else -1.0
            found[f"{name}_lower"], found[f"{name}_upper"] = np.clip(interval, least, 1.0).tolist()
    return found


def _mean_of_known(values: Sequence[float]) -> float:
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else float("nan")


def _paired(values: Mapping[int, np.ndarray]) -> Paired:
    """A quantity of each seed, as it is and then on every resample, as something to be compared."""
    seeds = sorted(values)
    estimates = {seed: float(values[seed][0]) for seed in seeds}
    return Paired(float(np.mean(list(estimates.values()))), estimates, np.stack([values[s][1:] for s in seeds]), "test")


def _curve_scores(resamples: Resamples, place: Mapping[str, Any], seed: int) -> Float[np.ndarray, "draws round"]:
    """F1 of every round of a curve: on the test text, then on each resample of its sentences."""
    wanted = {name: place[name] for name in ("dataset", "method", "acquisition")} | {"seed": seed}
    rounds = [at for at, cell in enumerate(resamples.cells) if all(cell[key] == value for key, value in wanted.items())]
    at = resamples.names.index("f1")
    return np.concatenate([resamples.estimates[rounds, at][None], resamples.values[rounds, :, at].T])


def _stopping(own: Mapping[int, Sequence[Mapping[str, np.ndarray]]]) -> dict[str, Any]:
    ends = []
    for cells in own.values():
        labels = [None, *(cell["pool_labels"] for cell in cells)]
        at = stop_at([agreement_of(before, after) for before, after in itertools.pairwise(labels)])
        if at is not None:
            ends.append((int(cells[at]["tokens"]), float(cells[at]["scores"][SHOWN.index("f1")])))
    stopped = {"stopped_seeds": len(ends)}
    return stopped | ({"stop": float(np.mean(ends, 0)[0]), "stop_f1": float(np.mean(ends, 0)[1])} if ends else {})
