"""Which network suits the molecules: width, depth, dropout and rate by successive halving over seeds."""

import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from jaxuq._digest import digest
from jaxuq._files import write_text
from jaxuq._keys import named_key
from jaxuq._options import check_count
from jaxuq.molecules.fitted.fitting import MoleculeRecipe, content_of, problem_of, train_recipe
from jaxuq.molecules.fitted.model import backbone_of
from jaxuq.molecules.fitted.parts import PartRows
from jaxuq.molecules.records import DataError, MoleculeDataset
from jaxuq.study import Listener, read_sealed, sealed_lines

_DEPTHS = {"dnn": (1, 2, 4, 8), "morgan": (1, 2, 4, 8), "gin": (2, 3, 5, 7), "dmpnn": (2, 3, 4, 6)}
SCORES = "scores.jsonl"


class Trial(NamedTuple):
    """One of the networks that were tried.

    Attributes:
        changes: what it has that the given recipe has not; empty for the recipe itself.
        scores: on the validation part, of each seed; lower is better, see `train_recipe`.
    """

    changes: Mapping[str, Any]
    scores: tuple[float, ...]


class Search(NamedTuple):
    """What a search has found.

    Attributes:
        recipe: the best.
        trials: all, the best first: by how far they came, then by their mean score.
    """

    recipe: MoleculeRecipe
    trials: list[Trial]


def search_space(backbone: str) -> dict[str, tuple[Any, ...]]:
    """What `search_recipe` draws from.

    Args:
        backbone: its name.

    Returns:
        Values of `width`, `depth`, `dropout` and `learning_rate`.

    Example:
        >>> search_space("dnn")["depth"]
        (1, 2, 4, 8)
    """
    depths = {"depth": _DEPTHS[backbone]} if backbone in _DEPTHS else {}
    return {
        "width": (64, 128, 256, 512),
        **depths,
        "dropout": (0.0, 0.1, 0.2, 0.4),
        "learning_rate": (1e-4, 3e-4, 1e-3, 3e-3),
    }


def search_recipe(
    rng_key: Key[Array, ""],
    data: MoleculeDataset,
    rows: PartRows,
    recipe: MoleculeRecipe | None = None,
    *,
    trials: int = 16,
    space: Mapping[str, Sequence[Any]] | None = None,
    folder: str | pathlib.Path | None = None,
    listener: Listener | None = None,
    strategy: str = "auto",
) -> Search:
    """Try networks, half of them further each time: 1 seed for all, 2 for the better half, 4 for the best quarter.

    The first trial is the recipe as given, so that a change has to earn its place. All trials have the same seeds, so
    they are compared by what they are and not by their luck. Only training and validation part are read: calibration
    and test keep their promises, but the validation score of the winner is too good to be quoted. With 16 trials
    networks are trained 40 times.

    Args:
        rng_key: of what is drawn, and of the networks.
        data: molecules with labels.
        rows: the parts.
        recipe: what does not change; None: `MoleculeRecipe()`.
        trials: how many networks are tried, at least 2.
        space: values of each field of the recipe that changes; None: `search_space`.
        folder: where scores are kept, one line a training: what is there is not trained again.
        listener: is told how far it is.
        strategy: see `jaxuq.parallel.map_members`.

    Returns:
        The best recipe, and all trials.

    Raises:
        DataError: the space has a name that is no field of the recipe, or too few different networks.
        OptionError: `trials` is less than 2, or a value is out of its range.
    """
    recipe = MoleculeRecipe() if recipe is None else recipe
    listener = Listener() if listener is None else listener
    space = search_space(recipe.backbone) if space is None else space
    changes = _drawn(rng_key, recipe, space, check_count("trials", trials, 2))
    network = recipe.network._replace(molecules=len(data.molecule_columns))
    problem = problem_of(data, rows, backbone_of(network), listener)
    shared = digest(
        [*content_of(data), rows.train, rows.valid],
        jax.random.key_data(rng_key),
    )
    path = None if folder is None else pathlib.Path(folder) / SCORES
    known = (
        {}
        if path is None
        else {line["training"]: line for line in read_sealed(path) if {"training", "score"} <= {*line}}
    )
    scores: list[list[float]] = [[] for _ in changes]

    def train(trial: int, seed: int) -> float:
        changed = recipe._replace(**changes[trial])
        address = digest(shared, seed, changed._replace(members=1, calibrator=None, conformal=None, level=0.9))
        if address not in known:
            key = named_key(rng_key, "search", seed)[None]
            name = f"trial {trial + 1} of {len(changes)}, seed {seed}"
            state = train_recipe(key, problem, changed, name=name, listener=listener, strategy=strategy)
            record = {"training": address, **changes[trial], "seed": seed, "score": float(state.best_score[0])}
            known[address] = record
            if path is not None:
                write_text(path, sealed_lines(known.values()))
        return known[address]["score"]

    running, seeds = list(range(len(changes))), 1
    while len(running) > 1:
        for trial in running:
            scores[trial] += [train(trial, seed) for seed in range(len(scores[trial]), seeds)]
        running.sort(key=lambda trial: float(np.mean(scores[trial])))
        running, seeds = running[: math.ceil(len(running) / 2)], 2 * seeds
    order = sorted(range(len(changes)), key=lambda trial: (-len(scores[trial]), float(np.mean(scores[trial]))))
    found = [Trial(changes[trial], tuple(scores[trial])) for trial in order]
    return Search(recipe._replace(**found[0].changes), found)


def _drawn(
    rng_key: Key[Array, ""], recipe: MoleculeRecipe, space: Mapping[str, Sequence[Any]], trials: int
) -> list[dict[str, Any]]:
    """Changes of the recipe, none twice; the first changes nothing."""
    if unknown := [name for name in space if name not in recipe._fields]:
        raise DataError(f"a recipe has no {unknown[0]!r}; its fields are {', '.join(recipe._fields)}")
    sizes = [len(values) for values in space.values()]
    places = np.asarray(jax.random.permutation(named_key(rng_key, "space"), jnp.arange(math.prod(sizes))))
    found: list[dict[str, Any]] = [{}]
    for place in places[: trials - 1].tolist():
        spots = np.unravel_index(place, sizes)
        found.append({name: values[int(spot)] for (name, values), spot in zip(space.items(), spots)})
    if len(found) < trials:
        raise DataError(f"the space has {len(places)} networks, too few for {trials} trials")
    return found
