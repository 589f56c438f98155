"""Label models on simulated text in which context decides; nothing is fitted to gold labels.

    python experiments/tagging/simulated.py [--seeds 5] [--sentences 400]

Words are vectors. Entities follow a Markov chain whose transitions depend on the word: a hidden direction of each
vector says, with noise, whether a word begins, continues or does not belong to an entity. A second direction, the same
for all words of a sentence, is its topic. Seven labelling functions mark entities, three of them only in the sentences
of their own topic, elsewhere almost at random. A vote counts all alike; an HMM learns one emission matrix for each; a
CHMM can see words and topic; Sparse-CHMM has the same knowledge in far fewer weights. Both start from the fitted HMM.
Prints entity F1 on new text, mean and standard deviation over the seeds, and the correlation of the reliabilities with
the functions' true F1.
"""

import argparse
import sys

import jax
import jax.numpy as jnp
import numpy as np

from jaxuq.metrics import entity_scores
from jaxuq.tagging import (
    EmbeddedText,
    NeuralLabelModel,
    SparseOptions,
    TrainOptions,
    bio_label_names,
    chmm,
    hmm,
    majority_vote,
    make_weak_labels,
    sparse_chmm,
    sparse_reliabilities,
)

NAMES = bio_label_names(["x", "y"])
RECALL = np.array([0.6, 0.5, 0.5, 0.4, 0.7, 0.7, 0.7])
NOISE = np.array([0.005, 0.01, 0.02, 0.03, 0.01, 0.01, 0.01])  # how often a function marks what is no entity
TOPIC = np.array([-1, -1, -1, -1, 0, 1, 2])  # the topic in which a function is any good; -1: all


def simulate(seed: int, sentences: int, width: int = 32, length: int = 20) -> EmbeddedText:
    """Text with gold labels; the seed of the vectors' directions is always the same."""
    directions = np.random.default_rng(0).normal(size=(8, width))
    directions = np.linalg.qr(directions.T)[0].T * 1.5
    rng = np.random.default_rng(seed)
    tokens, observations, labels, embeddings = [], [], [], []
    for _ in range(sentences):
        topic = int(rng.integers(3))
        gold, label = np.zeros(length, np.int32), 0
        for t in range(length):
            if label == 0:
                label = int(rng.choice([0, 1, 3], p=[0.86, 0.07, 0.07]))
            else:
                inside = (label + 1) // 2 * 2
                label = int(rng.choice([0, inside], p=[0.5, 0.5]))
            gold[t] = label
        vectors = rng.normal(size=(length, width)) + 2.0 * directions[gold] + 2.0 * directions[5 + topic]
        votes = np.zeros((length, len(RECALL)), np.int32)
        starts = [t for t in range(length) if gold[t] % 2 == 1]
        for k in range(len(RECALL)):
            at_home = TOPIC[k] in (-1, topic)
            for start in starts:
                end = start + 1
                while end < length and gold[end] == gold[start] + 1:
                    end += 1
                if rng.random() < (RECALL[k] if at_home else 0.15):
                    kind = gold[start] if rng.random() < (0.95 if at_home else 0.5) else 4 - gold[start]
                    votes[start, k], votes[start + 1 : end, k] = kind, kind + 1
            stray = (rng.random(length) < (NOISE[k] if at_home else 0.12)) & (votes[:, k] == 0)
            votes[stray, k] = rng.choice([1, 3], size=stray.sum())
        tokens.append(["word"] * length)
        observations.append(votes)
        labels.append(gold)
        embeddings.append(vectors.astype(np.float32))
    names = [f"function {k}" for k in range(len(RECALL))]
    return EmbeddedText(make_weak_labels(tokens, observations, labels, NAMES, names), embeddings)


def f1_of(text: EmbeddedText, labels: np.ndarray) -> float:
    """Entity F1 in per cent."""
    data = text.labels
    return 100 * entity_scores(data.tags(np.asarray(labels)), data.tags(data.labels)).f1


def run(models: dict, sparse: SparseOptions, seed: int, sentences: int) -> dict[str, float]:
    """F1 of each model on text it has not seen."""
    texts = [simulate(3 * seed + part + 1, count) for part, count in enumerate((sentences, sentences // 4, sentences))]
    train, valid, test = texts
    key, scores = jax.random.key(seed), {}
    arrays = [(jnp.asarray(t.labels.observations), jnp.asarray(t.labels.lengths)) for t in (train, test)]
    for name, model in models.items():
        if isinstance(model, NeuralLabelModel):
            params = model.fit(key, model.init(key, train), train, valid).params
            scores[name] = f1_of(test, model.predict(params, test).labels)
        else:
            params = model.fit(model.init(key, *arrays[0]), *arrays[0]).params
            scores[name] = f1_of(test, model.predict(params, *arrays[1]).labels)
    reliability = sparse_reliabilities(params, train, sparse)[..., 1:].mean((0, 2))
    true = [f1_of(train, train.labels.observations[..., k]) for k in range(len(RECALL))]
    scores["correlation of its reliabilities with the functions' F1"] = float(np.corrcoef(reliability, true)[0, 1])
    return scores


def main(args: argparse.Namespace) -> None:
    options = TrainOptions(num_epochs=args.epochs, learning_rate=1e-2, batch_size=50, patience=8)
    sparse = SparseOptions(expansion=200.0, base=1.0)
    models = {
        "majority vote": majority_vote(5),
        "HMM": hmm(5),
        "CHMM": chmm(5, options=options, statistics="hmm"),
        "Sparse-CHMM": sparse_chmm(5, options=options, sparse=sparse, statistics="hmm"),
    }
    rows = []
    for seed in range(args.seeds):
        rows.append(run(models, sparse, seed, args.sentences))
        print(seed, {name: round(value, 2) for name, value in rows[-1].items()}, file=sys.stderr, flush=True)
    print(f"| | mean of {args.seeds} seeds | std |\n|---|---|---|")
    for name in rows[0]:
        values = np.array([row[name] for row in rows])
        print(f"| {name} | {values.mean():.2f} | {values.std():.2f} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--sentences", type=int, default=400)
    main(parser.parse_args())
