"""What is read from a reply: the strict parser as published, and the tolerant one on what models really write."""

import difflib
import time

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from jaxuq.extraction import find_column, is_nothing, parse_rows, published_tables, reply_tables
from jaxuq.extraction.tables import clean_cell

TABLE = "Here you are:\n\n| Person |\n|--------|\n| Ada |\n| None |\n"
# What a model writes instead of a plain table, and the persons it means.
VARIANTS = {
    "plain": (TABLE, ["Ada"]),
    "no outer pipes": ("Person | Role\n--- | ---\nAda | writer\nBo | cook\n", ["Ada", "Bo"]),
    "no pipes at all": ("Person\n---\nAda\nBo\n\nAnything else?", ["Ada", "Bo"]),
    "no pipes, to the end": ("The list:\nPerson\n------\nAda", ["Ada"]),
    "a rule between paragraphs": ("Let me see.\n---\nAda, perhaps.\n\n| Person |\n|---|\n| Bo |", ["Bo"]),
    "no line of dashes": ("| Person |\n| Ada |\n| Bo |", ["Ada", "Bo"]),
    "code fence": ("```markdown\n| Person |\n|---|\n| Ada |\n```\nAnything else?", ["Ada"]),
    "quoted lines": ("> | Person |\n> |:--|\n> | Ada |\n", ["Ada"]),
    "extra columns": ("| No. | Person | Why |\n|--|--|--|\n| 1 | Ada | she wrote |\n", ["Ada"]),
    "ragged rows": ("| No. | Person | Why |\n|--|--|--|\n| 1 | Ada |\n| 2 |\n| 3 | Bo | x | y |\n", ["Ada", "Bo"]),
    "another name of the column": ("| persons |\n|---|\n| Ada |\n", ["Ada"]),
    "single column of another name": ("| Answer |\n|---|\n| Ada |\n", ["Ada"]),
    "the last table counts": (TABLE + "\nCleaned up:\n\n| Person |\n|---|\n| Bo |\n", ["Bo"]),
    "a later table of something else": (TABLE + "\n| Step | Done |\n|---|---|\n| 1 | yes |\n", ["Ada"]),
    "a table in a table's cell": ("| Person |\n|---|\n| Ada \\| Bo |\n", ["Ada | Bo"]),
    "bullets": ("The persons are:\n- Ada\n* **Bo**: a cook\n", ["Ada", "Bo"]),
    "numbers": ('1. "Ada" - she wrote\n2. Bo\n', ["Ada", "Bo"]),
    "emphasis, entities, breaks": ("| Person |\n|---|\n| **Ada** &amp; co<br>`Bo` |\n", ["Ada & co", "Bo"]),
    "tags": ("| Person |\n|---|\n| <b>Ada</b> |\n", ["Ada"]),
    "cut off": ("| Person |\n|---|\n| Ada |\n| Bo", ["Ada", "Bo"]),
    "right to left": ("| Person |\n|---|\n| عمر |\n", ["عمر"]),
    "carriage returns": ("| Person |\r\n|---|\r\n| Ada |\r\n", ["Ada"]),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_the_tolerant_parser_reads_what_models_write(name):
    reply, persons = VARIANTS[name]
    parsed = parse_rows(reply, ["Person"])
    assert ([cell for (cell,) in parsed.rows], parsed.status) == (persons, "found")


@pytest.mark.parametrize(
    ("reply", "status"),
    [
        ("", "empty reply"),
        (" \n\t", "empty reply"),
        ("I'm sorry, but I cannot help with that.", "no table"),
        ("None.", "nothing"),
        ("| Person |\n|---|\n| N/A |\n| - |\n", "nothing"),
        ("| Person |\n|---|\n", "nothing"),
        ("| Place | Year |\n|---|---|\n| Rome | 1 |\n", "no column"),
        ("<table><tr><td>Ada</td></tr></table>", "no table"),
        ("\x00\x01\x02", "no table"),
    ],
)
def test_failures_have_a_reason_and_nothing_is_no_failure(reply, status):
    parsed = parse_rows(reply, ["Person"])
    assert (parsed.rows, parsed.status, parsed.failed) == ((), status, status != "nothing")


def test_two_columns_and_several_tables():
    reply = "| Entity | Entity Type |\n|---|---|\n| Ada | Person |\n| none | Person |\n| Rome | Place |\n"
    assert parse_rows(reply, ["Entity", "Entity Type"]).rows == (("Ada", "Person"), ("", "Person"), ("Rome", "Place"))
    assert len(reply_tables(reply + "\n" + reply)) == 2
    assert parse_rows("| Entity |\n|---|\n| Ada |\n", ["Entity", "Entity Type"]).status == "no column"


def test_the_published_parser_wants_pipes_dashes_and_equal_rows():
    read = lambda reply: parse_rows(reply, ["Person"], convention="published")  # noqa: E731
    assert read(TABLE).rows == (("Ada",), ("None",))  # none-words are dropped when located
    assert read("Person | Role\n--- | ---\nAda | writer\n").status == "no table"
    assert read("| Person |\n|---|\n| Ada | x |\n").status == "malformed table"
    assert read("| persons |\n|---|\n| Ada |\n").status == "no column"  # case counts
    assert read("| Person |\n|---|").status == "no table"  # nothing follows the dashes
    assert read("| Person |\n\n|---|\n| Ada |\n").rows == (("---",), ("Ada",))  # the dashes become a row
    assert read("| Person | Person |\n|---|---|\n| Ada | Bo |\n").rows == (("Person",), ("Person",))
    assert read(TABLE + "\n| Step |\n|---|\n| 1 |\n").status == "no column"  # only the last table is looked at
    assert published_tables("| a |\n|---|\n| b | tail\n| c |\n")[0].rows == (("b",),)


def test_columns_are_found_as_difflib_finds_them():
    header = ["Nr", "Materials Names", "Material Nam"]
    best = max(header, key=lambda name: difflib.SequenceMatcher(None, name, "Material Name").ratio())
    assert header[find_column(header, "Material Name", ignore_case=False)] == best
    assert find_column(["MATERIAL NAME"], "Material Name", ignore_case=False) == -1
    assert find_column(["MATERIAL NAME"], "Material Name") == 0


@pytest.mark.parametrize("cell", ["none", "N/A", "-", "", "(none)", "Not mentioned.", "**None**", "—"])
def test_none_words(cell):
    assert is_nothing(cell)


def test_a_name_that_contains_a_none_word_is_one():
    assert not any(is_nothing(cell) for cell in ("Nonesuch", "NaCl", "Noneck", "0"))


MARKUP = st.text(st.sampled_from(list("|-:*`>#\n \tabcNone/<br>&\x00\x0b\u202e\u05d0é.1\\\"'")), max_size=200)


@settings(max_examples=150, deadline=None)
@given(st.one_of(MARKUP, st.text(max_size=80)), st.sampled_from(["corrected", "published"]))
def test_no_reply_raises_and_cells_come_from_the_reply(reply, convention):
    columns = [["a"], ["a", "b"]][len(reply) % 2]
    parsed = parse_rows(reply, columns, convention=convention)
    assert all(len(row) == len(columns) for row in parsed.rows)
    assert (parsed.status == "found") == bool(parsed.rows)
    if "&" not in reply and "<" not in reply and "\\" not in reply:  # what is unescaped may differ
        assert all(cell in reply or clean_cell(cell) == cell for row in parsed.rows for cell in row)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=8), min_size=1, max_size=6))
