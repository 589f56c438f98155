"""The stored conversations of the published system give its stored scores (needs the data, and spaCy's tokens)."""

import importlib.util
import os
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parent.parent.parent
FOLDER = pathlib.Path(os.environ.get("JAXUQ_DATA", "")) / "gno"
# One of each kind of history, small enough to be quick.
RUNS = [
    ("NER", "gpt-3.5", "aeio", "CoNLL 2003"),
    ("NER", "gpt-3.5", "ino_cr", "PolyIE"),
    ("RE", "gpt-3.5", "ino", "conll04"),
    ("RE", "mixtral", "one_step", "PolyIE"),
]


@pytest.fixture(scope="module")
def script():
    if not (FOLDER / "outputs").is_dir():
        pytest.skip("JAXUQ_DATA names no folder with gno/outputs")
    pytest.importorskip("spacy")
    spec = importlib.util.spec_from_file_location("replay", ROOT / "experiments" / "extraction" / "replay.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.data
@pytest.mark.slow  # about a minute with checked types: thousands of stored replies
@pytest.mark.parametrize("key", RUNS, ids="-".join)
def test_stored_conversations_give_the_published_scores(script, key):
    (run,) = [run for run in script.find_runs(FOLDER) if run.key == key]
    corpus = script.Corpus(FOLDER / run.task.lower() / run.dataset, "spacy")
    ours = script.f1(script.replay(run, corpus, published=True), "published")
    assert [round(value, 4) for value in ours] == [round(value, 4) for value in script.stored_f1(FOLDER, run)]


@pytest.mark.data
def test_every_reply_of_a_stored_run_is_read_without_spacy():
    """Statuses by hand from the stored replies: how many have no table."""
    if not (FOLDER / "outputs").is_dir():
        pytest.skip("JAXUQ_DATA names no folder with gno/outputs")
    from jaxuq.extraction import make_schema, parse_rows, replay_chat
    from jaxuq.extraction.chat import Request
    from jaxuq.extraction.schema import read_schema

    schema = read_schema(FOLDER / "ner" / "PolyIE" / "meta.json")
    assert schema.names == ("CN", "PN", "PV") and make_schema(["x"]).names == ("x",)
    model = replay_chat(FOLDER / "outputs" / "NER__gpt-3.5__one_step__PolyIE.jsonl.gz")
    requests = [Request((), str(row), kind.name) for row in range(96) for kind in schema.entities]
    columns = [kind.column for _ in range(96) for kind in schema.entities]
    replies = model.ask(requests)
    statuses = [parse_rows(r.text, [c], convention="published").status for r, c in zip(replies, columns)]
    assert (statuses.count("found"), statuses.count("no table")) == (282, 6)
