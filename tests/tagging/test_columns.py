"""Files of columns as users have them: schemes, ornaments, blanks inside tokens; junk in files and in folders."""

import copy
import json

import numpy as np
import pytest

from jaxuq.tagging import TaggingDataError, WeakLabels, load_weak_labels, read_columns
from jaxuq.tagging.benchmark import TaggingConfiguration, run_tagging
from jaxuq.tagging.benchmark.source import read_texts
from tests.tagging.small_data import write_data

SPANS = [  # of four sentences; two entities of one type touch each other
    (5, [(0, 2, "X"), (2, 3, "X"), (4, 5, "Y")]),
    (3, [(0, 3, "Y")]),
    (2, []),
    (4, [(1, 2, "X"), (2, 4, "Y")]),
]


def _tags(scheme):
    """The same entities in any scheme, written from the schemes' definitions."""
    first, inner, last, single = {"BIOES": "BIES", "BILOU": "BILU", "BMES": "BMES"}.get(scheme, "BIIB")
    result = []
    for length, spans in SPANS:
        tags = ["O"] * length
        for start, end, kind in spans:
            letters = [single] if end == start + 1 else [first, *inner * (end - start - 2), last]
            if scheme == "IOB1" and not any(e == start and k == kind for _, e, k in spans):
                letters[0] = "I"
            tags[start:end] = [f"{letter}-{kind}" for letter in letters]
        result.append(tags)
    return result


def _write(folder, *columns, separator=" ", ending="\n", start=""):
    words = [[f"w{i}" for i in range(length)] for length, _ in SPANS]
    sentences = [zip(*(column[number] for column in (words, *columns))) for number in range(len(SPANS))]
    text = (ending * 2).join(ending.join(separator.join(row) for row in rows) for rows in sentences)
    (folder / "a.conll").write_bytes((start + text + ending).encode())
    return folder / "a.conll"


def _read(folder, text, **options):
    (folder / "a.conll").write_bytes(text.encode() if isinstance(text, str) else text)
    return read_columns(folder / "a.conll", **options)


@pytest.mark.parametrize("scheme", ["IOB2", "IOB1", "BIOES", "BILOU", "BMES"])
def test_every_scheme_becomes_iob2(scheme, tmp_path):
    """A column each: a function in the scheme, another in IOB2, gold in the scheme."""
    data = read_columns(_write(tmp_path, _tags(scheme), _tags("IOB2"), _tags(scheme)))
    assert data.function_names == ("column 1", "column 2") and data.label_names == ("O", "B-X", "I-X", "B-Y", "I-Y")
    expected = _tags("IOB2")
    assert data.tags(data.labels) == expected
    for number in range(2):
        assert data.tags(data.observations[:, :, number]) == expected


@pytest.mark.parametrize("separator", [" ", "\t", "  \t "])
@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_ornaments_change_nothing(separator, ending, tmp_path):
    plain = read_columns(_write(tmp_path, _tags("IOB2"), _tags("IOB1")))
    parts = [["NN"] * length for length, _ in SPANS]
    start = f"\ufeff# text = w0 w1 O{ending}-DOCSTART- -X- O O{ending}{ending}# sent_id = 1{ending}"
    path = _write(tmp_path, parts, _tags("IOB2"), _tags("IOB1"), separator=separator, ending=ending, start=start)
    data = read_columns(path)
    assert data.function_names == ("column 2",)  # its place in the file
    assert data.tokens == plain.tokens and data.label_names == plain.label_names
    np.testing.assert_array_equal(data.observations, plain.observations)
    np.testing.assert_array_equal(data.labels, plain.labels)


def test_without_gold_every_column_is_a_function(tmp_path):
    data = read_columns(_write(tmp_path, _tags("IOB2"), _tags("IOB2")), gold=False)
    assert data.labels is None and data.function_names == ("column 1", "column 2")
    assert read_columns(_write(tmp_path, _tags("IOB2")), gold=False).function_names == ("column 1",)


NAMED = "-DOCSTART- -X- -X- O\n\nAda NNP B-NP B-PER\nsaw VB B-VP O\n\nRome NNP I-NP B-LOC\n"