def test_both_parsers_agree_on_a_plain_table(names):
    names = [name for name in names if not is_nothing(name)]
    reply = "| Person |\n|---|\n" + "".join(f"| {name} |\n" for name in names)
    expected = tuple((name.strip(),) for name in names)
    assert parse_rows(reply, ["Person"], convention="published").rows == expected
    assert parse_rows(reply, ["Person"]).rows == expected


@pytest.mark.parametrize(
    "make",
    [
        lambda n: "| Person |\n|---|\n" + "| Ada |\n" * n,
        lambda n: "|" * n,
        lambda n: "| " * n + "\n" + "|-" * n + "|\n",
        lambda n: "|---|\n" * n,
        lambda n: "| a |\n\n\n" * n,
        lambda n: "- " + "**" * n,
        lambda n: "<" * n + "| <a" * n,
        lambda n: '1. "' * n,
        lambda n: ">" * n + "-" * n,
    ],
)
@pytest.mark.parametrize("convention", ["corrected", "published"])
@pytest.mark.long  # a quiet machine
def test_time_is_linear_in_the_reply(make, convention):
    """Eight times the reply takes well under 64 times the time, the mark of quadratic work."""

    def seconds(n):
        reply = make(n)
        began = time.process_time()
        parse_rows(reply, ["Person"], convention=convention)
        return time.process_time() - began

    seconds(100)
    small = max(min(seconds(1_000) for _ in range(2)), 1e-3)
    assert seconds(8_000) < 32 * small
