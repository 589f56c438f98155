"""Every kind of bad input costs itself or gives one clear message."""

import gzip
import json

import numpy as np
import pytest

from jaxuq.molecules import DataError, DataWarning, Split, load_csv, load_split_folder


def test_blanks_are_missing_labels_and_finite(write):
    data = load_csv(write("smiles,a,b\nCCO,1.5,\nCCC, NaN ,2\nC,N/A,-3e-1\n"))
    assert data.taken == "SMILES from smiles, regression of a, b; --targets names others"
    np.testing.assert_array_equal(data.mask, [[True, False], [False, True], [False, True]])
    np.testing.assert_allclose(data.labels, [[1.5, 0], [0, 2], [0, -0.3]], rtol=1e-15)
    assert (data.task_names, data.task_type, data.metric, data.name) == (("a", "b"), "regression", "rmse", "mine")
    assert data.labels.dtype == np.float64


def test_task_type_is_inferred_or_given(write):
    path = write("smiles,y\nC,0\nCC,1\nCCC,\n")
    assert (load_csv(path).task_type, load_csv(path).metric) == ("classification", "roc-auc")
    assert load_csv(path, task_type="regression", metric="mae")[5:7] == ("regression", "mae")
    with pytest.raises(DataError, match=r"'CC'.*has 2 for 'y'.*task_type='regression'"):
        load_csv(write("smiles,y\nC,0\nCC,2\n"), task_type="classification")
    with pytest.raises(DataError, match=r"task_type must be.*'ranking'"):
        load_csv(path, task_type="ranking")


def test_columns_are_guessed_without_identifiers_and_text(write):
    path = write("ID,Name,SMILES,solubility,num\n1,ethanol,CCO,0.5,7\n2,2,CCC,0.7,8\n")
    assert load_csv(path).task_names == ("solubility",)
    assert load_csv(path, task_columns=["num"]).labels.ravel().tolist() == [7, 8]


def test_unusable_records_are_listed_with_line_and_reason(write):
    text = "smiles,y\nCCO,1\nnot a molecule,2\n  ,3\nCCC,4,5\nC(C)(C)(C)(C)C,6\n\n CCN ,7\n"
    data = load_csv(write(text))
    assert data.smiles == ["CCO", "CCN"]
    assert data.labels.ravel().tolist() == [1, 7]
    assert [(r.row, r.text.strip()) for r in data.rejected] == [
        (3, "not a molecule"),
        (4, ""),
        (5, "CCC"),
        (6, "C(C)(C)(C)(C)C"),
    ]
    assert "3 fields where the header has 2" in data.rejected[2].reason
    assert len(load_csv(write(text), drop_unparsable=False).smiles) == 4


def test_line_numbers_count_quoted_line_breaks(write):
    data = load_csv(write('smiles,y,note\nCCO,1,"two\nlines"\nnonsense(,2,x\n'), task_columns=["y"])
    assert data.rejected[0].row == 4


def test_gzip_byte_order_mark_and_windows_line_ends_are_read(write):
    data = load_csv(write(gzip.compress("\ufeffsmiles,y\r\nCCO,1.5\r\n".encode()), "mine.csv.gz"))
    assert (data.smiles, data.name) == (["CCO"], "mine")


@pytest.mark.parametrize(
    "text,message",
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("smiles,y\n", "no column of numbers"),
        ("smiles\nCCO\n", "no column of numbers besides 'smiles'"),
        ("smiles,y\nCCO,\nC,\n", "no column of numbers.*missing"),
        ("smiles,y\n((,1.5\n", r"no usable molecule \(1 rejected: line 2: '\(\(', RDKit cannot read it"),
        ("a,y\nCCO,1\n", r"no column with a usual name for SMILES.*its columns are a, y"),
        ("smiles,y\nCCO,1.5\nC,2\nCC,high\n", r"line 4, column 'y': 'high' is not a number"),
        ("smiles,y\nCCO,1.5\nC,inf\n", r"line 3, column 'y': 'inf' is not a finite"),
        (b"smiles,y\nCC\xff,1\n", "not a readable UTF-8 CSV file"),
        (b"\x1f\x8b\x08\x00garbage", "not a readable UTF-8 CSV file"),
        ("smiles,y,y\nCCO,1,2\n", "2 columns called 'y'"),
    ],
)
def test_a_bad_file_gives_one_clear_message(write, text, message):
    with pytest.raises(DataError, match=message):
        load_csv(write(text))


