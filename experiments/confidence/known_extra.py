"""Measures that `--measures all` leaves out, on the questions of `known_truth.py`: those that ask again or are fitted.

Iterated prompting and pair prediction see the probabilities of all options after each option was shown (exact: a
question has six); the model was not trained on pairs, so that the second measures how it copies. Members of the
ensemble are the snapshots after each epoch of the same tuning, which cost nothing. Logistic regressions, the probe, the
distance and the confidence at each prefix are fitted on half of the questions, twins together, and applied to the
other, both ways.

What others ask a larger model for is made by rules here, or is exact: claim-conditioned probability knows that another
option contradicts and nothing entails; paraphrases are two further wordings of each relation, and the similarity of two
answers the probability that draws from both are equal; examples that stand in several orders are questions with one
answer, told most often, about other relations; comparisons are with a few other questions each, in both orders (both by
the first token of each answer, one pass a prompt); rare words are rare in the texts that the model was tuned on, and
the keyword of an answer is the answer.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jaxuq.confidence import (
    MEASURES,
    alternatives_confidence,
    backward_integration,
    claim_conditioned_probability,
    ensemble_sequence_uncertainty,
    ensemble_uncertainty,
    fit_logistic,
    fit_mahalanobis,
    focus,
    inverse_entropy,
    iterated_mutual_information,
    logistic_confidence,
    mahalanobis_distance,
    order_average,
    pair_prediction,
    relative_confidence,
)
from jaxuq.confidence.study.lines import unpacked
from jaxuq.experts import load_adapter_checkpoints
from jaxuq.language import LanguageModel, merge_adapters, model_digest, score
from jaxuq.networks import LoraConfig
from jaxuq.questions import KnownQuestion, Question, lay_out

SHOWN = "Consider the following question: Q: {question}\nOne answer to question Q is {answer}.\nQ: {question}\nA:"
ALTERNATIVES = 6  # tokens at each place
LIKELY = 100  # tokens at most have a probability of 0.01, below which Focus cuts
COMPARED = "Q: {first}\nQ: {second}\nOf which of the two are you more certain, the first or the second?\nA:"
OPPONENTS = 2  # of each question, besides those that it is an opponent of
PARAPHRASES = {
    "What does {name} drink?": ("Which drink does {name} take?", "{name} drinks what?"),
    "Which animal does {name} keep?": ("What animal lives with {name}?", "{name} keeps which animal?"),
    "What colour is the hat of {name}?": (
        "Which colour has the hat of {name}?",
        "The hat of {name} is of what colour?",
    ),
    "Which instrument does {name} play?": ("What instrument is played by {name}?", "{name} plays which instrument?"),
    "What does {name} grow?": ("Which plant does {name} grow?", "{name} grows what?"),
    "In which room does {name} sleep?": ("Which room does {name} sleep in?", "{name} sleeps in which room?"),
}
DIRECTIONS = 32  # of the hidden states, by variance; the distance from 300 states in 576 dimensions is none


def bare_prompt(question: str) -> str:
    """A question without shown examples: the tuned model knows the form, and a third of the tokens is left."""
    return f"Q: {question}\nA:"


def _reply(answer: str) -> str:
    """As the model was tuned to say it; of nothing, what precedes an answer."""
    return lay_out(Question("", "", (answer or "x",)), "short").reply.removesuffix("" if answer else "x.")


def option_log_probs(model: LanguageModel, known: Sequence[KnownQuestion], shown: int | None = None) -> np.ndarray:
    """Log-probability of each option of each question, `[questions, options]`; after option `shown` was, if given."""
    asked, replies = [], []
    for one in known:
        prompt = bare_prompt(one.question)
        if shown is not None:
            prompt = SHOWN.format(question=one.question, answer=one.options[shown])
        for option in one.options:
            asked.append(prompt)
            replies.append(_reply(option))
    answers = score(model, asked, replies, chat=False, batch_size=32)
    return np.array([float(np.sum(one.log_probs)) for one in answers]).reshape(len(known), -1)


def word_log_probs(model: LanguageModel, prompts: Sequence[str], words: Sequence[Sequence[str]]) -> np.ndarray:
    """Log-probability of each word as the answer, by its first token, from one pass a prompt instead of one a word.

    A word that is not among the likeliest tokens there has the probability of the least of these.
    """
    before = _words_before(model)
    first = {word: model.tokenizer.encode(_reply(word))[before] for some in words for word in some}
    read = score(model, prompts, [_reply(some[0]) for some in words], chat=False, batch_size=32,
                 top_alternatives=LIKELY)  # fmt: skip
    found = []
    for some, one in zip(words, read):
        tokens, log_probs = (np.asarray(part)[before] for part in one.alternatives)
        given = dict(zip(tokens.tolist(), log_probs.tolist()))
        found.append([given.get(first[word], float(log_probs.min())) for word in some])
    return np.array(found)


def _words_before(model: LanguageModel) -> int:
    """How many tokens of a reply precede the answer."""
    return len(model.tokenizer.encode(_reply("").rstrip()))


def keep(folder: Path, model: LanguageModel, name: str, compute: Callable[[], np.ndarray]) -> np.ndarray:
    """What was computed with this very model before, or now."""
    file = folder / f"extra-{model_digest(model)[:12]}-{name}.npy"
    if not file.exists():
        np.save(file, compute())
        print(f"{name}: done", flush=True)
    return np.load(file)


def extra_measures(
    base: LanguageModel,
    tuned: LanguageModel,
    known: Sequence[KnownQuestion],
    folder: Path,
    once: np.ndarray,
    lines: Mapping[str, Mapping],
    groups: np.ndarray,
    adapters: LoraConfig,
    corpus: Sequence[str],
    seed: int,
) -> dict[str, np.ndarray]:
    """Uncertainty by each of these measures, a number a question; goes on from `extra-*.npy` in the folder."""

    kept = functools.partial(keep, folder, tuned)
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
    asked = [kept(f"paraphrase-{at}", lambda at=at: option_log_probs(tuned, _reworded(known, at))) for at in (0, 1)]
    ordered = [kept(f"order-{at}", lambda at=at: _with_examples(tuned, known, at)) for at in (0, 1)]
    found |= {
        "claim_conditioned_probability": _claims(once, chosen),
        "inverse_entropy": _inverse_entropy(tuned, known, np.stack([once, *asked])),
        "order_average": _order_average(np.stack([once, *ordered])),
        "relative_confidence": -kept("relative", lambda: _compared(tuned, known, seed)),
        "focus": kept("focus", lambda: _focus(tuned, known, lines, corpus)),
    }
    states = kept("prefixes", lambda: _prefix_states(tuned, known, lines))
    return found | _fitted(known, lines, groups, seed, states)


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


def _claims(once: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Of the answer among the options, all others contradicting it; what is no option has none."""
    relations = np.where(np.arange(once.shape[1])[None] == chosen[:, None], 1, -1)
    values = jax.vmap(claim_conditioned_probability)(
        jnp.exp(jnp.asarray(once))[:, None], jnp.asarray(relations)[:, None]
    )
    return np.where(chosen >= 0, np.asarray(values), np.nan)


