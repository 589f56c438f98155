"""Labelling functions from files, and a run from plain text with nothing else."""

import json

import pytest

from jaxuq._errors import JaxuqError
from jaxuq.cli import main
from jaxuq.tagging import TaggingDataError, WeakLabels, make_weak_labels, read_columns, read_functions, with_functions
from jaxuq.tagging.benchmark import TaggingConfiguration, run_tagging
from jaxuq.tagging.benchmark.source import read_text_to_label

MINE = """
from jaxuq.tagging import gazetteer_function
TYPES = ["PER"]
_names = {"ada", "bo"}
places = gazetteer_function(["rome"], "LOC")
def names(tokens):
    return [(i, i + 1, "PER") for i, token in enumerate(tokens) if token in _names]
def _helper(tokens):
    raise ValueError
"""
RULES = """
[[gazetteer]]
name = "cities"
type = "LOC"
phrases = ["new york", "Rome"]
ignore_case = true
[[gazetteer]]
name = "people"
type = "PER"
file = "people.txt"
[[regex]]
name = "years"
type = "DATE"
pattern = "[0-9]{4}"
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "rules.toml").write_text(RULES)
    (tmp_path / "people.txt").write_text("Ada Lovelace\n\nBo\n")
    return tmp_path


def _text(*sentences) -> WeakLabels:
    words = [sentence.split() for sentence in sentences]
    import numpy as np

    return make_weak_labels(words, [np.zeros((len(row), 0), int) for row in words], None, ("O",), [])


def test_a_python_file_gives_the_functions_that_it_makes(folder):
    found = read_functions(folder / "mine.py")
    assert set(found.functions) == {"places", "names"} and found.types == ("PER",)
    data = with_functions(_text("ada saw rome", "x"), [found])
    assert data.label_names == ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
    said = {name: data.tags(data.observations[:, :, at]) for at, name in enumerate(data.function_names)}
    assert said == {"places": [["O", "O", "B-LOC"], ["O"]], "names": [["B-PER", "O", "O"], ["O"]]}
    (folder / "mine.py").write_text(MINE + "FUNCTIONS = {'only': names}")
    assert set(read_functions(folder / "mine.py").functions) == {"only"}


def test_what_a_python_file_brings_in_is_no_labelling_function(tmp_path):
    """Other people's functions under new names are left out, parts of one's own are not; no `return` abstains."""
    (tmp_path / "a.py").write_text(
        "from re import compile as made\nfrom functools import partial\nfrom jaxuq.tagging import regex_function\n"
        "def _first(kind, tokens):\n    return [(0, 1, kind)]\n"
        "first = partial(_first, 'PER')\nyears = regex_function('[0-9]+', 'DATE')\ndef none(tokens):\n    pass\n"
    )
    data = with_functions(_text("a 7"), [read_functions(tmp_path / "a.py")])
    said = {name: data.tags(data.observations[:, :, at])[0] for at, name in enumerate(data.function_names)}
    assert said == {"first": ["B-PER", "O"], "years": ["O", "B-DATE"], "none": ["O", "O"]}


def test_rules_mark_what_their_words_say(folder):
    found = read_functions(folder / "rules.toml")
    data = with_functions(_text("Ada Lovelace left New York in 1843"), [found])
    said = {name: data.tags(data.observations[:, :, at])[0] for at, name in enumerate(data.function_names)}
    assert said == {
        "cities": ["O", "O", "O", "B-LOC", "I-LOC", "O", "O"],
        "people": ["B-PER", "I-PER", "O", "O", "O", "O", "O"],
        "years": ["O"] * 6 + ["B-DATE"],
    }


def test_functions_are_added_behind_those_of_the_data(folder):
    path = folder / "a.conll"
    path.write_text("ada O B-X\nsaw O O\nrome O B-LOC\n\nbo B-X O\n")
    known = read_columns(path)
    data = with_functions(known, [read_functions(folder / "mine.py"), read_functions(folder / "rules.toml")])
    assert data.function_names == ("column 1", "places", "names", "cities", "people", "years")
    assert data.tags(data.observations[:, :, 0]) == known.tags(known.observations[:, :, 0])
    assert data.tags(data.labels) == known.tags(known.labels)
    with pytest.raises(TaggingDataError, match="two labelling functions are called 'places'"):
        with_functions(data, [read_functions(folder / "mine.py")])

    def read(functions):
        configuration = TaggingConfiguration(data=(str(path),), functions=functions, gold="last")
        return read_text_to_label(str(path), configuration).function_names

    assert read("recommended") == ("column 1",)
    assert read(f"{folder}/mine.py") == ("places", "names")
    assert read(f"recommended,{folder}/mine.py") == ("column 1", "places", "names")
    with pytest.raises(JaxuqError, match=r"--functions is 'some': expected recommended or all, and files"):
        read("some")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.py", "x = 1", "holds no labelling function"),
        ("a.py", "1 / 0", "could not be run: ZeroDivisionError"),
        ("a.py", "FUNCTIONS = [1]", "FUNCTIONS is no dictionary"),
        ("a.py", "TYPES = 'PER'\ndef f(tokens): return []", "TYPES is 'PER'"),
        ("a.py", "TYPES = None\ndef f(tokens): return []", "TYPES is None"),
        ("a.py", "import sys\nsys.exit(3)", "could not be run: SystemExit: 3"),
        ("a.toml", "[[regex]]\nname = 'a'\ntype = 'X'\npattern = ''", "regex 0: the pattern is missing"),
        ("a.toml", "[[regex]]\nname = ''\ntype = 'X'\npattern = 'x'", "regex 0: the name '' is taken, or it"),
        ("a.toml", "x = [", "could not be read as TOML"),
        ("a.toml", "x = 1", "'x' is no table of rules"),
        ("a.toml", "[[regex]]\nname = 'a'", "regex 0: expected a name and a type"),
        ("a.toml", "[[regex]]\nname = 'a'\ntype = 'X'\npattern = '('", "regex 0: the pattern is missing or malformed"),
        ("a.toml", "[[regex]]\nname = 'a'\ntype = 'X'", "regex 0: the pattern is missing"),
        (
            "a.toml",
            "[[regex]]\nname = 'a'\ntype = 'X'\npattern = 'x'\nflag = 1",
            "'flag' is not as expected; known are",
        ),
        ("a.toml", "[[gazetteer]]\nname = 'a'\ntype = 'X'", "either phrases or a file"),
        ("a.toml", "[[gazetteer]]\nname = 'a'\ntype = 'X'\nphrases = []", "gazetteer 0: the gazetteer has no phrase"),
        ("a.toml", "[[gazetteer]]\nname = 'a'\ntype = 'X'\nphrases = [1]", "expected a list of texts"),
    ],
)
def test_bad_files_are_named(name, text, message, tmp_path):
    (tmp_path / name).write_text(text)
    with pytest.raises(TaggingDataError, match=message):
        read_functions(tmp_path / name)
    with pytest.raises(TaggingDataError, match="there is no file"):
        read_functions(tmp_path / f"other{name}")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("1 / 0", "sentence 0: the labelling function 'f' failed: ZeroDivisionError"),
        ("return [(0, 9, 'X')]", r"sentence 0, f, token 0: the span \[0, 9, 'X'\]"),
        ("return [(0, 1, 'X'), (0, 1, 'Y')]", "overlaps another"),
        ("return [(0, 1, ['X'])]", r"sentence 0, f, token 0: unknown entity type \['X'\]"),
        ("return [(0, 1, '')]", "sentence 0, f, token 0: unknown entity type ''"),
        ("return [7]", "sentence 0: the labelling function 'f' failed: TypeError"),
    ],
)
def test_a_function_that_errs_is_named_with_the_sentence(body, message, tmp_path):
    (tmp_path / "a.py").write_text(f"def f(tokens):\n    {body}\n")
    with pytest.raises(TaggingDataError, match=message):
        with_functions(_text("a b"), [read_functions(tmp_path / "a.py")])


def test_a_file_without_text_is_named(folder):
    (folder / "empty.txt").write_text("\n \n")
    with pytest.raises(TaggingDataError, match=r"empty.txt holds no text"):
        read_text_to_label(str(folder / "empty.txt"), TaggingConfiguration(data=("x",)))


def test_plain_text_is_fitted_to_with_functions_of_ones_own(folder, capsys):
    text = folder / "news.txt"
    text.write_text("ada saw rome\n\nthe old bo\nrome and ada\n" * 5)
    with pytest.raises(TaggingDataError, match=r"news.txt has no labelling functions .* add some with --functions"):
        run_tagging(TaggingConfiguration(data=(str(text),), model="majority-vote", output=folder / "none"))
    common = ["--data", str(text), "--functions", f"{folder}/mine.py"]
    main(["tag", *common, "--model", "majority-vote", "--output", str(folder / "run")])
    lines = [json.loads(line) for line in (folder / "run" / "predictions.jsonl").read_text().splitlines()]
    assert [one["type"] for one in lines[0]["entities"]] == ["PER", "LOC"] and len(lines) == 15
    assert "no part to choose epochs by: 3 of the 15 sentences" in " ".join(capsys.readouterr().err.split())
    model = folder / "run" / "models" / "news" / "majority-vote" / "seed-0"
    (folder / "new.txt").write_text("bo left\nnobody\n")  # no place in it: the model's labels are taken
    main([
        "tag", "--apply", str(model), "--data", str(folder / "new.txt"), "--functions", f"{folder}/mine.py",
        "--formats", "prodigy", "label-studio", "--output", str(folder / "out"),
    ])  # fmt: skip
    lines = [json.loads(line) for line in (folder / "out" / "predictions.jsonl").read_text().splitlines()]
    assert [[one["text"] for one in line["entities"]] for line in lines] == [["bo"], []]
    spans = [json.loads(line)["spans"] for line in (folder / "out" / "prodigy.jsonl").read_text().splitlines()]
    assert [[(one["start"], one["end"], one["label"]) for one in row] for row in spans] == [[(0, 2, "PER")], []]
    tasks = json.loads((folder / "out" / "label-studio.json").read_text())
    assert tasks[0]["predictions"][0]["result"][0]["value"]["text"] == "bo" and tasks[1]["data"]["text"] == "nobody"
