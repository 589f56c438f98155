"""Files of annotation programs, by what those programs read and write themselves; damaged ones are refused."""

import json

import numpy as np
import pytest

from jaxuq.tagging import (
    AnnotatedText,
    TaggingDataError,
    annotated_labels,
    label_studio_task,
    prodigy_record,
    read_annotations,
)
from jaxuq.tagging.words import word_places

WORDS = ["Ada", "naïve", "東京", "😀", "e\u0301te", "U.S.", "3.5", "x", "\u2028", "don't", "\U0001d54f"]


def _texts(rng, count=30):
    """Random texts with entities of whole words that do not overlap."""
    for number in range(count):
        text = "".join(str(word) + " " * int(rng.integers(3)) for word in rng.choice(WORDS, size=rng.integers(1, 9)))
        places, entities, at = word_places(text), [], 0
        while at < len(places):
            end = at + int(rng.integers(1, 3))
            if rng.random() < 0.4 and end <= len(places):
                entities.append((at, end, str(rng.choice(["PER", "LOC"]))))
            at = end
        if places:
            yield AnnotatedText(str(number), text, tuple(places), tuple(entities))


def test_what_is_written_for_prodigy_is_read_again(rng, tmp_path):
    texts = list(_texts(rng))
    records = [prodigy_record(text, text.entities, scores=[0.5] * len(text.entities)) for text in texts]
    for text, record in zip(texts, records):
        for span in record["spans"]:
            tokens = record["tokens"][span["token_start"] : span["token_end"] + 1]
            assert (tokens[0]["start"], tokens[-1]["end"]) == (span["start"], span["end"]) and span["score"] == 0.5
        assert all(text.text[one["start"] : one["end"]] == one["text"] for one in record["tokens"])
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in records))
    assert read_annotations(tmp_path / "a.jsonl") == texts
    bare = [{key: one[key] for key in ("text", "spans", "meta")} for one in records]  # as Prodigy takes them, too
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, bare)))
    assert read_annotations(tmp_path / "a.jsonl") == texts


def test_label_studio_counts_as_browsers_do(rng, tmp_path):
    texts = list(_texts(rng))
    tasks = [label_studio_task(text, text.entities) for text in texts]
    for text, task in zip(texts, tasks):
        units = text.text.encode("utf-16-le")
        for one in task["predictions"][0]["result"]:
            value = one["value"]
            assert units[2 * value["start"] : 2 * value["end"]].decode("utf-16-le") == value["text"]
    whole = [{"id": task["data"]["id"], "data": task["data"], "annotations": task["predictions"]} for task in tasks]
    whole[0]["annotations"] = [{"was_cancelled": True, "result": []}, *whole[0]["annotations"]]
    for task in whole:
        del task["data"]["id"]
    (tmp_path / "a.json").write_text(json.dumps(whole))
    assert read_annotations(tmp_path / "a.json") == texts
    values = [[one["value"] for one in task["predictions"][0]["result"]] for task in tasks]
    least = [{"id": t.id, "text": t.text, "annotator": 1, "label": own} for t, own in zip(texts, values)]
    (tmp_path / "a.json").write_text(json.dumps(least))
    assert read_annotations(tmp_path / "a.json") == texts


def test_a_docbin_is_read_as_spacy_reads_it(rng, tmp_path):
    spacy = pytest.importorskip("spacy")
    from spacy.tokens import Doc, DocBin, Span

    nlp, documents = spacy.blank("xx"), DocBin(store_user_data=True)
    written = []
    for text in _texts(rng):
        spaces = [bool(rng.integers(2)) for _ in text.words]
        document = Doc(nlp.vocab, words=list(text.words), spaces=spaces)
        document.ents = [Span(document, start, end, label=kind) for start, end, kind in text.entities]
        document.user_data["note"] = "x"
        documents.add(document)
        written.append(document)
    path = tmp_path / "a.spacy"
    documents.to_disk(path)
    read = read_annotations(path)
    for found, document in zip(read, written, strict=True):
        assert found.text == document.text and found.words == tuple(token.text for token in document)
        assert set(found.entities) == {(one.start, one.end, one.label_) for one in document.ents}

    blank = DocBin()
    blank.add(nlp("Ada wrote"))
    blank.to_disk(tmp_path / "blank.spacy")
    assert read_annotations(tmp_path / "blank.spacy")[0].entities is None
    content, kinds = path.read_bytes(), set()
    for _ in range(200):
        at = int(rng.integers(len(content)))
        cut = content[:at] + bytes(rng.integers(0, 256, 2, dtype=np.uint8)) + content[at + int(rng.integers(1, 4)) :]
        path.write_bytes(cut)
        try:
            read_annotations(path)
        except TaggingDataError as error:
            kinds.add(str(error).count("could not be read as a DocBin"))
    assert kinds == {1}


def test_bytes_of_messagepack_that_mean_something_else_are_refused(tmp_path, rng):
    import zlib

    for _ in range(300):
        path = tmp_path / "a.spacy"
        path.write_bytes(zlib.compress(rng.integers(0, 256, int(rng.integers(0, 40)), dtype=np.uint8).tobytes()))
        with pytest.raises(TaggingDataError, match="could not be read as a DocBin"):
            read_annotations(path)