def _reworded(known: Sequence[KnownQuestion], number: int) -> list[KnownQuestion]:
    found = []
    for one in known:
        start, end, words = next(
            (start, end, words)
            for (start, _, end), words in ((form.partition("{name}"), words) for form, words in PARAPHRASES.items())
            if one.question.startswith(start) and one.question.endswith(end)
        )
        name = one.question[len(start) : len(one.question) - len(end)]
        found.append(one._replace(question=words[number].format(name=name)))
    return found


def _inverse_entropy(model: LanguageModel, known: Sequence[KnownQuestion], log_probs: np.ndarray) -> np.ndarray:
    """Similarity of questions: cosine of mean hidden states less those of all; of answers: that draws are equal."""
    wordings = [known, _reworded(known, 0), _reworded(known, 1)]
    vectors = []
    for asked in wordings:
        read = score(model, "Q:", [f" {one.question}" for one in asked], chat=False, batch_size=32, keep_hidden=True)
        vectors.append(np.stack([np.asarray(one.hidden, np.float32).mean(0) for one in read]))
    vectors = np.stack(vectors, axis=1)
    vectors = vectors - vectors.mean(axis=(0, 1))
    vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
    probabilities = np.exp(np.asarray(_normal(log_probs))).swapaxes(0, 1)
    prompts = np.abs(np.einsum("qaw,qbw->qab", vectors, vectors))
    answers = np.einsum("qao,qbo->qab", probabilities, probabilities)
    return np.asarray(jax.vmap(inverse_entropy)(jnp.asarray(prompts), jnp.asarray(answers, jnp.float32)))


def _with_examples(model: LanguageModel, known: Sequence[KnownQuestion], turn: int) -> np.ndarray:
    """Log-probabilities of the options after two examples, in one of their two orders."""
    told = [one for one in known if one.kind == "single" and one.told == max(other.told for other in known)]

    def example(one: KnownQuestion) -> str:
        answer = one.options[int(np.argmax(one.probabilities))]
        return f"Q: {one.question}\nA:{_reply(answer)}"

    prompts = []
    for number, one in enumerate(known):
        others = [other for other in told if other.options != one.options]
        shown = [example(others[(number * 7 + step) % len(others)]) for step in (0, 3)]
        prompts.append("\n".join([*(shown if turn == 0 else shown[::-1]), bare_prompt(one.question)]))
    return word_log_probs(model, prompts, [one.options for one in known])


def _order_average(log_probs: np.ndarray) -> np.ndarray:
    """Entropy of the mean prediction over the prompt without examples and with them in both orders."""
    found = jax.vmap(order_average, in_axes=1)(jnp.asarray(log_probs, jnp.float32))
    probabilities = np.exp(np.asarray(found.log_probs))
    return -(probabilities * np.log(np.maximum(probabilities, 1e-30))).sum(axis=-1)


