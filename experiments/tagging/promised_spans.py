"""Promised recall and precision of spans on halves that were held out: a label model on CoNLL, replies of a chat model.

    python experiments/tagging/promised_spans.py               # both, some minutes on one core
    python experiments/tagging/promised_spans.py --only conll  # one of them: conll, gno
    python experiments/tagging/promised_spans.py --worlds 500  # simulated texts, a minute

Of each data set the texts are divided at random, one half calibrates, the other is measured, again and again. `conll`:
the HMM on the votes of CoNLL-2003 (`ner_weak`), fitted to the valid part without gold, candidates from its marginals on
the test part. `gno`: the stored replies of GPT-3.5 of the G&O paper (`gno`), five ways of asking for one text taken as
five samples, candidates by how many of them name a span. Both in JAXUQ_DATA.

A row a type: how often a division could promise it; recall (or precision) on the held-out half, on average over its
texts, as promised, then over those divisions; in how many of these it is reached; and the other of the two, the price.

With `--worlds` each world has 80 new texts, of one to four entities that are found by chance, and wrong spans among
them; what it promises is measured on 1,000 others. Recall is promised on average over worlds, precision in all but a
tenth of them, and the row says in how many it fails, and how many may by chance (the 99.9 % point of the binomial
distribution).

References:
    Angelopoulos, Bates, Fisch, Lei and Schuster. Conformal Risk Control. ICLR 2024.
    Angelopoulos, Bates, Candès, Jordan and Lei. Learn Then Test. Annals of Applied Statistics 2025.
"""

import argparse
import gzip
import json
import os
import pathlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from jaxuq.tagging import SpanPromise, calibrating_half, keep_spans

PROMISES = (
    SpanPromise("recall", 0.6),
    SpanPromise("recall", 0.8),
    SpanPromise("recall", 0.9),
    SpanPromise("precision", 0.8),
)
GNO_RUNS = (
    "gpt-3.5__ino",
    "gpt-3.5-no-cot__ino",
    "gpt-3.5-no-result-removal__ino",
    "gpt-3.5__one_step",
    "gpt-3.5__aeio",
)


class Spans(NamedTuple):
    """What was found in each text of a data set, and what is there."""

    name: str
    types: tuple[str, ...]
    candidates: list[dict]
    gold: list[list]


def conll(folder: pathlib.Path) -> Iterable[Spans]:
    """The HMM's candidates on CoNLL."""
    import jax
    import jax.numpy as jnp

    from jaxuq.metrics import entity_spans
    from jaxuq.tagging import candidate_spans, hmm, load_weak_labels

    fit, test = (load_weak_labels(folder / "ner_weak" / "CoNLL", part) for part in ("valid", "test"))
    model = hmm(len(test.label_names))
    arrays = jnp.asarray(fit.observations), jnp.asarray(fit.lengths)
    fitted = jax.jit(model.fit)(model.init(jax.random.key(0), *arrays), *arrays)
    forecast = jax.jit(model.predict)(fitted.params, jnp.asarray(test.observations), jnp.asarray(test.lengths))
    marginals = np.asarray(forecast.probabilities)
    candidates = [candidate_spans(row[:length], test.label_names) for row, length in zip(marginals, test.lengths)]
    types = tuple(dict.fromkeys(name[2:] for name in test.label_names[1:]))
    yield Spans("CoNLL-2003, HMM", types, candidates, [entity_spans(tags) for tags in test.tags(test.labels)])


def gno(folder: pathlib.Path) -> Iterable[Spans]:
    """The candidates of GPT-3.5 on both data sets of entities: agreement of five runs."""
    from jaxuq.extraction import (
        agreement,
        make_reader,
        make_schema,
        read_all_entities,
        read_entities,
        read_passages,
    )

    for name in ("CoNLL 2003", "PolyIE"):
        place = folder / "gno" / "ner" / name
        schema = make_schema(json.loads((place / "meta.json").read_text(encoding="utf-8")))
        passages = read_passages(place / "test.json", schema)
        readers = [make_reader(passage.text) for passage in passages]
        labels = {kind.name: kind.label for kind in schema.entities}
        samples: list[list[list]] = [[] for _ in passages]
        for run in GNO_RUNS:
            file = folder / "gno" / "outputs" / f"NER__{run}__{name.replace(' ', '_')}.jsonl.gz"
            with gzip.open(file, "rt", encoding="utf-8") as stream:
                final = {record["idx"]: record["final"] for record in map(json.loads, stream)}
            for row, reader in enumerate(readers):
                said = final.get(row, {})
                if isinstance(said, str):
                    found = [span for group in read_all_entities(said, labels, reader)[0].values() for span in group]
                else:
                    found = [
                        span
                        for kind in schema.entities
                        for span in read_entities(said.get(kind.name, ""), kind.name, kind.column, reader)[0]
                    ]
                samples[row].append(found)
        candidates = [{span[:3]: span.confidence for span in agreement(own)} for own in samples]
        gold = [[span[:3] for span in passage.gold or ()] for passage in passages]
        yield Spans(f"{name}, GPT-3.5", schema.names, candidates, gold)


