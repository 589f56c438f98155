"""Texts and types of an extraction, prompts, stored replies, what models reply, forms of answers."""

import importlib
import json
import pathlib
from typing import Any

from readers.files import Read, Reader, any_text, lines, packed, texts, value_of

_NEWS = (
    {
        "id": "a",
        "text": "Ada met Bo in Rome.",
        "entities": [{"type": "person", "pos": [0, 3]}, {"type": "person", "pos": [8, 10]}],
    },
    {"id": "b", "text": "Rome saw Bo.", "entities": [], "relations": []},
)
_SCHEMA = json.dumps(
    {
        "$defs": {"Person": {"type": "object", "title": "Person", "properties": {"name": {"type": "string"}}}},
        "type": "object",
        "properties": {
            "person": {
                "type": "array",
                "items": {"type": "string"},
                "title": "Person",
                "description": "A human.",
                "examples": ["Ada"],
            },
            "colour": {"anyOf": [{"type": "null"}, {"enum": ["red", "blue"]}]},
            "jobs": {"type": "array", "items": {"$ref": "#/$defs/Person"}},
        },
    }
)
_PROMPTS = '[shared]\nsystem = "You read."\n[entity]\nask = "Who is $label?\\n$text"\n'
_STORED = lines(
    *(
        {
            "id": name,
            "type": "person",
            "messages": [{"role": "assistant", "content": "| Person |\n|---|\n| Ada |\n"}] * 3,
        }
        for name in "ab"
    )
)
_REPLY = (
    "Here:\n\n| Person | First | Second | Sure | Entity | Entity Type |\n|---|---|---|---|---|---|\n"
    "| Ada | Ada | Bo | yes | Ada | Person |\n| Bo | Bo | Ada | no | Rome | Place |\n"
)
_REPLY_JSON = '```json\n{"person": ["Ada", "Bo"], "Person": [{"First": "Ada", "Second": "Bo", "Sure": "yes"}]}\n```\n'


def _news(name: str) -> Read:
    def read(folder: pathlib.Path) -> Any:
        from jaxuq.extraction import make_schema, read_passages, schema_of_data

        read_passages(folder / name, make_schema(["person", "place"]))
        return schema_of_data(folder / name)

    return read


def _extracted(folder: pathlib.Path) -> Any:
    from jaxuq.extraction import (
        find_column,
        make_reader,
        parse_rows,
        read_all_entities,
        read_entities,
        read_relations,
        read_resolution,
        tokenize,
    )

    text = any_text(folder)
    reader = make_reader(tokenize("Ada met Bo in Rome, and Bo saw cafe\u0301 H₂O."))
    for convention in ("corrected", "published"):
        parse_rows(text, ["First", "Second"], convention=convention)
    find_column(text.split("|")[:20], "Person")
    read_entities(text, "person", "Person", reader)
    read_all_entities(text, {"person": "Person", "place": "Place"}, reader)
    read_relations(text, ["First", "Second"], reader, check="Sure", optional=["Second"])
    read_resolution(text, ["Person", "Place"], reader)
    return make_reader(tokenize(text[:2000]))


def _replay(folder: pathlib.Path) -> Any:
    from jaxuq.extraction import extract, make_passages, make_schema, replay_chat

    schema = make_schema(["person"])
    passages = make_passages([{"id": "a", "text": "Ada met Bo."}, {"id": "b", "text": "Bo."}], schema)
    return extract(replay_chat(folder / "stored.jsonl"), passages, schema)


def _own_prompts(folder: pathlib.Path) -> Any:
    from jaxuq.extraction import make_schema, read_prompts
    from jaxuq.extraction.prompts import fill

    prompts = read_prompts(folder / "prompts.toml")
    kind = make_schema(["person"]).entities[0]
    return fill(prompts, "entity", "ask", paragraph="Ada", kind=kind)


def _form(folder: pathlib.Path) -> Any:
    from jaxuq.language import regex_constraint, schema_constraint

    value = value_of(folder, "schema.json")
    if isinstance(value, dict | bool):
        schema_constraint(value)
    return regex_constraint(any_text(folder, "regex.txt").strip("\n"))


_FORM = json.dumps(
    {
        "type": "object",
        "properties": {
            "name": {"type": "string", "maxLength": 9, "pattern": "^[a-z]+$"},
            "age": {"type": "integer", "minimum": 0},
            "tags": {"type": "array", "items": {"enum": ["a", "b", 1, None]}, "maxItems": 3},
            "more": {"$ref": "#/$defs/m"},
        },
        "required": ["name"],
        "additionalProperties": False,
        "$defs": {"m": {"anyOf": [{"type": "null"}, {"const": 3.5}]}},
    }
)


READERS: dict[str, Reader] = {
    "replies: tables": Reader(
        ("reply.txt",),
        texts(reply__txt=_REPLY),
        _extracted,
        (
            "parse_rows",
            "find_column",
            "read_entities",
            "read_all_entities",
            "read_relations",
            "read_resolution",
            "find_conflicts",
            "read_conversations",
        ),
        share=0.7,
    ),
    "replies: JSON": Reader(("reply.txt",), texts(reply__txt=_REPLY_JSON), _extracted, share=0.7),
    "extraction: texts": Reader(
        ("news.jsonl",), texts(news__jsonl=lines(*_NEWS)), _news("news.jsonl"), ("read_passages", "schema_of_data")
    ),
    "extraction: texts, one file": Reader(("news.json",), texts(news__json=json.dumps(_NEWS)), _news("news.json")),
    "extraction: texts, gzipped": Reader(
        ("news.jsonl.gz",), packed(texts(news__jsonl=lines(*_NEWS))), _news("news.jsonl.gz"), share=0.5
    ),
    "extraction: types": Reader(
        ("types.json",),
        texts(types__json=_SCHEMA),
        lambda folder: importlib.import_module("jaxuq.extraction").read_schema(folder / "types.json"),
        ("read_schema",),
    ),
    "extraction: prompts": Reader(("prompts.toml",), texts(prompts__toml=_PROMPTS), _own_prompts, ("read_prompts",)),
    "extraction: stored replies": Reader(
        ("stored.jsonl",), texts(stored__jsonl=_STORED), _replay, ("replay_chat",), share=0.7
    ),
    "forms of answers": Reader(
        ("schema.json", "regex.txt"),
        texts(schema__json=_FORM, regex__txt="[a-z]{1,3}(-\\d+)*|(yes|no)\\.\n"),
        _form,
        share=0.5,
    ),
}
"""By name, as the page shows them."""
