"""Which spans of a language model are wrong? Without gold labels: POLAR beside agreement, functions and label models.

    python experiments/extraction/risk.py            # ten minutes on one core, most of it word vectors, once

The stored replies of GPT-3.5 on the test part of CoNLL-2003 (`gno`; G&O, one conversation a type) are joined with the
labelling functions that were published for the same sentences (`ner_weak`), both in JAXUQ_DATA. Each span that the
model names gets scores of how likely it is wrong; a row is the area under the ROC curve against gold labels, which
nothing but that area sees. Intervals of 95 % are over sentences; the last column is the gain over agreement, on the
same resamples.

- agreement: of the replies to five ways of asking, of which the first is the one that is judged
- functions: share that marks this very span, of those that mark any of its words
- HMM, functions: 1 - the product of its marginals; fitted to these sentences, without gold
- HMM, functions and model: the same with the model as one more labelling function
- POLAR: a harmoniser on frozen MiniLM vectors, taught by functions and model at once; four ways to join losses
- POLAR, five ways: all five ways of asking are sources

Probabilities of tokens were not stored with the replies, so that they cannot take part.

References:
    Zhao, Wei, Preston, Poon. Pareto optimal learning for estimating large language model errors. ACL 2024.
"""

import argparse
import gzip
import json
import os
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
from scipy.stats import rankdata
from sklearn.metrics import roc_auc_score

from jaxuq.extraction import (
    agreement,
    fit_harmoniser,
    harmonised,
    make_reader,
    make_schema,
    read_all_entities,
    read_entities,
    read_passages,
    span_risk,
)
from jaxuq.metrics import entity_spans
from jaxuq.tagging import embed_words, hmm, load_weak_labels

ASKED = (
    "gpt-3.5__ino",
    "gpt-3.5-no-cot__ino",
    "gpt-3.5-no-result-removal__ino",
    "gpt-3.5__one_step",
    "gpt-3.5__aeio",
)
AGREEMENT = "agreement of five ways of asking"
FUNCTIONS = "labelling functions that mark the span, of those that mark a word of it"
TYPES = {"person": "PER", "location": "LOC", "organization": "ORG"}


def replies(folder, sentences):
    """Of each way of asking and sentence, the spans `(start, end, type)` over its words."""
    place = folder / "gno" / "ner" / "CoNLL 2003"
    schema = make_schema(json.loads((place / "meta.json").read_text(encoding="utf-8")))
    passages = read_passages(place / "test.json", schema)
    readers = [make_reader(passage.text) for passage in passages]
    assert [passage.text.text for passage in passages] == [" ".join(words) for words in sentences]
    labels = {kind.name: kind.label for kind in schema.entities}
    columns = {kind.name: kind.column for kind in schema.entities}
    starts = [np.cumsum([0, *(len(word) + 1 for word in words)]) for words in sentences]
    found = []
    for asked in ASKED:
        file = folder / "gno" / "outputs" / f"NER__{asked}__CoNLL_2003.jsonl.gz"
        with gzip.open(file, "rt", encoding="utf-8") as stream:
            final = {record["idx"]: record["final"] for record in map(json.loads, stream)}
        samples = []
        for row, reader in enumerate(readers):
            said = final.get(row, {})
            if isinstance(said, str):
                spans = [span for group in read_all_entities(said, labels, reader)[0].values() for span in group]
            else:
                spans = [
                    span for name in TYPES for span in read_entities(said.get(name, ""), name, columns[name], reader)[0]
                ]
            placed = (in_words(span, reader, starts[row]) for span in spans)
            samples.append([span for span in placed if span])
        found.append(samples)
    return found


def in_words(span, reader, starts):
    """The span over the words of CoNLL, with its match; None for a type that was not asked for everywhere."""
    if span.type not in TYPES:
        return None
    first, last = reader.text.characters(span.start, span.end)
    begin = int(np.searchsorted(starts, first, side="right")) - 1
    end = int(np.searchsorted(starts, last - 1, side="right"))
    return span._replace(start=begin, end=end, type=TYPES[span.type])


def votes_of(samples, lengths, label_names):
    """Labels of all words, one after another; of two spans at a word the better match, then the longer, stays."""
    index, votes = {name: number for number, name in enumerate(label_names)}, []
    for spans, length in zip(samples, lengths):
        row = np.zeros(length, np.int32)
        for span in sorted(spans, key=lambda span: (-span.score, span.start - span.end)):
            if not row[span.start : span.end].any():
                row[span.start : span.end] = index[f"I-{span.type}"]
                row[span.start] = index[f"B-{span.type}"]
        votes.append(row)
    return np.concatenate(votes)