def test_names_say_what_each_column_is(tmp_path):
    """Chunks are tags too, and no entities: only a name can tell."""
    data = _read(tmp_path, NAMED, gold=None, columns=("token", "POS", "chunk", "gold"))
    assert data.tags(data.labels) == [["B-PER", "O"], ["B-LOC"]] and data.function_names == ()
    assert data.label_names == ("O", "B-LOC", "I-LOC", "B-PER", "I-PER")
    as_function = _read(tmp_path, NAMED, columns=("token", "-", "_", "mine"))
    assert as_function.labels is None and as_function.function_names == ("mine",)
    plus = _read(tmp_path, f"# global.columns = FORM UPOS CHUNK gold\n{NAMED}", gold=None)
    np.testing.assert_array_equal(plus.labels, data.labels)
    last = _read(tmp_path, "O Ada B-PER\nB-PER Bo O\n", columns=("gold", "form", "other"))
    assert last.tokens == (("Ada", "Bo"),) and last.tags(last.labels) == [["O", "B-PER"]]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (("token", "gold"), "has 4 columns and 2 names of columns: token, gold"),
        (
            ("token,pos,chunk,gold",),
            "has 4 columns and 1 names of columns: token,pos,chunk,gold; divide names by blanks",
        ),
        (("a", "pos", "chunk", "gold"), "expected one token, and gold once at most"),
        (("token", "gold", "chunk", "gold"), "expected one token, and gold once at most"),
        (
            ("token", "tagger", "chunk", "gold"),
            "column 1: the tag is '-X-'.* a column 'tagger' that holds none is called -",
        ),
        (("token", "-", "f", "f"), "two columns have one name among f, f"),
        (None, "says whether its last column .* or name the columns with --columns"),
    ],
)
def test_names_that_do_not_fit_are_refused(columns, message, tmp_path):
    with pytest.raises(TaggingDataError, match=message):
        _read(tmp_path, NAMED.replace("-DOCSTART-", "saw").replace("-X- O", "O O"), gold=None, columns=columns)


@pytest.mark.parametrize("blank", ["\u00a0", "\u2028", "\u2029", "\u0085", "\u3000", "\u000b", "\u000c", "\u001c"])
def test_unusual_blanks_belong_to_their_token(blank, tmp_path):
    for separator in " \t":
        text = f"New{blank}York O B-X\n{blank} O I-X\n\n# O O\n".replace(" ", separator)
        data = _read(tmp_path, text)
        assert data.tokens == ((f"New{blank}York", blank), ("#",))
        assert data.tags(data.labels) == [["B-X", "I-X"], ["O"]]
    assert _read(tmp_path, "New York\tO\tB-X\n").tokens == (("New York",),), "where tabs divide, a blank does not"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a O B-X\nb O I-Y\n", r"sentence 0, token 1, column 2 \(line 2\): I-Y follows B-X; an entity begins with B-"),
        ("# x\na O O\n\nb O I-X\nc O O\nd O B-X\n", r"sentence 1, token 0, column 2 \(line 4\): I-X follows O; an ent"),
        ("a O B-X\nb O O\n\nc O S-X\n", r"sentence 0, token 1, column 2 \(line 2\): O follows B-X, which BIOES"),
        ("a O S-X\nb O I-X\nc O E-X\n", r"token 1, column 2 .*: I-X follows S-X, which BIOES"),
        ("a O S-X\nb O B-X\nc O E-Y\n", r"token 2, column 2 .*: E-Y follows B-X, which BIOES"),
        ("a O S-X\nb O B-X\n", r"token 2, column 2 \(line 2\): O follows B-X, which BIOES"),
        ("a O O\nb O\n", r"sentence 0, token 1 \(line 2\): 2 columns; expected 3"),
        ("a O X\nb 1 O\n", "sentence 0, token 0, column 2: the tag is 'X'"),
        ("a B-X B-X\nb O o\n", "sentence 0, token 1, column 2: the tag is 'o'.* where - stands for"),
        ("a B-X O\nb O B_X\nc O O\n", "sentence 0, token 1, column 2: the tag is 'B_X'"),
        ("a B-Y O\nb O PER\n\nc O O\n", "sentence 0, token 1, column 2: the tag is 'PER'"),
        ("a b-x O\nb O O\nc O B-X\n", "sentence 0, token 0, column 1: the tag is 'b-x'"),
        ("1 a O\n2 b B-X\n\n1 c O\n", "the first column, .*, counts the tokens .* such as --columns id token gold"),
        ("a\nb\n", "1 column; expected a token and at least one tag"),
        ("\n\n", "no sentence"),
        ("# only\n# comments\n", "no sentence"),
        ("\tO\tO\nb\tO\tO\n", "token 0 .*: the token is empty"),
        (b"a O \xff\n", "could not be read as UTF-8 text"),
    ],
)
def test_bad_columns_are_refused_with_sentence_and_token(tmp_path, text, message):
    with pytest.raises(TaggingDataError, match=message):
        _read(tmp_path, text)


