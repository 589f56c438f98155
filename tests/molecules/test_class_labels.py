"""Columns of classes and of further molecules: what is recognised, what is asked back, what is said."""

import warnings

import pytest

from jaxuq.molecules import DataError, DataWarning, load_csv, load_dataset
from jaxuq.molecules.rows import clean_rows, read_in_batches, read_smiles

SMILES = ["CCO", "CC", "CCC", "CCCC", "C", "CN", "CNC", "CCN", "O", "N"]
GRADES, NUMBERS, SOLVENTS = ["low", "High", "", "low", "high"], ["1.5", "2.5", "-3.1"], ["O", "CCO"]


@pytest.fixture
def table(tmp_path):
    def write(**columns):
        path = tmp_path / "mine.csv"
        rows = [[text, *(one[row % len(one)] for one in columns.values())] for row, text in enumerate(SMILES)]
        path.write_text("\n".join(",".join(row) for row in [["smiles", *columns], *rows]) + "\n")
        return path

    return write


def _read(path, *arguments, **options):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", DataWarning)
        data = load_csv(path, *arguments, workers=1, **options)
    return data, [str(one.message) for one in caught]


def test_classes_by_name_are_recognised_and_said(table):
    data, notes = _read(table(grade=GRADES))
    assert (data.task_type, data.metric, data.classes) == ("multiclass", "cross-entropy", (("High", "low"),))
    assert data.labels[:5, 0].tolist() == [1, 0, 0, 1, 0]
    assert data.mask[:5, 0].tolist() == [True, True, False, True, True]
    assert "multi-class classification of grade (2 classes: High, low)" in data.taken and not notes
    both, _ = _read(table(grade=GRADES, active=["1", "0"]), task_columns=["grade", "active"])
    assert both.classes == (("High", "low"), ("0", "1")) and both.labels[:2, 1].tolist() == [1, 0]
    kept, _ = _read(table(grade=GRADES, y=NUMBERS))
    assert kept.task_names == ("y",) and "not labels: grade (classes by name)" in kept.taken


def test_whole_numbers_are_classes_only_by_a_word(table):
    _, notes = _read(table(kind=["0", "1", "2"]))
    assert "if they are classes, say --task-type multiclass" in notes[0]
    path = table(kind=["0", "1", "2.0", ""], y=NUMBERS)
    assert _read(path, task_columns=["kind"])[0].task_type == "regression"
    data, notes = _read(path, task_type="multiclass")
    assert data.classes == (("0", "1", "2"),) and data.labels[:4, 0].tolist() == [0, 1, 2, 0]
    assert not data.mask[3, 0] and "not labels: y (other numbers)" in data.taken and not notes
    assert _read(table(kind=["10", "-1", "2"]), task_type="multiclass")[0].classes == (("-1", "2", "10"),)


@pytest.mark.parametrize(
    ("columns", "options", "said"),
    [
        ({"grade": GRADES, "y": NUMBERS}, {"task_columns": ["grade", "y"]}, "'grade' holds classes by name, and 'y'"),
        ({"y": ["0", "1", "2.5"]}, {"task_type": "multiclass", "task_columns": ["y"]}, "line 4.*'2.5' is no class"),
        ({"y": ["a"]}, {"task_type": "multiclass", "task_columns": ["y"]}, "column 'y': it has only the class 'a'"),
        ({"y": SMILES}, {"task_type": "multiclass", "task_columns": ["y"]}, "10 different texts in 10 records"),
        ({"y": SMILES}, {"task_columns": ["y"]}, "'CCO' is not a number.*say --task-type multiclass"),
        ({"y": ["10 nM", "5 nM"]}, {"task_columns": ["y"]}, "'10 nM' is not a number; leave a missing label blank$"),
        ({"y": ["0", "1", "2"]}, {"task_type": "classification"}, "task_type='multiclass'"),
        ({"grade": GRADES}, {"task_type": "regression"}, "'grade' looks like classes by name"),
        ({"split": ["train", "test"]}, {}, "has no column of numbers"),
        ({"batch": ["a", "b"]}, {}, "'batch' looks like groups of molecules"),
        ({"solvent": SOLVENTS}, {}, "'solvent' looks like molecules"),
        (
            {"solvent": SOLVENTS},
            {"smiles_column": "smiles,solvent", "task_columns": ["solvent"]},
            "holds the molecules",
        ),
    ],
)
def test_what_is_asked_back(table, columns, options, said):
    with pytest.raises(DataError, match=said):
        _read(table(**columns), **options)


