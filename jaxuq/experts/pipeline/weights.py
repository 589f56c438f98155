"""Weights of a run's members for questions, and the members themselves."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from jaxuq._entries import Entry, entry_of
from jaxuq.experts.errors import ExpertsError
from jaxuq.experts.pipeline.adapters import read_members
from jaxuq.experts.pipeline.configuration import EvaluateConfiguration
from jaxuq.experts.pipeline.features import Features, read_features
from jaxuq.experts.pipeline.questions import question_features
from jaxuq.experts.pipeline.records import Encoded
from jaxuq.experts.pipeline.training import Told, TrainedRun, adapter_folder
from jaxuq.experts.routing import ROUTINGS, route


class Context(NamedTuple):
    """What plans are made from.

    Attributes:
        run: a finished training.
        questions: to be answered.
        options: of the evaluation.
        on_progress: see `Told`.
    """

    run: TrainedRun
    questions: Encoded
    options: EvaluateConfiguration
    on_progress: Told | None = None


def gradient_weights(
    context: Context,
    *,
    top_k: int | None = None,
    dimension: int | None = None,
    routing: str | Entry | Callable[..., Any] = "elrea",
) -> tuple[np.ndarray, int]:
    """Weights of base adapter and experts by the gradients of the questions.

    The first numbers of a projection are a projection themselves, so fewer dimensions need no new gradients.

    Args:
        context: run and questions.
        top_k: see `route`.
        dimension: fewer numbers than were projected to; None: all.
        routing: see `feature_weights`.

    Returns:
        Weights, and how many questions have no direction.

    Raises:
        ExpertsError: more dimensions than there are.
    """
    run = context.run
    asked = question_features(run.configuration, run.model, context.questions, context.on_progress)
    centroids = run.found.centroids
    if dimension is not None:
        if not 0 < dimension <= centroids.shape[1]:
            raise ExpertsError(f"--dimension {dimension}: the features have {centroids.shape[1]} numbers")
        trained = read_features(run.path / "features" / "train.npz")
        if trained is None:
            raise ExpertsError(f"{run.path} has no training features; train again")
        rows = trained.rows[:, :dimension]
        rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
        labels = run.found.labels[trained.kept]
        centroids = np.stack([rows[labels == cluster].mean(0) for cluster in range(len(centroids))])
        asked = asked._replace(rows=asked.rows[:, :dimension])
    return feature_weights(asked, centroids, len(context.questions.records), top_k, routing=routing)


def members_of(run: TrainedRun, names: tuple[str, ...]) -> PyTree | None:
    """Adapters of a run as members.

    Args:
        run: a finished training.
        names: of the adapters; none: no adapters.

    Returns:
        The collection `lora` with a leading axis; None: no adapters.
    """
    if not names:
        return None
    return read_members([adapter_folder(run.configuration, name) for name in names], run.model)


def feature_weights(
    asked: Features,
    centroids: np.ndarray,
    count: int,
    top_k: int | None = None,
    *,
    routing: str | Entry | Callable[..., Any] = "elrea",
) -> tuple[np.ndarray, int]:
    """Weights by features of any kind; questions without a feature, or with one of zeros, go to the base adapter.

    Args:
        asked: features of questions.
        centroids: of clusters.
        count: how many questions there are.
        top_k: see `route`; of ELREA's rule (Eq 5.9) alone.
        routing: a name in `ROUTINGS`, an entry of that form, or a function `(features, centroids) -> weights` of yours,
            `[questions, 1 + clusters]` with the base adapter first.

    Returns:
        Weights of base adapter and experts, and how many questions have no direction.

    Raises:
        ExpertsError: weights of another shape, negative, not finite, or all zero for a question.
    """
    rule = entry_of(ROUTINGS, routing)
    rows, means = jnp.asarray(asked.rows), jnp.asarray(centroids)
    weights = np.zeros((count, len(centroids) + 1), np.float32)
    weights[:, 0] = 1.0
    if top_k is not None or rule is ROUTINGS["elrea"]:
        found = jax.jit(route, static_argnames=("top_k",))(rows, means, top_k=top_k)
        weights[asked.kept] = np.asarray(found.weights)
        return weights, count - int(np.asarray(found.routed).sum())
    given = np.asarray(rule.functions["weights"](rows, means), np.float32)
    if given.shape != (len(asked.rows), len(centroids) + 1):
        raise ExpertsError(
            f"the routing {rule.name} gives weights of shape {given.shape}; expected {len(asked.rows)} questions by "
            f"{len(centroids) + 1} members, the base adapter first"
        )
    routed = np.isfinite(asked.rows).all(1) & asked.rows.any(1)
    bad = np.flatnonzero(routed & ~(np.isfinite(given).all(1) & (given >= 0).all(1) & (given.sum(1) > 0)))
    if len(bad):
        raise ExpertsError(
            f"the routing {rule.name} gives question {asked.kept[bad[0]]} the weights {given[bad[0]]}; expected none "
            "below 0 and some above"
        )
    weights[asked.kept[routed]] = given[routed]
    return weights, count - int(routed.sum())