def test_missing_files_and_columns_are_named(write, tmp_path):
    with pytest.raises(DataError, match=r"no file .*absent.csv"):
        load_csv(tmp_path / "absent.csv")
    path = write("smiles,logS\nCCO,1.5\n")
    with pytest.raises(DataError, match="no column called 'logP'; its columns are smiles, logS"):
        load_csv(path, task_columns=["logP"])
    with pytest.raises(DataError, match="no column called 'structure'"):
        load_csv(path, smiles_column="structure")
    with pytest.raises(DataError, match=r"write \['logS'\]"):
        load_csv(path, task_columns="logS")


def test_labels_that_are_all_missing_are_refused_and_an_empty_task_is_warned_about(write):
    with pytest.raises(DataError, match=r"every label .* is missing"):
        load_csv(write("smiles,a\nC,\nCC,\n"), task_columns=["a"])
    with pytest.warns(DataWarning, match=r"1 tasks of .* have no label at all: b"):
        data = load_csv(write("smiles,a,b\nC,1.5,\nCC,2,\n"), task_columns=["a", "b"])
    assert not data.mask[:, 1].any()


def test_one_molecule_is_a_data_set(write):
    data = load_csv(write("smiles,y\nCCO,1.5\n"))
    assert (data.smiles, data.labels.tolist(), data.mask.tolist()) == (["CCO"], [[1.5]], [[True]])


@pytest.fixture
def folder(tmp_path):
    def make(**changes):
        parts = {
            "train": 'smiles,labels,masks\nCCO,"[0, -1]","[1, 0]"\nCCC,"[1.0, 1]","[1.0, 1.0]"\n',
            "valid": 'smiles,labels,masks\nCN,"(0, 1)","[true, false]"\n',
            "test": 'smiles,labels,masks\nCS,"[1, 0]","[1, 1]"\n',
            "meta": json.dumps({"task_type": "classification", "n_tasks": 2, "classes": [0, 1]}),
        } | changes
        for part, text in parts.items():
            path = tmp_path / ("meta.json" if part == "meta" else f"{part}.csv")
            path.unlink(missing_ok=True)
            if text is not None:
                path.write_text(text)
        return tmp_path

    return make


def test_a_folder_with_lists_is_read(folder):
    split = load_split_folder(folder())
    assert isinstance(split, Split)
    assert split.train.labels.tolist() == [[0, 0], [1, 1]]
    assert split.train.mask.tolist() == [[True, False], [True, True]]
    assert split.valid.mask.tolist() == [[True, False]]
    assert {part.task_type for part in split} == {"classification"}
    assert load_split_folder(folder(meta=None)).test.task_type == "classification"


@pytest.mark.parametrize(
    "changes,message",
    [
        ({"valid": None}, "lacks valid.csv"),
        ({"test": "smiles,labels,masks\n"}, "holds a header but no molecule"),
        ({"test": "smiles,values\nC,[1]\n"}, "no column called 'labels'"),
        ({"test": 'smiles,labels,masks\nC,[1],"[1, 1]"\n'}, "line 2: 1 labels and 2 masks where 2 tasks"),
        (
            {"test": 'smiles,labels,masks\nC,"[1, \'x\']","[1, 1]"\n'},
            "line 2, column 'labels': expected a list of numbers",
        ),
        ({"test": 'smiles,labels,masks\nC,"[2, 0]","[1, 1]"\n'}, "classification labels must be 0 or 1"),
        ({"meta": "{"}, "is not JSON"),
        ({"meta": "[]"}, "must hold a JSON object"),
    ],
)
def test_a_bad_folder_gives_one_clear_message(folder, changes, message):
    with pytest.raises(DataError, match=message):
        load_split_folder(folder(**changes))


def test_lists_are_data_and_never_executed(folder, tmp_path):
    harm = tmp_path / "harm"
    code = f"[__import__('pathlib').Path({str(harm)!r}).touch() or 1, 0]"
    with pytest.raises(DataError, match="expected a list of numbers"):
        load_split_folder(folder(test=f'smiles,labels,masks\nC,"{code}","[1, 1]"\n'))
    assert not harm.exists()


def test_a_molecule_in_two_parts_is_warned_about(folder):
    with pytest.warns(DataWarning, match=r"1 molecules are in both train and test .'CCO'"):
        load_split_folder(folder(test='smiles,labels,masks\nCCO,"[1, 0]","[1, 1]"\n'))
