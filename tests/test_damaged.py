"""One kind of damage in the files of every room: each reader names the file in its own error."""

import gzip
import json
import pathlib
import zipfile
import zlib

import jax
import numpy as np
import pytest

import jaxuq
from jaxuq import extraction, molecules, questions, reporting, tagging
from jaxuq.checkpoints import CheckpointError, load_backbone
from jaxuq.confidence.files.harness import read_harness
from jaxuq.confidence.files.records import Unusable
from jaxuq.experts.adapter_checkpoints import load_adapter_checkpoints
from jaxuq.language import cross_entropy
from jaxuq.language.batches import Survey
from jaxuq.language.finetune import FinetuneConfig, _claim
from jaxuq.molecules import DataError, load_csv
from jaxuq.study import read_arrays, read_run, write_arrays
from tests.language.finetune_run import tiny_model
from tests.reporting.folders import write_result_folder

SURVEY = Survey(np.ones(1, int), (), 0, "a")
DEEP = "[" * 100_000
DIGITS = "9" * 5000  # more than Python reads as one number


def _packed(text: str) -> bytes:
    """Gzipped, with a byte of its deflated stream changed: neither an `OSError` nor an `EOFError`."""
    content = bytearray(gzip.compress(text.encode() * 50, mtime=0))
    content[10] = 0xFF
    return bytes(content)


def _csv(content: str) -> str:
    return f'smiles,labels\nCCO,"{content}"\n'


JSON = {
    "types": ("types.json", "{}", extraction.read_schema),
    "texts": ("news.json", "{}", lambda path: extraction.read_passages(path, extraction.make_schema(["a"]))),
    "lines of texts": ("news.jsonl", "{}", lambda path: extraction.read_passages(path, extraction.make_schema(["a"]))),
    "tasks of an annotation program": ("a.json", "{}", tagging.read_annotations),
    "weak labels": ("meta.json", "{}", lambda path: tagging.load_weak_labels(path.parent, "test")),
    "parts of molecules": ("meta.json", "{}", lambda path: molecules.load_split_folder(path.parent)),
    "questions": ("a.json", "{}", lambda path: questions.load_questions(str(path))),
    "a run": ("run.json", "{}", lambda path: read_run(path.parent)),
    "a run's report": ("run.json", "{}", lambda path: reporting.read_folder(path.parent)),
    "a fine-tuning": ("run.json", "{}", lambda path: load_adapter_checkpoints(path.parent)),
    "prompts": ("prompts.toml", "a = {}", extraction.read_prompts),
    "labelling functions": ("rules.toml", "a = {}", tagging.read_functions),
}


@pytest.mark.parametrize("damage", [DEEP, DIGITS], ids=["nested", "digits"])
@pytest.mark.parametrize("reader", JSON)
def test_nesting_and_digits_without_end_are_the_files_fault(reader, damage, tmp_path):
    name, around, read = JSON[reader]
    for part in ("train", "valid", "test"):
        (tmp_path / f"{part}.csv").write_text(_csv("[1]"))
    path = tmp_path / name
    path.write_text(around.replace("{}", damage))
    with pytest.raises(jaxuq.JaxuqError) as raised:
        read(tmp_path / name)
    assert path.name in str(raised.value) or tmp_path.name in str(raised.value)


@pytest.mark.parametrize("content", [DEEP, DIGITS, f"[{'9' * 400}]"], ids=["nested", "digits", "no float"])
def test_labels_that_are_no_numbers_are_named_with_their_line(content, tmp_path):
    for part in ("train", "valid", "test"):
        (tmp_path / f"{part}.csv").write_text(_csv(content[:100_000]))
    with pytest.raises(DataError, match=r"train\.csv, line 2, column 'labels'"):
        molecules.load_split_folder(tmp_path)


GZIPPED = {
    "molecules": ("a.csv.gz", "smiles,y\nCCO,1\n", load_csv),
    "SDF": ("a.sdf.gz", "x\n\n\n$$$$\n", load_csv),
    "questions": ("a.jsonl.gz", '{"question": "a", "answer": "b"}\n', lambda path: questions.load_questions(str(path))),
    "texts": ("a.jsonl.gz", "{}\n", lambda path: extraction.read_passages(path, extraction.make_schema(["a"]))),
}  # fmt: skip