def silent(votes):
    """An `O` of a function where another marks an entity says nothing; the model always means what it says."""
    return np.where((votes > 0).any(1, keepdims=True) & (votes == 0), -1, votes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resamples", type=int, default=500)
    resamples = parser.parse_args().resamples
    folder = pathlib.Path(os.environ["JAXUQ_DATA"])
    data = load_weak_labels(folder / "ner_weak" / "CoNLL", "test")
    lengths, names = data.lengths, data.label_names
    index = {name: number for number, name in enumerate(names)}
    samples = replies(folder, data.tokens)
    model = [votes_of(one, lengths, names) for one in samples]
    inside = np.arange(data.observations.shape[1])[None] < lengths[:, None]
    functions = data.observations[inside]
    sentence = np.repeat(np.arange(len(lengths)), lengths).astype(np.int32)
    begins = np.concatenate([[0], np.cumsum(lengths)])

    # what is judged: every span that the first way of asking names
    gold = [set(entity_spans(tags)) for tags in data.tags(data.labels)]
    judged = [(row, *span[:3]) for row, spans in enumerate(samples[0]) for span in sorted(set(spans))]
    judged = list(dict.fromkeys(judged))
    wrong = np.array([(start, end, kind) not in gold[row] for row, start, end, kind in judged])
    print(f"{len(judged)} spans, {wrong.mean():.1%} wrong")

    longest = max(end - start for _, start, end, _ in judged)
    words = np.zeros((len(judged), longest), np.int32)
    labels = np.full((len(judged), longest), -1, np.int32)
    for number, (row, start, end, kind) in enumerate(judged):
        words[number, : end - start] = begins[row] + np.arange(start, end)
        labels[number, : end - start] = [index[f"B-{kind}"], *[index[f"I-{kind}"]] * (end - start - 1)]

    def risk(probabilities):
        own = jnp.asarray(probabilities, jnp.float32)[words]
        return np.asarray(span_risk(own, jnp.asarray(labels), where=jnp.asarray(labels >= 0)))

    scores = {}
    shares = [{tuple(span[:3]): span.confidence for span in agreement(list(own))} for own in zip(*samples)]
    scores[AGREEMENT] = np.array([1 - shares[row][start, end, kind] for row, start, end, kind in judged])
    said = [
        [set(entity_spans(tags)) for tags in data.tags(data.observations[:, :, number])]
        for number in range(len(data.function_names))
    ]
    marks = [
        ([(start, end, kind) in one[row] for one in said],
         [any(a < end and start < b for a, b, _ in one[row]) for one in said])
        for row, start, end, kind in judged
    ]  # fmt: skip
    scores[FUNCTIONS] = np.array([1 - sum(same) / max(sum(any_), 1) for same, any_ in marks])

    def label_model(votes):
        padded = np.full((*inside.shape, votes.shape[1]), -1, np.int32)
        padded[inside] = votes
        fitted_to = jnp.asarray(padded), jnp.asarray(lengths)
        made = hmm(len(names))
        params = jax.jit(made.fit)(made.init(jax.random.key(0), *fitted_to), *fitted_to).params
        return np.asarray(jax.jit(made.predict)(params, *fitted_to).probabilities)[inside]

    scores["HMM, functions"] = risk(label_model(silent(functions)))
    scores["HMM, functions and model"] = risk(label_model(np.column_stack([silent(functions), model[0]])))

    vectors = jnp.asarray(np.concatenate(embed_words("minilm", data.tokens)))
    teach = jax.jit(fit_harmoniser, static_argnames=("num_labels", "num_examples", "kind"))
    for title, asked, kinds in (
        ("POLAR", model[:1], ("linear", "square", "norm", "max")), ("POLAR, five ways", model, ("square",))
    ):  # fmt: skip
        votes = np.column_stack([silent(functions), *asked])
        for kind in kinds:
            taught = teach(
                vectors, jnp.asarray(votes), jnp.asarray(sentence), len(names), num_examples=len(lengths), kind=kind
            )
            scores[f"{title}, {kind}"] = risk(harmonised(taught, vectors))
    for name in ("HMM, functions and model", "POLAR, square"):
        ranks = [rankdata(scores[one]) / len(judged) for one in (AGREEMENT, name)]
        scores[f"mean rank of agreement and {name}"] = np.mean(ranks, axis=0)

    rows = np.array([one[0] for one in judged])
    of_row = [np.flatnonzero(rows == row) for row in np.unique(rows)]
    rng = np.random.default_rng(0)
    draws = [np.concatenate([of_row[n] for n in rng.integers(0, len(of_row), len(of_row))]) for _ in range(resamples)]
    areas = {name: np.array([roc_auc_score(wrong[d], one[d]) for d in draws]) for name, one in scores.items()}
    print("\n| score | AUROC | gain over agreement |\n|---|---|---|")
    for name, one in scores.items():
        low, high = np.quantile(areas[name], [0.025, 0.975])
        first = f"{roc_auc_score(wrong, one):.3f} ({low:.3f} to {high:.3f})"
        gain = areas[name] - areas[AGREEMENT]
        low, high = np.quantile(gain, [0.025, 0.975])
        point = roc_auc_score(wrong, one) - roc_auc_score(wrong, scores[AGREEMENT])
        second = "" if name == AGREEMENT else f" {point:+.3f} ({low:+.3f} to {high:+.3f})"
        print(f"| {name} | {first} |{second} |")


if __name__ == "__main__":
    main()
