"""Features of instructions and their clusters, as artefacts of a run."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import jax
import numpy as np
from jaxtyping import Float, Int

from jaxuq._keys import named_key
from jaxuq.experts.adapter_checkpoints import load_adapter_checkpoints
from jaxuq.experts.clustering import cluster_features
from jaxuq.experts.errors import ExpertsError
from jaxuq.experts.features import gradient_features
from jaxuq.experts.pipeline.configuration import TrainConfiguration
from jaxuq.experts.pipeline.costs import costs_of
from jaxuq.experts.pipeline.records import Encoded
from jaxuq.language import Instruction
from jaxuq.parallel import data_mesh
from jaxuq.study import read_arrays, write_arrays

if TYPE_CHECKING:
    from jaxuq.language import LanguageModel


class Features(NamedTuple):
    """Features of instructions.

    Attributes:
        rows: one a kept instruction, of length one (or zero).
        kept: numbers of these instructions.
        zero: how many gradients vanish.
    """

    rows: Float[np.ndarray, "kept dim"]
    kept: Int[np.ndarray, " kept"]
    zero: int


class Found(NamedTuple):
    """Clusters of the training instructions.

    Attributes:
        labels: cluster of every instruction; -1 for those without a feature.
        centroids: mean feature of each.
        threshold: that BIRCH found; NaN for other methods.
    """

    labels: Int[np.ndarray, " examples"]
    centroids: Float[np.ndarray, "clusters dim"]
    threshold: float


def training_features(
    configuration: TrainConfiguration,
    model: "LanguageModel",
    data: Encoded,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> Features:
    """Features of the training instructions, computed or read.

    Args:
        configuration: of the run.
        model: of `prepared_model`.
        data: of the run.
        on_progress: step, done, in all.

    Returns:
        `Features`.
    """
    folder = Path(configuration.output)
    stored = read_features(folder / "features" / "train.npz")
    if stored is not None:
        return stored
    with costs_of(folder, "training features"):
        found = compute_features(configuration, model, data.prompts, "train", on_progress=on_progress)
        write_features(folder / "features" / "train.npz", found)
    return found


def compute_features(
    configuration: TrainConfiguration,
    model: "LanguageModel",
    prompts: Sequence[Instruction],
    name: str,
    *,
    dimension: int | None = None,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> Features:
    """Gradient features with the checkpoints of the run's base adapter; rows are divided over all devices.

    Args:
        configuration: of the run.
        model: of `prepared_model`.
        prompts: instructions without answers.
        name: of what is computed, for progress and for the folder of unfinished work.
        dimension: of the projection; None: as configured. The projection follows from it and the seed.
        on_progress: step, done, in all.

    Returns:
        `Features`.
    """
    folder = Path(configuration.output)
    told = None if on_progress is None else lambda done, total: on_progress(f"gradients, {name}", done, total)
    dimension = configuration.dimension if dimension is None else dimension
    found = gradient_features(
        model,
        load_adapter_checkpoints(folder / "adapters" / "base" / "checkpoints"),
        prompts,
        dimension=dimension,
        kind=configuration.projection,
        rng_key=named_key(jax.random.key(configuration.seed), "projection"),
        batch_size=configuration.micro_batch,
        tokens="instruction",
        folder=folder / "features" / f"{name}-{dimension}",
        mesh=model.mesh or data_mesh(),
        on_progress=told,
    )
    rows = np.asarray(found.features, np.float32)
    return Features(rows, np.asarray(found.kept, np.int64), int(np.sum(found.zero)))


def find_clusters(configuration: TrainConfiguration, features: Features, file: Path) -> Found:
    """Cluster features and write what was found.

    Args:
        configuration: of the run.
        features: of the training instructions.
        file: where clusters are written.

    Returns:
        `Found`.

    Raises:
        ExpertsError: fewer instructions than clusters.
    """
    if len(features.rows) < configuration.clusters:
        raise ExpertsError(
            f"{len(features.rows)} instructions cannot make {configuration.clusters} clusters; give more, or fewer "
            "--clusters"
        )
    try:
        found = cluster_features(
            features.rows,
            rng_key=named_key(jax.random.key(configuration.seed), "clusters"),
            method=configuration.clustering,
            num_clusters=configuration.clusters,
            rounds=configuration.rounds,
            where=np.asarray(features.rows.any(axis=1)),
        )
    except ValueError as error:
        raise ExpertsError(str(error)) from None
    labels = np.full(int(features.kept.max()) + 1, -1, np.int64)
    labels[features.kept] = np.asarray(found.labels)
    clusters = Found(labels, np.asarray(found.centroids, np.float32), float(found.threshold))
    write_arrays(file, {**clusters._asdict(), "threshold": np.float64(found.threshold)})
    return clusters


def read_clusters(folder: Path, name: str = "clusters") -> Found | None:
    """Clusters that were found before.

    Args:
        folder: of the run.
        name: of the file.

    Returns:
        `Found`; None: there are none.
    """
    stored = read_arrays(folder / f"{name}.npz")
    if stored is None or not {"labels", "centroids", "threshold"} <= set(stored):
        return None
    return Found(stored["labels"], stored["centroids"], float(stored["threshold"]))


def write_features(file: Path, features: Features) -> None:
    """Write features, atomically.

    Args:
        file: `.npz`.
        features: to be written.
    """
    write_arrays(file, {"rows": features.rows, "kept": features.kept, "zero": np.int64(features.zero)})


def read_features(file: Path) -> Features | None:
    """Read features.

    Args:
        file: `.npz`.

    Returns:
        `Features`; None: there are none, or the file is damaged.
    """
    stored = read_arrays(file)
    if stored is None or not {"rows", "kept", "zero"} <= set(stored):
        return None
    return Features(stored["rows"], stored["kept"], int(stored["zero"]))
