"""What an error of ours says is one line that a terminal can show and a person can read."""

import pytest

import jaxuq
from jaxuq._entries import UnknownEntryError
from jaxuq._errors import ArrayError
from jaxuq._extras import missing_package
from jaxuq.molecules import DataError


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("there is no file a", "there is no file a"),
        ("could not read\n  line 3\r\n\n", "could not read line 3"),
        ("the name is \x1b[2J\0 and \ud800, caf\xe9", "the name is \\x1b[2J\\x00 and \\ud800, caf\xe9"),
        ("a" * 1000 + "b" * 5000 + "c" * 500, "a" * 1000 + " … " + "c" * 500),
        ("\0" * 5000, "\\x00" * 250 + " … " + "\\x00" * 125),
    ],
    ids=["short", "lines", "signs", "long", "long signs"],
)
@pytest.mark.parametrize("kind", [jaxuq.JaxuqError, ArrayError, DataError, UnknownEntryError])
def test_it_is_one_line_of_bounded_length(kind, said, shown):
    assert str(kind(said)) == shown


def test_kinds_with_texts_of_their_own_keep_them():
    said = str(missing_package("nowhere", "this"))
    assert "pip install" in said and "nowhere" in said
    assert str(jaxuq.JaxuqError()) == ""
