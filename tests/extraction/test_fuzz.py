"""Replies that nobody wrote: none raises, no place is outside its text, no exact match is of something else."""

import json
import random

import pytest

from jaxuq.extraction import make_reader, plain_text, read_all_entities, read_entities, tokenize

_WORDS = [
    "Ada",
    "Bo",
    "Rome",
    "None",
    "Na",
    "A*",
    "5'",
    "__init__",
    "東京",
    "cafe\u0301",
    "H₂O",
    "ﬁ",
    "x\u200by",
    "İ",
    "😀",
    "-",
]
_MARKS = [
    "|",
    "\n",
    "|---|",
    "\n| ",
    " |\n",
    "- ",
    "**",
    "`",
    '"',
    "'",
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "\\",
    "<td>",
    "</tr>",
]
_MARKS += [
    "<table>",
    "```json\n",
    "```",
    "<br>",
    "&amp;",
    "> ",
    "1. ",
    "Person",
    "person",
    "type",
    "Entity",
    "\t",
    ";",
    "\x00",
]
_SHAPES = (
    lambda names: "| Person |\n|---|\n" + "".join(f"| {name} |\n" for name in names),
    lambda names: json.dumps({"person": names}),
    lambda names: json.dumps([{"Person": name} for name in names], ensure_ascii=False),
    lambda names: (
        "<table><tr><th>Person</th></tr>" + "".join(f"<tr><td>{name}</td></tr>" for name in names) + "</table>"
    ),
    lambda names: "Person,No\n" + "".join(f'"{name}",1\n' for name in names),
    lambda names: "".join(f"- {name}\n" for name in names),
)


def _reply(rng: random.Random) -> str:
    """A reply in some form, damaged; or signs in any order."""
    if rng.random() < 0.3:
        return "".join(rng.choice(_MARKS + _WORDS) for _ in range(rng.randint(0, 30)))
    reply = rng.choice(_SHAPES)(rng.choices(_WORDS, k=rng.randint(0, 5)))
    for _ in range(rng.randint(0, 3)):
        at = rng.randint(0, len(reply))
        reply = reply[:at] + rng.choice([*_MARKS, ""]) * rng.randint(0, 3) + reply[at + rng.randint(0, 3) :]
    return reply


def _letters(text: str) -> str:
    return "".join(letter for letter in plain_text(text).lower() if letter.isalnum())


def _check(count: int, seed: int) -> None:
    rng = random.Random(seed)
    readers = [
        make_reader(
            tokenize("".join(rng.choice(_WORDS) + rng.choice([" ", " ", "", ", "]) for _ in range(rng.randint(0, 12))))
        )
        for _ in range(50)
    ]
    statuses = set()
    for _ in range(count):
        reply, reader = _reply(rng), rng.choice(readers)
        spans, status = read_entities(reply, "person", "Person", reader)
        every, other = read_all_entities(reply, {"person": "Person"}, reader)
        statuses |= {status, other}
        for span in [*spans, *every.get("person", [])]:
            assert 0 <= span.start < span.end <= len(reader.text.tokens), reply
            start, end = reader.text.characters(span.start, span.end)
            assert 0 <= start < end <= len(reader.text.text), reply
            if span.score == 1.0 and not set("\\&<") & set(reply):  # letter by letter, it is in the reply
                assert _letters(reader.text.text[start:end]) in _letters(reply), reply
    assert {"found", "nothing", "no table", "no column"} <= statuses


def test_replies_that_nobody_wrote():
    _check(1_500, 0)


@pytest.mark.long
def test_a_hundred_thousand_replies_that_nobody_wrote():
    _check(100_000, 1)
