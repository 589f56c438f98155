"""Measures that `--measures all` leaves out, on the questions of `known_truth.py`: those that ask again or are fitted.

Iterated prompting and pair prediction see the probabilities of all options after each option was shown (exact: a
question has six); the model was not trained on pairs, so that the second measures how it copies. Members of the
ensemble are the snapshots after each epoch of the same tuning, which cost nothing. Logistic regressions, the probe and
the distance are fitted on half of the questions, twins together, and applied to the other, both ways.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jaxuq.confidence import (
    MEASURES,
    alternatives_confidence,
    ensemble_sequence_uncertainty,
    ensemble_uncertainty,
    fit_logistic,
    fit_mahalanobis,
    iterated_mutual_information,
    logistic_confidence,
    mahalanobis_distance,
    pair_prediction,
)
from jaxuq.confidence.study.lines import unpacked
from jaxuq.experts import load_adapter_checkpoints
from jaxuq.language import LanguageModel, merge_adapters, score
from jaxuq.networks import LoraConfig
from jaxuq.questions import KnownQuestion, Question, lay_out

SHOWN = "Consider the following question: Q: {question}\nOne answer to question Q is {answer}.\nQ: {question}\nA:"
ALTERNATIVES = 6  # tokens at each place
DIRECTIONS = 32  # of the hidden states, by variance; the distance from 300 states in 576 dimensions is none


def bare_prompt(question: str) -> str:
    """A question without shown examples: the tuned model knows the form, and a third of the tokens is left."""
    return f"Q: {question}\nA:"


def option_log_probs(model: LanguageModel, known: Sequence[KnownQuestion], shown: int | None = None) -> np.ndarray:
    """Log-probability of each option of each question, `[questions, options]`; after option `shown` was, if given."""
    prompts, replies = [], []
    for one in known:
        prompt = bare_prompt(one.question)
        if shown is not None:
            prompt = SHOWN.format(question=one.question, answer=one.options[shown])
        for option in one.options:
            prompts.append(prompt)
            replies.append(lay_out(Question(one.id, one.question, (option,)), "short").reply)
    answers = score(model, prompts, replies, chat=False, batch_size=32)
    return np.array([float(np.sum(one.log_probs)) for one in answers]).reshape(len(known), -1)


def extra_measures(
    base: LanguageModel,
    tuned: LanguageModel,
    known: Sequence[KnownQuestion],
    folder: Path,
    once: np.ndarray,
    lines: Mapping[str, Mapping],
    groups: np.ndarray,
    adapters: LoraConfig,
    seed: int,
) -> dict[str, np.ndarray]:
    """Uncertainty by each of these measures, a number a question; goes on from `extra-*.npy` in the folder."""

    def kept(name: str, compute) -> np.ndarray:
        file = folder / f"extra-{name}.npy"
        if not file.exists():
            np.save(file, compute())
            print(f"{name}: done", flush=True)
        return np.load(file)

    again = np.stack([kept(f"after-{at}", lambda at=at: option_log_probs(tuned, known, at))
                      for at in range(once.shape[1])], axis=1)  # fmt: skip
    iterated = jax.vmap(iterated_mutual_information)(jnp.asarray(once), jnp.asarray(again)).mutual_information
    chosen = np.array([_place(lines[one.id]["answer"], one.options) for one in known])
    pairs = jax.vmap(pair_prediction)(jnp.exp(_normal(once)), jnp.exp(_normal(again))).confidence
    paired = np.where(chosen >= 0, np.asarray(pairs)[np.arange(len(known)), chosen], np.nan)
    snapshots = load_adapter_checkpoints(folder / "tuning")
    members = [once]
    for number, one in enumerate(snapshots[:-1]):
        model = base._replace(params=merge_adapters(base.params, one.lora, adapters))
        members.append(kept(f"epoch-{number + 1}", lambda model=model: option_log_probs(model, known)))
    stacked = jnp.asarray(np.stack(members))
    ensemble = ensemble_uncertainty(stacked)
    sequences = jax.vmap(ensemble_sequence_uncertainty, in_axes=1)(stacked)
    found = {
        "iterated_mutual_information": np.asarray(iterated),
        "pair_prediction": -paired,
        "alternatives_confidence": -kept("alternatives", lambda: _alternatives(tuned, known, lines)),
        "ensemble_uncertainty": np.asarray(ensemble.mutual_information),
        "ensemble_sequence_uncertainty": np.asarray(sequences.reverse_mutual_information),
    }
    return found | _fitted(known, lines, groups, seed)


def _place(answer: str | None, options: Sequence[str]) -> int:
    return list(options).index(answer) if answer in options else -1


def _normal(log_probs: np.ndarray) -> jax.Array:
    return jax.nn.log_softmax(jnp.asarray(log_probs), axis=-1)


def _alternatives(model: LanguageModel, known: Sequence[KnownQuestion], lines: Mapping[str, Mapping]) -> np.ndarray:
    """The least confidence of a response's tokens against their alternatives."""
    prompts = [bare_prompt(one.question) for one in known]
    answers = score(model, prompts, [lines[one.id]["response"] for one in known], chat=False, batch_size=32,
                    top_alternatives=ALTERNATIVES)  # fmt: skip
    return np.array([float(alternatives_confidence(jnp.asarray(one.alternatives[1])).min()) for one in answers])


def _fitted(
    known: Sequence[KnownQuestion], lines: Mapping[str, Mapping], groups: np.ndarray, seed: int
) -> dict[str, np.ndarray]:
    """What is fitted on one half of the groups and applied to the other, both ways; the lower, the surer."""
    correct = jnp.asarray([lines[one.id]["correct"] is True for one in known], jnp.float32)
    scores = {name: np.array([_number(lines[one.id]["measures"].get(name)) for one in known])
              for name in MEASURES}  # fmt: skip
    usual = {name: values for name, values in scores.items() if np.isfinite(values).all() and values.std() > 0}
    single = [
        values for name, values in usual.items() if MEASURES[name].about["group"] in ("uqac", "answer", "response")
    ]
    half = np.random.default_rng([seed, 1]).permutation(groups.max() + 1)[groups] <= groups.max() // 2
    states = np.stack([unpacked(lines[one.id]["state"]) for one in known])
    spread = states.std(axis=0)
    standard = (states - states.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    projected = standard @ np.linalg.svd(standard, full_matrices=False)[2][:DIRECTIONS].T
    features = {"logistic_single": (np.stack(single, 1), 1.0), "logistic_all": (np.stack(list(usual.values()), 1), 1.0),
                "p_ik": (standard, 100.0)}  # fmt: skip
    found = {name: np.full(len(known), np.nan) for name in (*features, "mahalanobis_distance")}
    for own in (half, ~half):
        for name, (values, ridge) in features.items():
            state = fit_logistic(jnp.asarray(values, jnp.float32), correct, ridge=ridge, where=jnp.asarray(own))
            found[name][~own] = -np.asarray(logistic_confidence(state, jnp.asarray(values, jnp.float32)))[~own]
        told = own & np.array([one.told > 0 for one in known])
        distances = mahalanobis_distance(fit_mahalanobis(jnp.asarray(projected[told])), jnp.asarray(projected))
        found["mahalanobis_distance"][~own] = np.asarray(distances)[~own]
    return found


def _number(value: float | None) -> float:
    return np.nan if value is None else value