def test_what_is_not_accepted_is_left_out_and_what_is_not_annotated_is_no_gold(tmp_path):
    lines = [
        {"text": "Ada wrote", "spans": [{"start": 0, "end": 3, "label": "PER"}], "answer": "accept"},
        {"text": "Bo wrote", "spans": [{"start": 0, "end": 2, "label": "LOC"}], "answer": "reject"},
        {"text": "we wrote", "answer": "accept"},
    ]
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    data = annotated_labels(read_annotations(path))
    assert data.tags(data.labels) == [["B-PER", "O"], ["O", "O"]] and not data.function_names
    other = annotated_labels(read_annotations(path), gold=False)
    assert other.labels is None and other.tags(other.observations[:, :, 0]) == data.tags(data.labels)
    path.write_text('{"text": "Ada wrote"}\n{"text": "Bo"}')
    assert annotated_labels(read_annotations(path)).labels is None
    path.write_text('{"text": "Ada wrote", "spans": []}\n{"text": "Bo"}')
    with pytest.raises(TaggingDataError, match="text 1 has not been annotated, and 1 of 2 have; export those alone"):
        annotated_labels(read_annotations(path))


def test_label_studio_names_fields_as_a_project_does(tmp_path):
    """A text under any name, found by what is marked in it; a minimal export names the list as the tag that labels."""
    value = {"start": 4, "end": 9, "text": "Ada\\nB", "labels": ["PER"]}
    result = [{"value": value}, {"type": "relation", "from_id": "a", "to_id": "b"}]
    whole = {"data": {"url": "abcdefghij", "body": "see Ada\nBo"}, "annotations": [{"result": result}]}
    old = {"data": {"text": "see Ada\nBo"}, "completions": [{"result": result}]}
    least = {"text": "see Ada\nBo", "ner": [value], "annotator": 1, "created_at": "2024"}
    (tmp_path / "a.json").write_text(json.dumps([whole, old, least]))
    for found in read_annotations(tmp_path / "a.json"):
        assert found.words == ("see", "Ada", "Bo") and found.entities == ((1, 3, "PER"),)


def test_a_docbin_with_tokens_that_may_hold_no_entity(tmp_path):
    spacy = pytest.importorskip("spacy")
    from spacy.tokens import DocBin, Span

    document = spacy.blank("xx")("Ada met Bo")
    document.set_ents([Span(document, 0, 1, label="PER")], blocked=[Span(document, 1, 2)], default="outside")
    DocBin(docs=[document]).to_disk(tmp_path / "a.spacy")
    assert read_annotations(tmp_path / "a.spacy")[0].entities == ((0, 1, "PER"),)


LABELLED = '{"data": {"text": "Ada wrote"}, "annotations": [{"result": [{"value": %s}]}]}'


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "a.jsonl",
            '{"text": "Ada", "spans": [[0, 3, "PER"]]}',
            "record 0: an entity is .*; expected an object",
        ),
        ("a.jsonl", '{"text": "Ada", "label": [[0, 3, "PER"]]}', "record 0: it has 'label' and no 'spans'"),
        ("a.jsonl", '{"text": "Ada", "spans": [{"start": "0", "end": 3, "label": "P"}]}', "'P' at the characters"),
        ("a.jsonl", '[{"text": "Ada"}]', "record 0: the record is .* expected an object"),
        ("a.jsonl", '{"text": "Ada", "meta": 3}', "record 0: meta is 3; expected an object"),
        ("a.json", f"[{LABELLED}]" % '{"start": 0, "end": 3, "text": "Bob", "labels": ["P"]}', "'Bob' is not at the"),
        ("a.json", f"[{LABELLED}]" % '{"start": 0, "end": 3, "labels": []}', "the labels .*; expected a list with one"),
        ("a.json", f"[{LABELLED}]" % '{"start": "/p", "hypertextlabels": ["P"]}', "HyperText; export .* a Text tag"),
        ("a.json", '[{"data": {"url": "x", "body": "Ada"}}]', "which of its data is the text; call that one 'text'"),
        ("a.json", '[{"data": null}]', "record 0: data is None; expected an object"),
        ("a.jsonl", '{"text": 3}', "record 0: the text is 3; expected text"),
        ("a.jsonl", '{"text": "Ada"}\n{"spans": []}', "record 1: 'text' is missing"),
        ("a.jsonl", '{"text": "Ada", "spans": [{"start": 3, "end": 9, "label": "PER"}]}', "holds no word of the text"),
        ("a.jsonl", '{"text": "Ada", "spans": [{"start": 0, "end": 1}]}', "'label' is missing"),
        ("a.jsonl", '{"text": "Ada", "tokens": [{"start": 0, "end": 9}]}', "its tokens are empty, out of order, or"),
        ("a.jsonl", "[", "could not be read as JSON"),
        ("a.json", "{}", "no list of tasks, as Label Studio"),
        ("a.json", '[{"data": {"n": 1}}]', "record 0"),
        ("a.json", "[]", "holds no text"),
        ("a.json", "[7]", "record 0"),
        ("a.spacy", "abc", "could not be read as a DocBin"),
    ],
)
def test_damaged_files_are_named(name, text, message, tmp_path):
    (tmp_path / name).write_text(text)
    with pytest.raises(TaggingDataError, match=message):
        read_annotations(tmp_path / name)