def shares(kept: Sequence[Sequence], gold: Sequence[Sequence], kind: str) -> tuple[float, float]:
    """Recall and precision of a type, each on average over the texts where it means something."""
    recalls, precisions = [], []
    for some, true in zip(kept, gold):
        own, right = ({span for span in spans if span[2] == kind} for spans in (some, true))
        recalls += [len(own & right) / len(right)] if right else []
        precisions += [len(own & right) / len(own)] if own else []
    return tuple(float(np.mean(values)) if values else float("nan") for values in (recalls, precisions))  # type: ignore


def measure(spans: Spans, divisions: int) -> list[str]:
    """Lines of the table."""
    lines = []
    for promise in PROMISES:
        found: dict[str, list] = {kind: [] for kind in spans.types}
        for seed in range(divisions):
            half = calibrating_half([True] * len(spans.gold), seed)
            known, rest = np.flatnonzero(half), np.flatnonzero(~half)
            thresholds = promise.thresholds(
                [spans.candidates[row] for row in known], [spans.gold[row] for row in known], spans.types
            )
            kept = [keep_spans(spans.candidates[row], thresholds) for row in rest]
            for kind in spans.types:
                values = shares(kept, [spans.gold[row] for row in rest], kind)
                found[kind].append((*values, thresholds.reached[kind], thresholds.texts[kind]))
        for kind, rows in found.items():
            table = np.array(rows, float)
            held = table[table[:, 2] > 0]
            own, other = (0, 1) if promise.kind == "recall" else (1, 0)
            said = "– | – | –"
            if len(held):
                reached = (held[:, own] >= promise.level).mean()
                said = f"{held[:, own].mean():.3f} | {reached:.0%} | {held[:, other].mean():.3f}"
            count, promised = round(table[:, 3].mean()), f"{len(held)} of {divisions}"
            lines.append(
                f"| {spans.name} | {promise.kind} {promise.level:g} | {kind} | {count} | {promised} | {said} |"
            )
    return lines


def _world(rng: np.random.Generator, texts: int) -> tuple[list[dict], list[list]]:
    """Candidates with scores, some of them right, and right spans that nobody proposed."""
    candidates, gold = [], []
    for _ in range(texts):
        right = [(place, place + 1, "x") for place in range(int(rng.integers(1, 5)))]
        seen = [span for span in right if rng.random() < 0.97]
        wrong = [(place, place + 1, "x") for place in range(9, 9 + int(rng.integers(0, 4)))]
        scores = [*rng.beta(4, 1.5, len(seen)), *rng.beta(1.5, 3, len(wrong))]
        candidates.append(dict(zip([*seen, *wrong], map(float, scores))))
        gold.append(right)
    return candidates, gold


def simulate(worlds: int) -> None:
    """Print how promises hold in worlds whose texts are new."""
    from scipy import stats

    rng = np.random.default_rng(0)
    test, right = _world(rng, 1000)
    promises = [SpanPromise("recall", level) for level in (0.6, 0.8, 0.9)]
    promises += [SpanPromise("precision", level, 0.1) for level in (0.7, 0.8, 0.9)]
    values: dict[SpanPromise, list[float]] = {promise: [] for promise in promises}
    for _ in range(worlds):
        some, known = _world(rng, 80)
        for promise in promises:
            thresholds = promise.thresholds(some, known, ("x",))
            if thresholds.reached["x"]:
                kept = [keep_spans(one, thresholds) for one in test]
                values[promise].append(shares(kept, right, "x")[promise.kind == "precision"])
    print("| promise | promised in | mean on new texts | fails in | may by chance |\n|---|---|---|---|---|")
    for promise, found in values.items():
        fails = f"{sum(one < promise.level for one in found)}"
        most = f"{stats.binom.ppf(0.999, worlds, 0.1):.0f}"
        ends = f"{fails} | {most}" if promise.kind == "precision" else " | "
        mean, error = np.mean(found), np.std(found) / np.sqrt(len(found))
        print(f"| {promise.kind} {promise.level:g} | {len(found)} of {worlds} | {mean:.4f} ± {error:.4f} | {ends} |")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=("conll", "gno"), help="one of the two")
    parser.add_argument("--divisions", type=int, default=20, help="how often the texts are divided in halves")
    parser.add_argument("--worlds", type=int, default=0, help="simulated worlds instead")
    arguments = parser.parse_args()
    if arguments.worlds:
        simulate(arguments.worlds)
        return
    folder = pathlib.Path(os.environ["JAXUQ_DATA"])
    print("| data | promise | type | texts | promised | held out | reached in | the other |")
    print("|---|---|---|---|---|---|---|---|")
    for name, source in (("conll", conll), ("gno", gno)):
        for spans in source(folder) if arguments.only in (None, name) else ():
            print("\n".join(measure(spans, arguments.divisions)), flush=True)


if __name__ == "__main__":
    main()