@pytest.mark.parametrize("reader", GZIPPED)
def test_a_damaged_stream_of_gzip_is_the_files_fault(reader, tmp_path):
    name, text, read = GZIPPED[reader]
    (tmp_path / name).write_bytes(_packed(text))
    with pytest.raises(jaxuq.JaxuqError, match=name):
        read(tmp_path / name)


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
def test_a_line_of_excels_names_the_separator(mark, tmp_path):
    (tmp_path / "a.csv").write_text(
        f"sep={mark}\n" + mark.join(["smiles", "y"]) + "\n" + mark.join(["CCO", "1"]) + "\n"
    )
    assert load_csv(tmp_path / "a.csv").labels.tolist() == [[1.0]]


@pytest.mark.parametrize("mark", [":", "x", '"'])
def test_a_separator_that_is_none_is_told(mark, tmp_path):
    (tmp_path / "a.csv").write_text(f"sep={mark}\nsmiles,y\nCCO,1\n")
    with pytest.raises(DataError, match=r"a\.csv begins with 'sep="):
        load_csv(tmp_path / "a.csv")


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("pattern = '(a){99999999999999}'", "pattern is missing or malformed"),
        (f"pattern = '{'(' * 3000}a{')' * 3000}'", "pattern is missing or malformed"),
    ],
    ids=["counts", "nested"],
)
def test_a_pattern_too_large_for_the_machine_is_malformed(rule, said, tmp_path):
    (tmp_path / "a.toml").write_text(f"[[regex]]\nname = 'a'\ntype = 'X'\n{rule}\n")
    with pytest.raises(tagging.TaggingDataError, match=said):
        tagging.read_functions(tmp_path / "a.toml")


def test_a_name_of_a_file_that_no_file_can_have(tmp_path):
    (tmp_path / "a.toml").write_text('[[gazetteer]]\nname = "a"\ntype = "X"\nfile = "a\\u0000b"\n')
    with pytest.raises(tagging.TaggingDataError, match="could not be read"):
        tagging.read_functions(tmp_path / "a.toml")


@pytest.mark.parametrize("content", ["method,rmse\nSWAG,1,2,3\n1,2\n", "", "method,rmse-mean\nDNN-SWAG,good\n"])
def test_a_published_report_that_is_no_table_is_named(content, tmp_path):
    pathlib.Path(tmp_path, "DNN-esol.csv").write_text(content)
    with pytest.raises(jaxuq.JaxuqError, match=tmp_path.name) as raised:
        reporting.published_scores(tmp_path)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("record", ["[]", "null", "{", DEEP, "1"], ids=["list", "nothing", "cut", "nested", "number"])
def test_a_fine_tuning_whose_record_is_none_is_another_run(record, tmp_path):
    (tmp_path / "run.json").write_text(record)
    with pytest.raises(CheckpointError, match="another model, config, examples, data, key, loss"):
        _claim(tmp_path, tiny_model(), FinetuneConfig(max_length=8), SURVEY, jax.random.key(0), cross_entropy)


ENDLESS = {
    "Label Studio": ("a.json", '[{"data": {"text": "Ada"}, "annotations": [{"result": [{"value": '
                     '{"start": 1e999, "end": 3, "labels": ["X"]}}]}]}]', tagging.read_annotations),
    "Prodigy": ("a.jsonl", '{"text": "Ada", "tokens": [{"start": 0, "end": 1e999}]}', tagging.read_annotations),
    "stored replies": ("a.jsonl", '{"id": "a", "type": "x", "sample": 1e999, "messages": []}', extraction.replay_chat),
}  # fmt: skip


@pytest.mark.parametrize("reader", ENDLESS)
def test_a_place_without_end_is_no_place(reader, tmp_path):
    name, text, read = ENDLESS[reader]
    (tmp_path / name).write_text(text)
    with pytest.raises(jaxuq.JaxuqError, match=name):
        read(tmp_path / name)


