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
    "dashes after a row": ("| Person |\n|---|\n| Ada |\n| - |\n", ["Ada"]),
    "dashes between rows": ("| Person |\n|---|\n| Ada |\n|---|\n| Bo |\n|---|\n", ["Ada", "Bo"]),
    "a row, and one that says nothing": ("| Ada |\n| - |\n", ["Ada"]),
    "a header over one dash": ("| Person |\n| - |\n| Ada |\n", ["Ada"]),
    "another table right below": ("| Step | Done |\n|--|--|\n| 1 | yes |\n| Person |\n|---|\n| Ada |\n", ["Ada"]),
    "the header again": ("| Person |\n|---|\n| Ada |\n| Person |\n|---|\n| Bo |\n", ["Bo"]),
    "rows without a header": ("| Ada |\n| Bo |\n", ["Ada", "Bo"]),
    "a row": ("The answer:\n\n| Ada |\n", ["Ada"]),
    "JSON, a list": ('["Ada", "Bo"]', ["Ada", "Bo"]),
    "JSON by type": ('```json\n{"person": ["Ada", "Bo"], "place": ["Rome"]}\n```', ["Ada", "Bo"]),
    "JSON, one text": ('{"person": "Ada"}', ["Ada"]),
    "JSON, records": ('Sure! [{"Person": "Ada", "why": "she"}, {"Person": "Bo"}]', ["Ada", "Bo"]),
    "JSON, records in an object": ('{"n": 2, "entities": [{"person": "Ada"}, {"person": "Bo"}]}', ["Ada", "Bo"]),
    "JSON, entities with types": ('[{"text": "Ada", "type": "PERSON"}, {"text": "Rome", "type": "place"}]', ["Ada"]),
    "JSON, a record in a record": ('[{"person": {"name": "Ada", "age": 36}}]', ["Ada"]),
    "JSON, lists in records": ('[{"person": ["Ada", "Bo"], "place": "Rome"}]', ["Ada", "Bo"]),
    "JSON that breaks off": ('{"person": ["Ada", "Bo", "Char', ["Ada", "Bo"]),
    "JSON that breaks off in a record": ('[{"person": "Ada"}, {"person": "Bo", "wh', ["Ada", "Bo"]),
    "JSON, escapes": ('{"person": ["Z\\u00e9 \\"Bo\\"", "a\\\\b"]}', ['Zé "Bo"', "a\\b"]),
    "Python": ("persons = ['Ada', \"O'Bo\"]", ["Ada", "O'Bo"]),
    "the last JSON counts": ('{"person": ["Ada"]}\n\nor rather\n\n{"person": ["Bo"]}', ["Bo"]),
    "a table after JSON": ('{"person": ["Ada"]}\n\n| Person |\n|---|\n| Bo |\n', ["Bo"]),
    "CSV": ('Person,Role\n"Ada, of X",writer\nBo,"a ""cook"""\n', ["Ada, of X", "Bo"]),
    "CSV of one column": ("```csv\nPerson\nAda, of X\n```\n", ["Ada, of X"]),
    "semicolons": ("Role;Person\nwriter;Ada\n", ["Ada"]),
    "tabs": ("Role\tPerson\nwriter\tAda\n", ["Ada"]),
    "HTML": ("<table><tr><th>No</th><th>Person</th></tr><tr><td>1<td><b>Ada</b> &amp; co</tr></table>", ["Ada & co"]),
    "HTML without a head": ("<TABLE><tr><td>Ada</td></tr>\n<tr><td>Bo</td></tr></TABLE>", ["Ada", "Bo"]),
    "names that are none-words": ("| Person |\n|---|\n| Na |\n| Nil |\n| NA |\n| nil |\n", ["Na", "Nil"]),
    "marks of the name": ("| Person |\n|---|\n| A* |\n| `5'` |\n| __init__ |\n", ["A*", "5'", "__init__"]),
    "emphasis around a mark": ("| Person |\n|---|\n| **B*** |\n| *C* |\n", ["B*", "C"]),
    "JSON lines": ('{"Person": "Ada", "Role": "x"}\n{"Person": "Bo", "Role": "y"}\n', ["Ada", "Bo"]),
    "JSON lines of lists": ('["Ada"]\n["Bo"]', ["Ada", "Bo"]),
    "JSON, records in a list": ('{"Person": [{"name": "Ada", "role": "x"}, {"name": "Bo"}]}', ["Ada", "Bo"]),
    "JSON, a null beside": ('{"Person": ["Ada"], "Place": null}', ["Ada"]),
    "JSON, numbers as written": ('{"Person": [1.60, 1e5, 0.00001, 7]}', ["1.60", "1e5", "0.00001", "7"]),
    "JSON, no number": ('{"Person": [NaN, "Ada"]}', ["Ada"]),
    "drawn with plus signs": (
        "+-----+---+\n| Person | x |\n+=====+===+\n| Ada | 1 |\n+--+--+\n| Bo | 2 |\n+--+--+",
        ["Ada", "Bo"],
    ),
    "drawn with boxes": ("The list:\n┌────────┐\n│ Person │\n├────────┤\n│ Ada    │\n└────────┘", ["Ada"]),
    "full-width pipes": ("｜ Person ｜\n｜---｜\n｜ Ada ｜", ["Ada"]),
    "words before the header": ("**Answer:** | Person |\n|---|\n| Ada |", ["Ada"]),
    "a byte order mark": ("\ufeff| Person |\n|---|\n| Ada |", ["Ada"]),
    "links": ("| Person |\n|---|\n| [Ada](https://a.org/b) |\n| [2](3) |", ["Ada", "[2](3)"]),
    "YAML": ("```yaml\nPerson:\n  - Ada\n  - **Bo**\n```", ["Ada", "Bo"]),
    "a title right above a list": ("Person:\n1. Ada\n2. Bo\nThese are all.", ["Ada", "Bo"]),
    "lines that name the column": ("Person: Ada\nPerson: Bo", ["Ada", "Bo"]),
    "bullets that name the column": ("- **Person:** Ada\n- **Person**: Bo\n- Person: none", ["Ada", "Bo"]),
    "HTML, a list": ("<ul><li>Ada</li><li><b>Bo</b></li></ul>", ["Ada", "Bo"]),
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
        ("<p>Ada</p>", "no table"),
        ("[]", "nothing"),
        ('{"person": []}', "nothing"),
        ('{"person": null}', "nothing"),
        ("```json\n[]\n```", "nothing"),
        ("- Person: Ada, Bo", "no column"),
        ('{"place": ["Rome"], "year": ["1"]}', "no column"),
        ("[1, 2", "no table"),
        ("As said in [1], { x } is none.", "no table"),
        ('{"as": "said", "to": "me"} in [1] and ["x]', "no column"),
        ("| - |\n|---|", "nothing"),
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


