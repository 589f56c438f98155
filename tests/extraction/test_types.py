"""Types of entities and relations from a JSON schema, and from the data themselves."""

import json

import pytest

from jaxuq.cli import main
from jaxuq.extraction import ExtractionError, make_passages, make_schema, read_passages, schema_of_data

PERSON = {"title": "Person", "type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer"}}}
PYDANTIC = {
    "$defs": {"Person": PERSON, "Job": {
        "type": "object",
        "properties": {"who": {"$ref": "#/$defs/Person"}, "employer": {"type": "string", "title": "Employer"}},
    }},
    "properties": {
        "jobs": {"type": "array", "items": {"$ref": "#/$defs/Job"}, "title": "Jobs", "description": "who for whom"},
        "boss": {"anyOf": [{"$ref": "#/$defs/Person"}, {"type": "null"}]},
    },
    "type": "object",
}  # fmt: skip

SELF = {"properties": {"x": {"$ref": "#/$defs/P"}, "y": {}}}
CIRCLE = {"$defs": {"P": SELF}, "properties": {"a": {"$ref": "#/$defs/P"}}}


def test_fields_are_types_of_entities():
    schema = make_schema({"type": "object", "properties": {
        "person": {"type": "array", "items": {"type": "string"}, "title": "Full Name", "description": "people",
                   "examples": ["Ada"]},
        "colour": {"anyOf": [{"type": "null"}, {"enum": ["red", "blue"]}]},
        "place": {"type": "object", "properties": {"name": {"type": "string"}}},
    }})  # fmt: skip
    assert [(kind.name, kind.label, kind.description, kind.examples) for kind in schema.entities] == [
        ("person", "Full Name", "people", ("Ada",)),
        ("colour", "Colour", "", ("red", "blue")),
        ("place", "Place", "", ()),
    ]


def test_records_are_types_of_relations_and_records_in_them_are_columns():
    jobs, boss = make_schema(PYDANTIC).relations
    assert (jobs.name, jobs.label, jobs.description) == ("jobs", "Jobs", "who for whom")
    assert jobs.columns == ("Who Name", "Who Age", "Employer") and boss.columns == ("Name", "Age")


def test_a_schema_of_pydantic_is_read():
    pydantic = pytest.importorskip("pydantic")
    Place = pydantic.create_model("Place", city=(str, ...), land=(str | None, None))
    Trip = pydantic.create_model("Trip", places=(list[Place], ...), start=(Place, ...))
    trip = make_schema(Trip.model_json_schema())
    assert [(kind.name, kind.columns) for kind in trip.relations] == [
        ("places", ("City", "Land")),
        ("start", ("City", "Land")),
    ]
    News = pydantic.create_model(
        "News", person=(list[str], pydantic.Field(description="people")), year=(int | None, None)
    )
    assert [(kind.name, kind.description) for kind in make_schema(News.model_json_schema()).entities] == [
        ("person", "people"),
        ("year", ""),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"properties": {}}, "has no properties"),
        ({"properties": {"a": 3}}, "has 3 where a field should be described"),
        ({"properties": {"a": {"$ref": "#/$defs/B"}}}, "'#/\\$defs/B' of the JSON schema leads nowhere"),
        ({"properties": {"a": {"$ref": "http://x"}}}, "leads nowhere"),
        ({"properties": {"a": {"$ref": "#"}}}, "or hold themselves"),
        ({"relations": [{"name": "r", "columns": ["Name", "name"]}]}, "the columns .*; give each its own name"),
        ({"properties": {"a": {"$ref": "#/properties/a"}}}, "in a circle"),
        ({"properties": {"a": {"type": "string"}, "b": PERSON}}, r"has texts \(a\) and records \(b\)"),
        (CIRCLE, "nested too deeply, or hold themselves"),
    ],
)  # fmt: skip
def test_a_schema_that_cannot_be_meant_is_refused(content, message):
    with pytest.raises(ExtractionError, match=message):
        make_schema(content)


def _write(folder, name, content):
    (folder / name).write_text(json.dumps(content))
    return folder / name


def test_data_name_their_own_types(tmp_path):
    records = [
        {"text": "Ada in Rome", "entities": [{"type": "person", "pos": [0, 3]}]},
        {"text": "Ada in Rome", "spans": [{"start": 7, "end": 11, "label": "place"}]},
        {"tokens": ["x"], "label": [[0, 1, "thing"]]},
    ]
    path = _write(tmp_path, "a.json", records)
    schema = schema_of_data(path)
    assert schema.names == ("person", "place", "thing")
    assert [[span[:3] for span in one.gold] for one in read_passages(path, schema)] == [
        [(0, 1, "person")], [(2, 3, "place")], [(0, 1, "thing")],
    ]  # fmt: skip
    _write(tmp_path, "meta.json", {"entity_types": ["place", "person"], "lf": []})
    assert schema_of_data(path).names == ("place", "person")
    (tmp_path / "b").mkdir()
    with pytest.raises(ExtractionError, match="names no types of entities; say what to look for with --types"):
        schema_of_data(_write(tmp_path / "b", "a.json", ["Ada met Bo."]))


def test_a_replay_needs_no_types_where_its_data_name_them(tmp_path):
    _write(tmp_path, "news.json", [{"id": "a", "text": "Ada met Bo.", "entities": [{"type": "person", "pos": [0, 3]}]}])
    stored = {
        "id": "a",
        "type": "person",
        "messages": [{"role": "assistant", "content": '{"person": ["Ada", "Bo"]}'}] * 3,
    }
    _write(tmp_path, "stored.jsonl", stored)
    main(["extract", "--model", f"replay:{tmp_path}/stored.jsonl", "--data", f"{tmp_path}/news.json", "--output",
          f"{tmp_path}/run"])  # fmt: skip
    line = json.loads((tmp_path / "run" / "extractions.jsonl").read_text())
    assert [(one["type"], one["text"]) for one in line["entities"]] == [("person", "Ada"), ("person", "Bo")]


def test_data_that_are_no_texts_and_gold_that_is_null(tmp_path):
    """Null is what is not known, as it is of annotation programs; a number in a file is no list of texts."""
    _write(tmp_path, "a.json", 3)
    with pytest.raises(ExtractionError, match="names no types"):
        schema_of_data(tmp_path / "a.json")
    with pytest.raises(ExtractionError, match=r"there is no file .*texts\.csv"):
        schema_of_data(tmp_path / "texts.csv")
    for name in ("entities", "label", "spans"):
        (passage,) = make_passages([{"text": "Ada", name: None}], make_schema(["person"]))
        assert passage.gold is None
    (passage,) = make_passages([{"text": "Ada", "entities": None, "spans": []}], make_schema(["person"]))
    assert passage.gold == ()