def _compared(model: LanguageModel, known: Sequence[KnownQuestion], seed: int) -> np.ndarray:
    """Confidence from comparisons of each question with a few others."""
    rng, count = np.random.default_rng([seed, 2]), len(known)
    pairs = [
        (i, int((i + step) % count)) for step in rng.choice(np.arange(1, count), OPPONENTS, False) for i in range(count)
    ]
    asked = [*pairs, *((j, i) for i, j in pairs)]
    prompts = [COMPARED.format(first=known[i].question, second=known[j].question) for i, j in asked]
    log_probs = word_log_probs(model, prompts, [("first", "second")] * len(prompts))
    first = np.exp(np.asarray(_normal(log_probs)))[:, 0]
    wins, made = np.zeros((count, count), np.float32), np.zeros((count, count), bool)
    for (i, j), probability in zip(asked, first):
        wins[i, j] += probability
        wins[j, i] += 1 - probability
        made[i, j] = made[j, i] = True
    return np.asarray(relative_confidence(jnp.asarray(wins), where=jnp.asarray(made)))


def _focus(
    model: LanguageModel, known: Sequence[KnownQuestion], lines: Mapping[str, Mapping], corpus: Sequence[str]
) -> np.ndarray:
    """Of the option that is answered, the only keyword; of its tokens none looks back."""
    documents = [set(model.tokenizer.encode(text)) for text in corpus]
    counts: dict[int, int] = {}
    for tokens in documents:
        for token in tokens:
            counts[token] = counts.get(token, 0) + 1
    prompts = [bare_prompt(one.question) for one in known]
    answers = score(model, prompts, [lines[one.id]["response"] for one in known], chat=False, batch_size=32,
                    top_alternatives=LIKELY)  # fmt: skip
    before, found = _words_before(model), []
    for one in answers:
        tokens, log_probs = one.alternatives
        said = np.asarray(one.tokens)[:, None] == np.asarray(tokens)
        rare = np.array([[np.log(len(documents) / (counts.get(int(t), 0) + 1)) for t in row] for row in tokens])
        values = [
            float(focus(jnp.exp(jnp.asarray(log_probs[t])[None]), jnp.asarray(said[t][None], jnp.float32),
                        jnp.asarray(rare[t], jnp.float32), jnp.zeros((1, 1)), jnp.ones(1, bool)))
            for t in range(before, len(one.tokens) - 1)
        ]  # fmt: skip
        found.append(np.mean(values) if values else np.nan)
    return np.array(found)


def _prefix_states(model: LanguageModel, known: Sequence[KnownQuestion], lines: Mapping[str, Mapping]) -> np.ndarray:
    """Last hidden states before the first token of each response and before its last: `[question, prefix, width]`."""
    prompts = [bare_prompt(one.question) for one in known]
    read = score(model, prompts, [lines[one.id]["response"] + "\n" for one in known], chat=False, batch_size=32,
                 keep_hidden=True)  # fmt: skip
    return np.stack([np.asarray(one.hidden, np.float32)[[0, -1]] for one in read])


def _fitted(
    known: Sequence[KnownQuestion], lines: Mapping[str, Mapping], groups: np.ndarray, seed: int, prefixes: np.ndarray
) -> dict[str, np.ndarray]:
    """What is fitted on one half of the groups and applied to the other, both ways; the lower, the surer."""
    spans = prefixes.std(axis=0)
    steps = (prefixes - prefixes.mean(axis=0)) / np.where(spans > 0, spans, 1.0)
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
    found = {name: np.full(len(known), np.nan) for name in (*features, "mahalanobis_distance", "backward_integration")}
    for own in (half, ~half):
        for name, (values, ridge) in features.items():
            state = fit_logistic(jnp.asarray(values, jnp.float32), correct, ridge=ridge, where=jnp.asarray(own))
            found[name][~own] = -np.asarray(logistic_confidence(state, jnp.asarray(values, jnp.float32)))[~own]
        states_of = [
            fit_logistic(jnp.asarray(steps[:, j]), correct, ridge=100.0, where=jnp.asarray(own)) for j in (0, 1)
        ]
        each = [logistic_confidence(state, jnp.asarray(steps[:, j])) for j, state in enumerate(states_of)]
        whole = jax.vmap(backward_integration)(jnp.stack(each, axis=1))
        found["backward_integration"][~own] = -np.asarray(whole)[~own, 0]
        told = own & np.array([one.told > 0 for one in known])
        distances = mahalanobis_distance(fit_mahalanobis(jnp.asarray(projected[told])), jnp.asarray(projected))
        found["mahalanobis_distance"][~own] = np.asarray(distances)[~own]
    return found


def _number(value: float | None) -> float:
    return np.nan if value is None else value