def test_a_class_that_reads_as_missing_is_said(table):
    data, notes = _read(table(harm=["none", "mild", "severe"]))
    assert data.classes == (("mild", "severe"),)
    assert "'none' in column 'harm'" in notes[0] and "give it another name" in notes[0]


@pytest.mark.parametrize("targets", [None, ["y"]])
def test_a_second_molecule_is_said_whether_labels_are_named_or_not(table, targets):
    data, notes = _read(table(solvent=SOLVENTS, y=NUMBERS, split=["train", "test"]), task_columns=targets)
    assert data.beside == () and data.rows == SMILES
    assert any("say --smiles-columns smiles,solvent" in note for note in notes)
    assert any("say --part-column split" in note for note in notes)


def test_several_molecules_a_row(table):
    path = table(solvent=["O", "", "CCO", "bad("], y=NUMBERS)
    for columns in (["smiles", "solvent"], "smiles,solvent"):
        data, notes = _read(path, columns)
        assert data.rows[:2] == [("CCO", "O"), ("CCC", "CCO")] and data.task_names == ("y",) and not notes
        assert data.molecule_columns == ("smiles", "solvent") and data.labels[:2, 0].tolist() == [1.5, -3.1]
    reasons = [(one.row, one.text, one.reason) for one in data.rejected]
    assert reasons[:2] == [(3, "CC | ", "no SMILES in solvent"), (5, "CCCC | bad(", "RDKit cannot read solvent")]
    with pytest.raises(DataError, match="the benchmark reads one molecule a row, and smiles, solvent are named"):
        load_dataset(path, smiles_column="smiles,solvent")
    path.write_text(path.read_text().replace("smiles,solvent", "solute smiles,solvent smiles"))
    with pytest.raises(DataError, match='where a row is several molecules, --smiles-columns "solute smiles,solv'):
        _read(path)
    path.write_text(path.read_text().replace(",", ";").replace("solute smiles", "solute, pure"))
    data, _ = _read(path, "solute, pure,solvent smiles")
    assert data.molecule_columns == ("solute, pure", "solvent smiles") and "parted by ;" in data.taken


def test_rows_that_are_asked_about(table):
    path = table(solvent=SOLVENTS, id=["7"])
    pair = ("smiles", "solvent")
    rows = read_in_batches(path, molecules=pair, size=4)
    batches = list(rows.batches)
    assert rows.columns == ["id"] and [len(found) for found, _ in batches] == [4, 4, 2]
    assert batches[0][0][:2] == [("CCO", "O"), ("CC", "CCO")] and batches[0][1][0] == ["7"]
    assert read_smiles(path, ["solvent", "smiles"], molecules=pair)[0] == ("O", "CCO")
    assert read_smiles(path)[0] == "CCO"
    with pytest.raises(DataError, match=r"reads 2 molecules a row \(smiles, solvent\), and 1 column is named: smiles"):
        read_in_batches(path, "smiles", molecules=pair)
    with pytest.raises(DataError, match=r"has no column 'additive'.*--smiles-columns"):
        read_in_batches(path, molecules=(*pair, "additive"))
    with pytest.raises(DataError, match="row 1 has 3 molecules"):
        clean_rows([("C", "O"), ("C", "O", "N")], pair)
    with pytest.raises(DataError, match="not one string"):
        clean_rows("CCO")
