"""Replay: the stored conversations of the G&O paper, parsed, located and scored again, beside its stored reports.

    python experiments/extraction/replay.py                       # everything, about four minutes on one core
    python experiments/extraction/replay.py --only gpt-3.5        # some runs
    python experiments/extraction/replay.py --throughput          # seconds for 10,000 replies drawn from all runs

Reads the folder `gno` of JAXUQ_DATA (`outputs`, `reports`, `ner`, `re`). The published tokens are those of spaCy's
English rules (`pip install 'jaxuq[spacy]'`, no model needed); without the package, jaxuq's own tokens are taken and
scores differ in the third digit.

Three columns: the stored report, jaxuq with `convention="published"`, which must agree to four digits, and jaxuq's
corrected convention: tolerant tables, corrected locating, one type a span by the better match, every sentence counted
whether it was answered or not, recall of gold spans. What differs between the runs is in `RUNS_WITH_A_HISTORY`.

References:
    Li, Ramprasad, Zhang. A simple but effective approach to improve structured language model output for information
    extraction. Findings of EMNLP, 2024.
"""

import argparse
import dataclasses
import functools
import gzip
import json
import os
import pathlib
import sys
import time
from collections.abc import Iterable, Sequence

import numpy as np

from jaxuq.extraction import (
    CORRECTED,
    PUBLISHED,
    PUBLISHED_EARLY,
    LocatingRules,
    Reader,
    Span,
    entity_counts,
    make_reader,
    parse_rows,
    published_pair_counts,
    published_pairs,
    published_tuple_counts,
    published_tuples,
    read_all_entities,
    read_entities,
    read_relations,
    read_resolution,
    relation_counts,
    resolve,
    scores_from_counts,
    settle_types,
    tokenize,
)

EXCLUDED = ("else", "Condition")  # types that no published run asks for


@dataclasses.dataclass(frozen=True)
class History:
    """How a stored report was made, where that is not what the last published code does."""

    misc_in_gold: bool = False
    labels_are_types: bool = False
    rules: LocatingRules = PUBLISHED
    subject_windows: bool = True


_EARLY_CONLL = History(misc_in_gold=True)
RUNS_WITH_A_HISTORY = {
    # Three places of the CoNLL file are both "Israel" (location) and "Israeli" (miscellaneous), one token: these
    # reports dropped miscellaneous gold after that had overwritten the location, later ones before.
    ("NER", "gpt-3.5", "ino", "CoNLL 2003"): _EARLY_CONLL,
    ("NER", "gpt-3.5", "ino_cr", "CoNLL 2003"): _EARLY_CONLL,
    ("NER", "gpt-3.5", "one_step", "CoNLL 2003"): _EARLY_CONLL,
    # The conversations were told the types in lower case, and only those are counted.
    ("NER", "gpt-3.5", "aeio", "CoNLL 2003"): dataclasses.replace(_EARLY_CONLL, labels_are_types=True),
    # An earlier locator: threshold 0.70, windows of n - 2 to n + 2 tokens with the last token of the text, and the
    # object's own number of tokens.
    ("RE", "gpt-3.5", "ino", "conll04"): History(rules=PUBLISHED_EARLY, subject_windows=False),
}


@dataclasses.dataclass(frozen=True)
class Run:
    """One stored run."""

    task: str
    model: str
    strategy: str
    dataset: str
    file: pathlib.Path
    resolutions: pathlib.Path | None = None

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What names its report."""
        return self.task, self.model, self.strategy, self.dataset


def find_runs(folder: pathlib.Path) -> list[Run]:
    """All runs that have both conversations and a report."""
    runs = []
    for file in sorted((folder / "outputs").glob("*.jsonl.gz")):
        parts = file.name.removesuffix(".jsonl.gz").split("__")
        if len(parts) != 4:
            continue
        task, model, strategy, dataset = parts
        run = Run(task, model, strategy, dataset.replace("CoNLL_2003", "CoNLL 2003"), file)
        runs.append(run)
        extra = file.with_name(file.name.replace(f"__{strategy}__", f"__conflict_resolution__{strategy}__"))
        if extra.exists():
            runs.append(dataclasses.replace(run, strategy=f"{strategy}_cr", resolutions=extra))
    return runs


def read_lines(file: pathlib.Path) -> list[dict]:
    """The records of a compressed file of JSON lines."""
    with gzip.open(file, "rt", encoding="utf-8") as stream:
        return [json.loads(line) for line in stream]


class Corpus:
    """The texts of a data set, made ready once for all runs on it."""

    def __init__(self, folder: pathlib.Path, tokenizer: str):
        self.items = json.loads((folder / "test.json").read_text(encoding="utf-8"))
        self.meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
        self.texts = [tokenize(item["sentence"], tokenizer) for item in self.items]
        self.tokenizer = tokenizer

    @functools.cached_property
    def published(self) -> list[Reader]:
        """Readers by the published rules."""
        return [make_reader(text, tokenizer=self.tokenizer, convention="published") for text in self.texts]

    @functools.cached_property
    def corrected(self) -> list[Reader]:
        """Readers by jaxuq's rules."""
        return [reader._replace(rules=CORRECTED, convention="corrected") for reader in self.published]

    @property
    def types(self) -> list[str]:
        """The types that are asked for."""
        names = self.meta.get("entities") or self.meta["relations"]
        return [name for name in names if name not in EXCLUDED]

    def gold_spans(self, row: int, history: History | None) -> list[Span]:
        """Gold entities in tokens; a place has one type, the last one said, as published (None: all of them)."""
        text, entities = self.texts[row], self.items[row]["entities"]
        if history is None or not history.misc_in_gold:
            entities = [entity for entity in entities if entity["type"] in self.types]
        pairs = [(text.token_span(*entity["pos"]), entity["type"]) for entity in entities]
        if history is not None:
            pairs = list(dict(pairs).items())
        return [Span(*place, kind) for place, kind in pairs if place and kind in self.types]

    def gold_relations(self, row: int) -> dict[str, list]:
        """Gold relations in tokens: subject and object, or material, property and value."""
        text, found = self.texts[row], {kind: [] for kind in self.types}
        for relation in self.items[row]["relations"]:
            if relation["type"] not in found:
                continue
            if "head" in relation:
                places = [relation["head"]["pos"], relation["tail"]["pos"]]
            elif len(relation["entities"]) in (3, 4):
                places = relation["entities"][:3]
            else:
                continue
            found[relation["type"]].append(tuple((text.token_span(*place),) for place in places))
        return found


