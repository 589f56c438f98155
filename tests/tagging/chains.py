"""Random chains, and every quantity of the engine by enumerating all label paths in float64 NumPy."""

import itertools
from typing import NamedTuple

import numpy as np


class RandomChain(NamedTuple):
    initial: np.ndarray  # log
    transition: np.ndarray
    evidence: np.ndarray
    lengths: np.ndarray


def random_chain(seed, batch=3, time=5, states=3, per_token=False, hard=False, dtype=np.float64, scale=1.0):
    """Log-potentials (not normalised); with `hard`, some are minus infinity but every sequence keeps a path."""
    rng = np.random.default_rng(seed)
    initial = rng.normal(size=(batch, states)) * scale
    transition = rng.normal(size=(batch, time, states, states) if per_token else (states, states)) * scale
    evidence = rng.normal(size=(batch, time, states)) * scale
    if hard:  # state 0 always stays possible
        transition[..., 1:][rng.random(transition[..., 1:].shape) < 0.5] = -np.inf
        evidence[..., 1:][rng.random(evidence[..., 1:].shape) < 0.4] = -np.inf
        initial[:, 1] = -np.inf
    lengths = np.array([time, 1, *rng.integers(2, time + 1, size=batch)])[:batch]
    return RandomChain(*(a.astype(dtype) for a in (initial, transition, evidence)), lengths.astype(np.int32))


def paths_and_scores(chain: RandomChain, b: int):
    """All paths of sequence `b` and the log of their joint probabilities."""
    length, states = chain.lengths[b], chain.evidence.shape[-1]
    paths = np.array(list(itertools.product(range(states), repeat=int(length))), np.int64).reshape(-1, length)
    scores = chain.initial[b, paths[:, 0]] + chain.evidence[b, 0, paths[:, 0]]
    for t in range(1, length):
        into = chain.transition[b, t] if chain.transition.ndim == 4 else chain.transition
        scores = scores + into[paths[:, t - 1], paths[:, t]] + chain.evidence[b, t, paths[:, t]]
    return paths, scores


class BruteForce(NamedTuple):
    log_likelihood: np.ndarray
    filtered: np.ndarray
    smoothed: np.ndarray
    pairwise: np.ndarray
    best_scores: np.ndarray  # [batch, paths], descending, padded with -inf
    entropy: np.ndarray


def brute_force(chain: RandomChain, num_best: int) -> BruteForce:
    """Sums over all label paths."""
    batch, time, states = chain.evidence.shape
    out = BruteForce(
        np.zeros(batch), np.zeros((batch, time, states)), np.zeros((batch, time, states)),
        np.zeros((batch, time - 1, states, states)), np.full((batch, num_best), -np.inf), np.zeros(batch),
    )  # fmt: skip
    for b in range(batch):
        paths, scores = paths_and_scores(chain, b)
        weights = np.exp(scores - scores.max())
        out.log_likelihood[b] = np.log(weights.sum()) + scores.max()
        weights /= weights.sum()
        out.entropy[b] = -np.sum(weights[weights > 0] * np.log(weights[weights > 0]))
        best = np.sort(scores)[::-1][:num_best]
        out.best_scores[b, : len(best)] = best
        for t in range(chain.lengths[b]):
            np.add.at(out.smoothed[b, t], paths[:, t], weights)
            if t:
                np.add.at(out.pairwise[b, t - 1], (paths[:, t - 1], paths[:, t]), weights)
            start = chain._replace(lengths=np.full_like(chain.lengths, t + 1))
            prefix, prefix_scores = paths_and_scores(start, b)
            prefix_weights = np.exp(prefix_scores - prefix_scores.max())
            np.add.at(out.filtered[b, t], prefix[:, t], prefix_weights / prefix_weights.sum())
    return out