@pytest.mark.parametrize("strings", [b"\x91\xc0", b"\x91\x01", b"\xc0"], ids=["nothing", "a number", "no list"])
def test_words_of_a_docbin_that_are_no_texts_are_its_fault(strings, tmp_path):
    """MessagePack by hand: a map of five, of which the strings are these."""
    fields = {
        b"attrs": b"\x91\x41",
        b"lengths": b"\xc4\0",
        b"tokens": b"\xc4\0",
        b"spaces": b"\xc4\0",
        b"strings": strings,
    }
    packed = b"".join(bytes([0xA0 + len(name)]) + name + value for name, value in fields.items())
    (tmp_path / "a.spacy").write_bytes(zlib.compress(b"\x85" + packed))
    with pytest.raises(tagging.TaggingDataError, match=r"a\.spacy could not be read as a DocBin"):
        tagging.read_annotations(tmp_path / "a.spacy")


@pytest.mark.parametrize("place", [b"first", b"logS", b"-1.5"], ids=["title", "name", "property"])
def test_bytes_of_an_sdf_that_are_no_text_are_its_fault(place, tmp_path):
    from rdkit import Chem

    molecule = Chem.MolFromSmiles("CCO")
    molecule.SetProp("_Name", "first")
    block = f"{Chem.MolToMolBlock(molecule)}>  <logS>\n-1.5\n\n$$$$\n".encode()
    (tmp_path / "a.sdf").write_bytes(block.replace(place, b"\xff\xfe"))
    with pytest.raises(DataError, match=r"a\.sdf is not a readable SDF file"):
        load_csv(tmp_path / "a.sdf")


def test_a_member_that_is_no_array_makes_its_file_damaged(tmp_path):
    write_arrays(tmp_path / "a.npz", {"a": np.arange(3), "b": np.ones(2)})
    assert read_arrays(tmp_path / "a.npz") is not None
    with zipfile.ZipFile(tmp_path / "a.npz") as archive:
        whole = archive.read("a.npy")
    with zipfile.ZipFile(tmp_path / "b.npz", "w") as archive:
        archive.writestr("a.npy", whole)
        archive.writestr("b.npy", b"no array")
    assert read_arrays(tmp_path / "b.npz") is None


def test_a_table_of_more_columns_than_any_result_has_is_damaged(tmp_path):
    write_result_folder(tmp_path / "run", molecules=4, methods=("deterministic",), seeds=1)
    file = tmp_path / "run" / "results.csv"
    file.write_text(file.read_text().replace("dataset,", "dataset," + "a," * 6000, 1))
    with pytest.raises(reporting.ReportError, match=r"results\.csv: .*it has 6\d\d\d columns"):
        reporting.read_folder(tmp_path / "run")


@pytest.mark.parametrize("outputs", [[1], "a", 3, None, {"kind": [1]}], ids=["list", "text", "number", "none", "kind"])
def test_a_converted_backbone_whose_outputs_are_no_object_is_named(outputs, tmp_path):
    content = {"architecture": "dmpnn", "config": {"outputs": outputs}, "source": {"file": "a", "sha256": "b"}}
    (tmp_path / "config.json").write_text(json.dumps(content))
    with pytest.raises(CheckpointError):
        load_backbone(tmp_path)


def test_a_count_without_end_in_a_pattern_is_the_patterns_fault(tmp_path):
    rules = tmp_path / "rules.toml"
    rules.write_text(f"[[regex]]\nname = 'a'\ntype = 'PER'\npattern = 'x{{{DIGITS}}}'\n")
    with pytest.raises(tagging.TaggingDataError, match="the pattern is missing or malformed"):
        tagging.read_functions(rules)


def test_a_value_without_end_is_no_answer(tmp_path):
    entry = '{"ID": "1", "Body": "Ada has 3 pens.", "Question": "How many?", "Answer": %s, "Type": "a"}'
    (tmp_path / "SVAMP.json").write_text(f"[{entry % '1e999'}]")
    with pytest.raises(jaxuq.JaxuqError, match="Answer is inf, expected a number"):
        questions.load_questions(f"svamp:{tmp_path / 'SVAMP.json'}")
    (tmp_path / "SVAMP.json").write_text(f"[{entry % ('9' * 400)}]")  # a whole number that no float holds is one
    assert questions.load_questions(f"svamp:{tmp_path / 'SVAMP.json'}").questions[0].answers == ("9" * 400,)


def test_an_empty_request_of_the_harness_costs_its_line():
    entry = {"doc_id": 1, "doc": {}, "target": "0", "resps": [[["-1.0", "False"]], [[]]], "arguments": []}
    with pytest.raises(Unusable, match="no text and no log-likelihoods"):
        read_harness(entry)