def replay_entities(run: Run, corpus: Corpus, published: bool, *, repair_only: bool = False) -> np.ndarray:
    """The counts of a run of entities, summed over texts."""
    history = RUNS_WITH_A_HISTORY.get(run.key, History()) if published else None
    readers = corpus.published if published else corpus.corrected
    replies = {record["idx"]: record["final"] for record in read_lines(run.file)}
    resolutions = {} if run.resolutions is None else {r["idx"]: r["final"] for r in read_lines(run.resolutions)}
    types, meta = corpus.types, corpus.meta
    labels = {kind: meta["entity2elaboration"][kind] for kind in types}
    if history is not None and history.labels_are_types:
        labels = {kind: kind for kind in types}
    total = np.zeros((len(types), 6), np.int64)
    for row, reader in enumerate(readers):
        if published and row not in replies:
            continue  # the published code leaves sentences without a reply out
        reply = replies.get(row, "" if run.strategy == "aeio" else {})
        if run.strategy == "aeio":
            read = read_all_rows if repair_only else read_all_entities
            spans = read(reply, labels, reader)[0]
        else:
            columns = meta["entity2columns"]
            spans = {kind: read_entities(reply.get(kind, ""), kind, columns[kind][0], reader)[0] for kind in types}
        if row in resolutions:
            spans = resolve(spans, read_resolution(resolutions[row], types, reader)[0])
        settled = settle_types(spans, rule="last" if published else "best")
        total += entity_counts(settled, corpus.gold_spans(row, history), types)
    return total


def read_all_rows(reply: str, labels: dict[str, str], reader: Reader) -> tuple[dict[str, list[Span]], str]:
    """All-Entity-in-One as published, except that a row does not forget the rows before it."""
    kinds = {label: kind for kind, label in labels.items()}
    found: dict[str, list[Span]] = {}
    for phrase, label in parse_rows(reply, ["Entity", "Entity Type"], convention="published").rows:
        if label in kinds:
            spans = [Span(*match[:2], kinds[label], match.score) for match in reader.find(phrase)]
            found.setdefault(kinds[label], []).extend(spans)
    return found, ""


def replay_relations(run: Run, corpus: Corpus, published: bool) -> np.ndarray:
    """The counts of a run of relations, summed over texts."""
    history = RUNS_WITH_A_HISTORY.get(run.key, History())
    replies = {record["idx"]: record["final"] for record in read_lines(run.file)}
    columns, tuples = corpus.meta["relation2columns"], run.dataset == "PolyIE"
    total = np.zeros((len(corpus.types), 6), np.int64)
    for row, reader in enumerate(corpus.published if published else corpus.corrected):
        if published and row not in replies:
            continue
        gold = corpus.gold_relations(row)
        if published:
            reader = reader._replace(rules=history.rules)
        for number, kind in enumerate(corpus.types):
            reply, names = replies.get(row, {}).get(kind, ""), columns[kind]
            if published and tuples:
                total[number] += published_tuple_counts(published_tuples(reply, names, reader), gold[kind])
            elif published:
                pairs = published_pairs(reply, names, reader, subject_windows=history.subject_windows)
                total[number] += published_pair_counts(pairs, gold[kind])
            elif tuples:
                material, property_, short, value, _ = names
                found, _ = read_relations(reply, [material, property_, value], reader, optional=["", short, ""])
                total[number] += relation_counts({kind: found}, gold, [kind])[0]
            else:
                found, _ = read_relations(reply, names[:2], reader, check=names[2])
                total[number] += relation_counts({kind: found}, gold, [kind])[0]
    return total