@pytest.mark.parametrize("count", [400, pytest.param(20_000, marks=pytest.mark.long)])
def test_mutated_columns_are_read_or_refused(count, tmp_path):
    rng = np.random.default_rng(3)
    text = _write(tmp_path, [["NN"] * n for n, _ in SPANS], _tags("BIOES"), _tags("IOB1")).read_text()
    pieces = ["\t", " ", "\n", "\n\n", "#", "B-X", "I-", "-", "S-X", "\u2028", "\ufeff", "-DOCSTART-", "\0", "O"]
    kinds = set()
    for _ in range(count):
        mutated = text
        for _ in range(rng.integers(1, 4)):
            start, size = rng.integers(len(mutated) + 1), rng.integers(6)
            mutated = mutated[:start] + str(rng.choice(pieces)) * int(rng.integers(3)) + mutated[start + size :]
        try:
            data = _read(tmp_path, mutated, gold=bool(rng.integers(2)))
        except TaggingDataError:
            kinds.add("refused")
            continue
        kinds.add("read")
        assert all(token and token in mutated for words in data.tokens for token in words)
        assert [len(words) for words in data.tokens] == data.lengths.tolist()
        for votes in (*np.moveaxis(data.observations, 2, 0), *([] if data.labels is None else [data.labels])):
            for tags in data.tags(votes):  # all is IOB2
                for before, tag in zip(["O", *tags], tags):
                    assert not tag.startswith("I-") or before[1:] == tag[1:]
    assert kinds == {"read", "refused"}


# folders


def _places(value, path=()):
    yield path
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from _places(inner, (*path, key))


JUNK = [
    None,
    True,
    0,
    -1,
    1.5,
    10**30,
    "",
    "PER",
    "\ud800",
    [],
    [1],
    [[]],
    [["a"]],
    [[0, 1]],
    [[0, 1, "PER"]],
    {},
    {"a": 1},
]


def test_mutated_folders_are_read_or_refused(tmp_path):
    """One kind of error whatever stands where; the fields are those of the published layout."""
    folder, rng = write_data(tmp_path / "small", sentences=3), np.random.default_rng(5)
    whole = {name: json.loads((folder / f"{name}.json").read_text()) for name in ("meta", "test")}
    places = [(name, path) for name in whole for path in _places(whole[name])]
    read = 0
    for number in range(500):
        changed = copy.deepcopy(whole)
        for _ in range(int(rng.integers(1, 3))):
            name, path = places[int(rng.integers(len(places)))]
            value = copy.deepcopy(JUNK[int(rng.integers(len(JUNK)))])
            parent, key = changed, name
            try:
                for step in path:
                    parent, key = parent[key], step
                if rng.random() < 0.2:
                    del parent[key]
                else:
                    parent[key] = value
            except (KeyError, IndexError, TypeError):
                continue  # an earlier change took the place away
        for name in whole:
            (folder / f"{name}.json").write_text(json.dumps(changed.get(name)))
        try:
            data = load_weak_labels(folder, "test", functions="all" if number % 2 else "recommended")
        except TaggingDataError:
            continue
        read += 1
        assert isinstance(data, WeakLabels) and data.observations.shape[2] == len(data.function_names)
        assert data.observations.min() >= -1 and data.observations.max() < len(data.label_names)
        json.dumps([data.tokens, data.ids, data.label_names, data.function_names]).encode()
    assert 10 < read < 490


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000, "nested too deeply"),
        ("{", "could not be read as JSON"),
        ("[]", r"test.json is a list; expected an object with named sentences"),
        ('{"s": {"data": {"text": "ab"}, "weak_labels": []}}', "sentence s: 'text' is text; expected a list of words"),
        ('{"s": {"data": {"text": [3]}, "weak_labels": []}}', "sentence s, token 0: 3 is a number; expected text"),
        ('{"s": {"data": {"text": ["a"]}, "weak_labels": {}}}', "sentence s: 'weak_labels' is no list of lists"),
        ('{"s": {"data": {"text": ["a"]}, "label": 4, "weak_labels": []}}', "'label' is a number; expected a list"),
        ('{"s": {"data": {"text": ["a"]}, "weak_labels": [["abc"],[],[]]}}', "a span is 'abc'; expected"),
        ('{"s": {"data": {"text": ["a"]}, "weak_labels": [[[0, true, "PER"]],[],[]]}}', "not whole numbers"),
    ],
)
def test_damaged_sentences_are_named(text, message, tmp_path):
    folder = write_data(tmp_path / "small", sentences=3)
    (folder / "test.json").write_text(text)
    with pytest.raises(TaggingDataError, match=message):
        load_weak_labels(folder, "test")


