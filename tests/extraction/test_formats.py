"""What other programs read: BIO, brat, spaCy, the layout of the tagging room."""

import json

import pytest

from jaxuq._extras import MissingPackageError
from jaxuq.extraction import (
    Extraction,
    ExtractionError,
    Span,
    bio_columns,
    brat_annotations,
    check_formats,
    doc_bin,
    make_passages,
    make_schema,
    read_passages,
    tagging_records,
    write_formats,
)
from jaxuq.metrics import entity_spans

SCHEMA = make_schema(["person", "rock star"])
TEXTS = ["  Ada\nLovelace met  Bo\u00a0Diddley!", "", "שלום Ada"]
PASSAGES = make_passages(TEXTS, SCHEMA)
FOUND = [
    Extraction("0", (Span(0, 2, "person"), Span(3, 5, "rock star")), {}, {}),
    Extraction("1", (), {}, {}),
    Extraction("2", (Span(1, 2, "person"),), {}, {}),
]


def test_bio_columns_say_the_spans_again():
    for passage, one in zip(PASSAGES, FOUND):
        lines = [line.split("\t") for line in bio_columns(passage, one.spans).splitlines() if line]
        assert [token for token, _ in lines] == list(passage.text.tokens)
        spans = [(start, end, kind.replace("_", " ")) for start, end, kind in entity_spans([tag for _, tag in lines])]
        assert spans == [span[:3] for span in one.spans]


def test_brat_offsets_are_those_of_the_text():
    first, second = brat_annotations(PASSAGES[0], FOUND[0].spans).splitlines()
    assert first == "T1\tperson 2 5;6 14\tAda Lovelace"
    name, place, said = second.split("\t")
    kind, start, end = place.split(" ")
    assert (name, kind, said) == ("T2", "rock_star", TEXTS[0][int(start) : int(end)])


def test_the_tagging_room_reads_what_is_exported(tmp_path):
    from jaxuq.tagging import load_weak_labels

    schema = make_schema(["person"])
    record = {"id": "s", "text": "Ada met Bo", "entities": [{"type": "person", "pos": [8, 10]}]}
    passages = make_passages([record], schema)
    found = [Extraction("s", (Span(0, 1, "person"),), {}, {})]
    write_formats(tmp_path, ["tagging"], passages, found, types=["person"], function="gno")
    data = load_weak_labels(tmp_path / "tagging", "train")
    assert (data.tokens, data.function_names) == ((("Ada", "met", "Bo"),), ("gno",))
    assert data.observations[0].tolist() == [[1], [0], [0]] and data.labels.tolist() == [[0, 0, 1]]
    both = tagging_records(passages, found, others=[[Span(2, 3, "person")]], pseudo_labels=True)["s"]
    assert both["weak_labels"] == [[[2, 3, "person"]], [[0, 1, "person"]]] and both["label"] == [[0, 1, "person"]]
    assert make_passages({"s": both}, schema)[0].gold == (Span(0, 1, "person"),)


def test_files_are_written_and_read_again(tmp_path):
    written = write_formats(tmp_path, ["jsonl", "bio", "brat", "tagging"], PASSAGES, FOUND)
    assert all(path.exists() for path in written)
    assert (tmp_path / "brat" / "000002.txt").read_text() == TEXTS[2]
    again = read_passages(tmp_path / "extractions.jsonl", SCHEMA)
    assert [[span[:3] for span in passage.gold] for passage in again] == [[s[:3] for s in one.spans] for one in FOUND]
    with pytest.raises(ExtractionError, match="format is 'conll'"):
        check_formats(["conll"])
    with pytest.raises(ExtractionError, match="no relations"):
        check_formats(["bio"], relations=True)


def test_annotation_programs_get_the_entities_at_their_places(tmp_path):
    from jaxuq.tagging import read_annotations

    write_formats(tmp_path, ["prodigy", "label-studio", "docbin"], PASSAGES, FOUND)
    expected = [[(TEXTS[int(one.item)], *span[:3]) for span in one.spans] for one in FOUND if one.spans]
    for name in ("prodigy.jsonl", "extractions.spacy"):
        texts = [one for one in read_annotations(tmp_path / name) if one.entities]
        assert [[(one.text, *span) for span in one.entities] for one in texts] == expected
    tasks = json.loads((tmp_path / "label-studio.json").read_text())
    for text, task, one in zip(TEXTS, tasks, FOUND, strict=True):
        values = [result["value"] for result in task["predictions"][0]["result"]]
        assert task["data"]["text"] == text and [value["labels"][0] for value in values] == [s.type for s in one.spans]
        assert all(text[value["start"] : value["end"]] == value["text"] for value in values)


def test_a_byte_order_mark_and_unusual_separators_are_no_part_of_the_texts(tmp_path):
    (tmp_path / "a.txt").write_bytes("\ufeffAda\u2028met\r\nBo\x0bwrote\n".encode())
    (tmp_path / "a.jsonl").write_bytes('\ufeff{"text": "Ada\u2028met"}\n{"text": "Bo"}\n'.encode())
    (tmp_path / "a.json").write_bytes('\ufeff["Ada"]'.encode())
    read = lambda name: [one.text.text for one in read_passages(tmp_path / name, SCHEMA)]  # noqa: E731
    assert read("a.txt") == ["Ada\u2028met", "Bo\x0bwrote"]
    assert read("a.jsonl") == ["Ada\u2028met", "Bo"] and read("a.json") == ["Ada"]


def test_spacy_documents_have_the_text_and_the_entities():
    pytest.importorskip("spacy")
    import spacy
    from spacy.tokens import DocBin

    documents = list(DocBin().from_bytes(doc_bin(PASSAGES, FOUND)).get_docs(spacy.blank("xx").vocab))
    assert [document.text for document in documents] == TEXTS
    places = [(entity.text, entity.label_) for entity in documents[0].ents]
    assert places == [("Ada\nLovelace", "person"), ("Bo\u00a0Diddley", "rock star")]


def test_without_spacy_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "spacy", None)
    with pytest.raises(MissingPackageError, match=r"pip install 'jaxuq\[spacy\]'"):
        check_formats(["docbin"])