def replay(run: Run, corpus: Corpus, *, published: bool) -> np.ndarray:
    """The counts of a run."""
    return (replay_entities if run.task == "NER" else replay_relations)(run, corpus, published)


def f1(counts: np.ndarray, convention: str) -> list[float]:
    """Partial and full F1."""
    return [scores_from_counts(counts, partial=partial, convention=convention).f1 for partial in (True, False)]


def stored_f1(folder: pathlib.Path, run: Run) -> list[float] | None:
    """Partial and full F1 of the stored report."""
    file = folder / "reports" / pathlib.Path(*run.key) / "metrics.json"
    if not file.exists():
        return None
    report = json.loads(file.read_text())
    return [report[match]["micro-average"]["f1"] for match in ("partial_match", "full_match")]


def throughput(runs: Sequence[Run], corpora: dict[str, Corpus], wanted: int = 10_000) -> tuple[int, float]:
    """Seconds to parse and locate `wanted` replies drawn evenly from all runs of entities; texts are made ready."""
    replies: list[tuple[str, str, str, Reader]] = []
    for run in runs:
        if run.task != "NER" or run.strategy == "aeio" or run.resolutions:
            continue
        corpus = corpora[run.dataset]
        for record in read_lines(run.file):
            for kind, text in record["final"].items():
                if kind in corpus.types:
                    column = corpus.meta["entity2columns"][kind][0]
                    replies.append((text, kind, column, corpus.corrected[record["idx"]]))
    chosen = [replies[i] for i in np.linspace(0, len(replies) - 1, wanted).astype(int)]
    began = time.process_time()
    for reply in chosen:
        read_entities(*reply)
    return len(chosen), time.process_time() - began


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def both(scores: Sequence[float] | None) -> str:
    """Partial and full F1."""
    return " / ".join(f"{score:.4f}" for score in scores) if scores is not None else "none"


def main() -> int:
    """Print the table; the exit code is 1 if a run does not agree with its report to four digits."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default=os.environ.get("JAXUQ_DATA"), help="the folder that has gno (JAXUQ_DATA)")
    parser.add_argument("--only", nargs="*", default=[], help="runs whose file name has one of these words")
    parser.add_argument("--throughput", action="store_true", help="only time the parsing and locating")
    options = parser.parse_args()
    folder = pathlib.Path(options.data or ".") / "gno"
    if not (folder / "outputs").is_dir():
        print(f"{folder}/outputs is missing: --data or JAXUQ_DATA must name the folder that has gno", file=sys.stderr)
        return 2
    tokenizer = "spacy"
    try:
        tokenize("", "spacy")
    except ValueError as error:
        tokenizer = "words"
        print(f"{error}\nGoing on with jaxuq's own tokens: scores will differ in the third digit.", file=sys.stderr)
    runs = [run for run in find_runs(folder) if not options.only or any(word in run.file.name for word in options.only)]
    corpora = {(run.task, run.dataset): Corpus(folder / run.task.lower() / run.dataset, tokenizer) for run in runs}
    if options.throughput:
        entity = {dataset: corpus for (task, dataset), corpus in corpora.items() if task == "NER"}
        for corpus in entity.values():
            _ = corpus.corrected
        number, seconds = throughput(runs, entity)
        print(f"{number} replies parsed and located in {seconds:.1f} s of one core")
        return 0
    rows, wrong = [], []
    for run in runs:
        corpus, stored = corpora[run.task, run.dataset], stored_f1(folder, run)
        ours = f1(replay(run, corpus, published=True), "published")
        theirs = f1(replay(run, corpus, published=False), "symmetric")
        agrees = stored is not None and all(round(a, 4) == round(b, 4) for a, b in zip(ours, stored))
        if not agrees:
            wrong.append(run.key)
        rows.append([*run.key, both(stored), both(ours), both(theirs)])
        print(f"{' '.join(run.key)}: {'agrees' if agrees else 'DIFFERS'}", file=sys.stderr, flush=True)
    print(table(["task", "model", "strategy", "data", "report", "published", "corrected"], rows))
    repaired = []
    for run in runs:
        if run.strategy == "aeio":
            counts = replay_entities(run, corpora[run.task, run.dataset], True, repair_only=True)
            others = [stored_f1(folder, dataclasses.replace(run, strategy=name)) for name in ("aeio", "ino", "ino_cr")]
            repaired.append([run.dataset, both(others[0]), both(f1(counts, "published")), *map(both, others[1:])])
    if repaired:
        print("\n## The All-Entity-in-One baseline\n")
        head = ["data", "report", "only the row rule repaired", "G&O, report", "G&O with CR, report"]
        print(table(head, repaired))
    print(f"\n{len(rows) - len(wrong)} of {len(rows)} runs agree with their report to four digits.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