def test_what_would_fill_the_memory_is_refused_before_it_does(tmp_path, monkeypatch):
    from jaxuq.tagging import records

    folder = write_data(tmp_path / "small", sentences=3)
    monkeypatch.setattr(records, "_MOST_VOTES", 20)
    with pytest.raises(TaggingDataError, match=r"3 sentences x \d tokens of the longest, \d, x 3 functions are more"):
        load_weak_labels(folder, "test")
    monkeypatch.setattr(records, "_MOST_BYTES", 10)
    with pytest.raises(TaggingDataError, match="expected at most 10: divide it"):
        load_weak_labels(folder, "test")


# a run on them


def _configuration(entry, tmp_path, **options):
    return TaggingConfiguration(data=(str(entry),), model="majority-vote", seeds=1, output=tmp_path / "out", **options)


def test_a_file_of_columns_says_whether_it_has_gold(tmp_path):
    path = _write(tmp_path, _tags("IOB2"), _tags("IOB1"))
    with pytest.raises(TaggingDataError, match=r"says whether its last column .* add --gold last or --gold none"):
        run_tagging(_configuration(path, tmp_path))
    folder = run_tagging(_configuration(path, tmp_path, gold="none")).path
    assert (folder / "results.csv").read_text().count("\n") == 1, "no score without gold labels"
    labelled = [json.loads(line) for line in (folder / "predictions.jsonl").read_text().split("\n") if line]
    assert len(labelled) == len(SPANS)


def test_without_a_valid_part_some_of_train_is_held_out(tmp_path):
    folder = write_data(tmp_path / "small", sentences=20)
    (folder / "valid.json").unlink()
    texts = read_texts(str(folder), _configuration(folder, tmp_path))
    assert len(texts.valid.ids) == 4 and len(texts.fit.ids) == 16 and not set(texts.valid.ids) & set(texts.fit.ids)
    assert len(texts.test.ids) == 20 and "4 of the 20 sentences" in texts.remark
    again = read_texts(str(folder), _configuration(folder, tmp_path))
    assert again.valid.ids == texts.valid.ids

    (folder / "train.json").unlink()  # what is scored is all there is: gold that chose an epoch is not scored
    texts = read_texts(str(folder), _configuration(folder, tmp_path))
    assert not set(texts.valid.ids) & set(texts.test.ids) and len(texts.test.ids) == 16
    assert "not scored; label them with --apply" in texts.remark

    bare = write_data(tmp_path / "bare", sentences=20, gold=False)
    (bare / "valid.json").unlink(), (bare / "train.json").unlink()
    assert len(read_texts(str(bare), _configuration(bare, tmp_path)).test.ids) == 20, "without gold all is labelled"
    whole = write_data(tmp_path / "whole", sentences=20)
    assert read_texts(str(whole), _configuration(whole, tmp_path)).remark == ""
    assert (
        "chosen on the part that is scored"
        in read_texts(str(whole), _configuration(whole, tmp_path, part="valid")).remark
    )
    record = json.loads((run_tagging(_configuration(folder, tmp_path)).path / "run.json").read_text())
    assert record["datasets"][0]["remark"] == texts.remark
