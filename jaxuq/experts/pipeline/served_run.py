"""A finished training as a server asks it: its members, and the weights of one question at a time."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float, PyTree

from jaxuq._keys import named_key
from jaxuq.experts.adapter_checkpoints import load_adapter_checkpoints
from jaxuq.experts.errors import ExpertsError
from jaxuq.experts.features import batch_features
from jaxuq.experts.gradients import gradient_tokens
from jaxuq.experts.pipeline.adapters import is_trained
from jaxuq.experts.pipeline.features import Features, read_clusters
from jaxuq.experts.pipeline.questions import read_training
from jaxuq.experts.pipeline.training import TrainedRun, adapter_folder
from jaxuq.experts.pipeline.weights import feature_weights, members_of
from jaxuq.experts.sentences import embed_sentences
from jaxuq.language import BatchPlan, Instruction, decode_tokens, make_batch
from jaxuq.parallel import rung

ROUTES = ("gradient", "embedding")
"""By what the questions of a served run are routed."""


class ServedRun(NamedTuple):
    """What a server needs of a training.

    Attributes:
        run: the training.
        names: of the members, the base adapter first.
        experts: their adapters, with a leading axis of members.
        weights: of the members for the tokens of a prompt.
    """

    run: TrainedRun
    names: tuple[str, ...]
    experts: PyTree
    weights: Callable[[Sequence[int]], Float[np.ndarray, " members"]]


def read_served(path: str | Path, *, route: str = "gradient", top_k: int | None = None) -> ServedRun:
    """Read a training to be served.

    Args:
        path: of a finished `jaxuq experts train`.
        route: `gradient` (ELREA), or `embedding`, with the experts of the baseline `instruction-embedding`.
        top_k: keep the k best experts only; None: all.

    Returns:
        `ServedRun`. The weights are those of `jaxuq experts evaluate` and `generate`.

    Raises:
        ExpertsError: it is not finished, damaged, or has no experts of that route; options out of range.
        RunFolderError: it is no result folder.
    """
    if route not in ROUTES:
        raise ExpertsError(f"--route is {route!r}; expected {' or '.join(ROUTES)}")
    if top_k is not None and top_k < 1:
        raise ExpertsError(f"--top-k is {top_k}; keep at least one expert")
    run = read_training(path)
    kind = "expert" if route == "gradient" else "embedding"
    found = run.found if route == "gradient" else read_clusters(run.path, "clusters-embedding")
    names = ("base", *(f"{kind}-{cluster}" for cluster in range(0 if found is None else len(found.centroids))))
    trained = (is_trained(adapter_folder(run.configuration, one)) for one in names)
    if found is None or (route == "embedding" and not all(trained)):
        raise ExpertsError(
            f"{path} has no experts of instruction embeddings; train them with: jaxuq experts evaluate {path} "
            "--baselines instruction-embedding"
        )
    centroids = found.centroids
    feature = _gradient_of(run) if route == "gradient" else _embedding_of(run)

    def weights(prompt: Sequence[int]) -> Float[np.ndarray, " members"]:
        asked = Features(feature(prompt), np.arange(1), 0)
        return feature_weights(asked, centroids, 1, top_k)[0][0]

    return ServedRun(run, names, members_of(run, names), weights)


def _gradient_of(run: TrainedRun) -> Callable[[Sequence[int]], np.ndarray]:
    """What `compute_features` computes, of one prompt; compiled for a few lengths."""
    configuration, context = run.configuration, run.model.functions.max_positions
    checkpoints = tuple(load_adapter_checkpoints(adapter_folder(configuration, "base") / "checkpoints"))
    key = named_key(jax.random.key(configuration.seed), "projection")

    def feature(prompt: Sequence[int]) -> np.ndarray:
        tokens = np.asarray(prompt, np.int32)
        example = gradient_tokens(Instruction(tokens, np.zeros(len(tokens), bool)), max_length=context)
        if not len(example.tokens):  # a single token, which nothing predicts
            return np.zeros((1, configuration.dimension), np.float32)
        batch = make_batch([example], BatchPlan(((0,),), rung(len(example.tokens), longest=context)), batch_size=1)
        found = batch_features(
            run.model.params, checkpoints, key, batch, decoder=run.model.decoder, dimension=configuration.dimension,
            kind=configuration.projection, preconditioned=True, convention="elrea", reduction="mean",
        )  # fmt: skip
        return np.asarray(found, np.float32)

    return feature


def _embedding_of(run: TrainedRun) -> Callable[[Sequence[int]], np.ndarray]:
    def feature(prompt: Sequence[int]) -> np.ndarray:
        return embed_sentences([decode_tokens(run.model.tokenizer, prompt).rstrip("\n")])

    return feature