@pytest.mark.parametrize(
    "reply",
    [
        '{"Person": ["Ada"], "Place": ["Rome"]}',
        '{"Person": ["Ada"], "Place": "Rome"}',
        '{"Person": ["Ada"], "Place": ["Rome"], "Year": null}',
        '{"Entity": ["Ada", "Rome"], "Entity Type": ["Person", "Place"]}',
        '{"entities": [{"text": "Ada", "type": "Person"}, {"text": "Rome", "type": "Place"}]}',
        '{"text": "Ada", "type": "Person"}\n{"text": "Rome", "type": "Place"}',
    ],
)
def test_json_of_entities_with_types(reply):
    assert parse_rows(reply, ["Entity", "Entity Type"]).rows == (("Ada", "Person"), ("Rome", "Place"))


def test_json_of_relations():
    columns = ["Subject", "Object"]
    for reply in ('{"Subject": ["Ada", "Bo"], "Object": ["Cy", "Di"]}', '[["Ada", "Cy"], ["Bo", "Di"]]'):
        assert parse_rows(reply, columns).rows == (("Ada", "Cy"), ("Bo", "Di"))
    held = parse_rows('[{"Subject": "Ada", "Object": "Cy", "Holds": true}]', [*columns, "Holds"])
    assert held.rows == (("Ada", "Cy", "yes"),)


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
        lambda n: "[" * n,
        lambda n: '[{"a": ' * n,
        lambda n: "[\n" * n,
        lambda n: '["a\\' * n,
        lambda n: "<td" * n,
        lambda n: "<td>a" * n,
        lambda n: "Person\n\n" * n,
        lambda n: "| - |\n" * n,
        lambda n: '"Person,' * n,
        lambda n: "*" * n + "a" + "*" * n,
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
