"""The files that chemists have: each is read as its owner means it, or refused in words that say what to do."""

import gzip
import importlib.util
import warnings

import numpy as np
import pytest
from rdkit import Chem

from jaxuq.molecules import DataError, DataWarning, load_csv, load_dataset, scaffold_split
from jaxuq.molecules.muben.configuration import split_names
from jaxuq.molecules.rows import read_in_batches, read_smiles

SMILES = ["C", "CC", "CCC", "CCCC", "CCO", "CCN", "CCCl", "CCBr", "CO", "CN", "CS", "CCS"]


def table(header, row, between=","):
    """A table with a row for each of twelve molecules."""
    lines = (between.join(row(i, smiles)) for i, smiles in enumerate(SMILES))
    return "\n".join([header, *lines]) + "\n"


def only(data):
    return data.task_names, data.labels[:, 0].tolist()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("smiles;logS\nCCO;-0,5\nC;1,25\n", {}),
        ("smiles\tlogS\nCCO\t-0.5\nC\t1.25\n", {}),
        ("smiles\tlogS\nCCO\t-0,5\nC\t1,25\n", {}),
        ('smiles,logS\nCCO,"-0,5"\nC,"1,25"\n', {}),
        ("sep=;\nsmiles;logS\nCCO;-0,5\nC;1,25\n", {}),
        ("smiles;logS, measured\nCCO;-0,5\nC;1,25\n", {}),
        ("name;SMILES;logS\n1,2-ethane, say;CCO;-0.5\nx;C;1.25\n", {}),
        ("smiles|logS\nCCO|-0.5\nC|1.25\n", {"separator": "|"}),
        ("structure code;logS\nCCO;-0.5\nC;1.25\n", {"smiles_column": "structure code"}),
        ("\u200bsmiles,logS\nC\u200bCO\ufeff,\u22120.5\nC,1.25\n", {}),
        ("smiles,logS\nCCO,-0.5\nC,1.25\n".encode("utf-16"), {}),
        (gzip.compress(b"smiles;logS\nCCO;-5e-1\nC;1,25\n", mtime=0), {}),
    ],
)
def test_separators_decimals_and_encodings_are_recognised(write, text, named):
    data = load_csv(write(text), **named)
    assert data.smiles == ["CCO", "C"] and data.labels[:, 0].tolist() == [-0.5, 1.25]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (("True", "FALSE", ""), [1, 0]),
        (("yes", "No", "n/a"), [1, 0]),
        (("Active", "inactive", " "), [1, 0]),
        (("positive", "neg", "nan"), [1, 0]),
        (("+", "-", ""), [1, 0]),
        (("1", "0.0", "?"), [1, 0]),
    ],
)
def test_two_classes_have_many_names(write, values, expected):
    data = load_csv(write(table("smiles,y", lambda i, s: [s, values[i % 3]])))
    assert data.task_type == "classification" and data.labels[:2, 0].tolist() == expected
    assert data.mask[:3, 0].tolist() == [True, True, False]


@pytest.mark.parametrize(
    ("header", "row", "task", "said"),
    [
        ("Compound_ID,smiles,y", lambda i, s: [str(i + 7), s, str(i % 2)], "y", "Compound_ID (an identifier)"),
        ("smiles,CompoundID,y", lambda i, s: [s, str(i * 3), str(i / 7)], "y", "CompoundID (an identifier)"),
        ("smiles,thing,y", lambda i, s: [s, str(i + 1), str(i / 7)], "y", "thing (an identifier)"),
        ("smiles,thing,y", lambda i, s: [s, str(34567 - 5 * i), str(i / 7)], "y", "thing (an identifier)"),
        (",smiles,y", lambda i, s: [str(i), s, str(i / 7)], "y", ""),
        ("smiles,MW,y", lambda i, s: [s, str(i * 1.5), str(i % 2)], "y", "MW (a property of the structure)"),
        ("smiles,Number of Rings,y", lambda i, s: [s, str(i), str(i / 7)], "y", "(a property of the structure)"),
        ("smiles,when,y", lambda i, s: [s, f"2021-03-{i + 1:02d}", str(i / 7)], "y", "when (dates)"),
        ("smiles,when,y", lambda i, s: [s, f"202103{i + 1:02d}", str(i / 7)], "y", "when (dates)"),
        ("smiles,year,y", lambda i, s: [s, str(2001 + i % 4), str(i / 7)], "y", "year (dates)"),
        ("smiles,sample,y", lambda i, s: [s, f"{i}_1", str(i / 7)], "y", ""),
        ("smiles,NR-AhR", lambda i, s: [s, str(i % 2)], "NR-AhR", ""),
        ("smiles,MW", lambda i, s: [s, str(i * 1.5)], "MW", ""),
    ],
)
def test_identifiers_dates_and_properties_are_no_labels(write, header, row, task, said):
    data = load_csv(write(table(header, row)))
    assert data.task_names == (task,)
    assert said in data.taken and f"of {task}" in data.taken


@pytest.mark.parametrize(
    ("header", "row", "options", "message"),
    [
        (
            "smiles,y,dose",
            lambda i, s: [s, str(i % 2), str(i / 7)],
            {},
            "'y' holds two classes, and 'dose' holds other numbers.*--targets y",
        ),
        (
            "smiles,y,dose",
            lambda i, s: [s, str(i % 2), str(i / 7)],
            {"task_columns": ["y", "dose"]},
            r"'y' holds 0 and 1 and 'dose' other numbers.*--targets.*--task-type regression",
        ),
        ("smiles,y", lambda i, s: [s, str(i + 1)], {}, "'y' looks like an identifier.*--targets"),
        ("smiles,y", lambda i, s: [s, "10_1"], {"task_columns": ["y"]}, "line 2, column 'y': '10_1' is not a number"),
        (
            "smiles,y",
            lambda i, s: [s, ">ten" if i == 3 else str(i / 3)],
            {},
            "line 5, column 'y': 'ten' is not a number",
        ),
        (
            "smiles,y,w",
            lambda i, s: [s, str(i / 3), ">2" if i == 3 else "1"],
            {"weight_column": "w"},
            "line 5, column 'w': '>2' is a bound, not a weight",
        ),
        (
            "smiles,y",
            lambda i, s: [s, ">1" if i == 3 else str(i % 2)],
            {"task_type": "classification"},
            "of molecule .* only a bound is known for 'y'",
        ),
        ("smiles,y", lambda i, s: [s, "~3" if i == 3 else str(i / 3)], {}, "line 5.*'~3' is not a number; write it"),
        ("smiles,y", lambda i, s: [s, "1.5 nM" if i == 0 else "2"], {}, "line 2.*'1.5 nM' is not a number"),
        ("smiles,y", lambda i, s: [s, ["yes", "no", "maybe"][i % 3]], {}, "line 4.*'maybe' in a column of yes and no"),
        ("smiles,y", lambda i, s: [s, ["true", "1"][i > 9]], {}, "line 12.*'1' in a column of True and False"),
        ("smiles;y", lambda i, s: [s, f"{i + 1},234"], {}, "'1,234' may be a decimal comma or one between thousands"),
        (
            "smiles;a;b",
            lambda i, s: [s, f"{i},5", f"{i}.5"],
            {"task_columns": ["a", "b"]},
            "point in column 'b'.*comma",
        ),
        ("smiles;y", lambda i, s: [s, ["0,5", "1.25"][i % 2]], {"decimal": ","}, "'1.25' has a point where"),
        ("a;b,c;d", lambda i, s: [s, "1", "2"], {"separator": "x"}, "the separator is 'x'; expected"),
        ("a_smiles,b_smiles,y", lambda i, s: [s, s, "1.5"], {}, "several columns of SMILES, a_smiles, b_smiles"),
        ("smiles,y,w", lambda i, s: [s, str(i / 3), str(1 - i)], {"weight_column": "w"}, "at least 0, not -1"),
        (
            "smiles,y,p",
            lambda i, s: [s, str(i / 3), "tset"],
            {"part_column": "p"},
            "line 2.*'tset' is no part; expected",
        ),
        ("smiles,y,y", lambda i, s: [s, str(i / 3), "1"], {}, "2 columns called 'y'"),
    ],
)
def test_what_is_not_clear_is_asked_back(write, header, row, options, message):
    between = ";" if ";" in header else ","
    options = {"task_columns": ["y"]} | options if "weight_column" in options or "part_column" in options else options
    with pytest.raises(DataError, match=message):
        load_csv(write(table(header, row, between)), **options)


def test_ambiguous_separators_are_asked_back_and_named_ones_are_taken(write):
    path = write("code,x;y\nCCO,a;1.5\nC,b;2\n")
    with pytest.raises(DataError, match=r"may be parted by ',' and ';'; say which with --separator"):
        load_csv(path, task_columns=["y"])
    assert load_csv(path, "code,x", ["y"], separator=";", drop_unparsable=False).smiles == ["CCO,a", "C,b"]


def test_names_of_columns_and_paths_may_hold_commas(write, tmp_path):
    path = write('smiles,"Benign, malignant",x\nCCO,1,0.5\nC,0,0.7\n', "a, b.csv")
    for named in (["Benign, malignant"], ["Benign,malignant"]):
        assert load_csv(path, task_columns=named).task_names == ("Benign, malignant",)
    assert (
        load_csv(path, task_columns=["x,Benign, malignant"], task_type="regression").task_names[1]
        == "Benign, malignant"
    )
    with pytest.raises(DataError, match="no column called 'z'"):
        load_csv(path, task_columns=["x,z"])
    assert split_names(f"esol,{path}, bace") == ["esol", str(path), "bace"]


def test_labels_of_any_size_keep_their_decimals(write):
    data = load_csv(write("smiles,y\nCCO,10000000.25\nC,10000000.5\nCC,1e-30\nCCC,1e30\n"))
    assert data.labels[:, 0].tolist() == [10000000.25, 10000000.5, 1e-30, 1e30]


def test_bounds_are_labels_of_which_less_is_known(write):
    texts = [">10", "≥ 10", "=>10", "< 0.5", "<=-1e-3", "≤2", "7", "", "<<1", ">>3"]
    path = write(table("smiles,y,z", lambda i, s: [s, texts[i % 10], str(i / 3)]))
    data = load_csv(path)
    assert data.task_type == "regression"
    np.testing.assert_array_equal(data.labels[:10, 0], [10, 10, 10, 0.5, -1e-3, 2, 7, 0, 1, 3])
    np.testing.assert_array_equal(data.bounds[:10], [[b, 0] for b in (1, 1, 1, -1, -1, -1, 0, 0, -1, 1)])
    np.testing.assert_array_equal(data.exact().mask[:10, 0], [text == "7" for text in texts])
    assert data.take([3, 6]).bounds.tolist() == [[-1, 0], [0, 0]] and data.exact().bounds is None
    assert "labels are bounds, which are learnt from and not scored" in data.taken
    with pytest.raises(DataError, match=r"are bounds such as '>10', which a benchmark cannot score.*molecules fit"):
        load_dataset(path)
    repeats = write("smiles,y\nCCO,>3\nOCC,5\nC,1\n")
    with pytest.warns(DataWarning, match="more than once") as said:
        load_csv(repeats)
    assert "differ" not in str(said[0].message)  # 5 is above 3


def test_parts_and_weights_have_columns(write):
    parts = ["Train", "training", "val", "valid", "dev", "TEST", "holdout", "tr"]
    path = write(table("smiles;y;split;w", lambda i, s: [s, f"{i},5", parts[i % 8], ["2", "", "0,5"][i % 3]], ";"))
    with pytest.warns(DataWarning, match="'split' .* is not used: say --part-column split"):
        load_csv(path, weight_column="w")
    data = load_csv(path, part_column="split", weight_column="w")
    assert data.parts[:8] == ("train", "train", "valid", "valid", "valid", "test", "test", "train")
    assert data.weights[:3].tolist() == [2, 1, 0.5] and data.task_names == ("y",)
    assert data.take([2]).weights.tolist() == [0.5] and data.take([2]).parts == ("valid",)
    split = load_dataset(path, part_column="split", weight_column="w")
    assert [part.smiles for part in split] == [
        [s for i, s in enumerate(SMILES) if parts[i % 8] in spelled]
        for spelled in (("Train", "training", "tr"), ("val", "valid", "dev"), ("TEST", "holdout"))
    ]
    with pytest.raises(DataError, match="has a calibration part, which is for jaxuq molecules fit"):
        load_dataset(write(table("smiles,y,p", lambda i, s: [s, str(i / 3), "cal"])), part_column="p")


def test_the_same_molecule_is_known_under_whatever_smiles(write):
    text = "smiles,y\nCCO,1.5\nc1ccccc1,2\nOCC,1.7\nC1=CC=CC=C1,2\n"
    with pytest.warns(
        DataWarning, match=r"2 molecules .* more than once \('CCO' and 'OCC'.*1 of them .* differ .*1\.5.*1\.7"
    ):
        load_csv(write(text))
    parts = dict(zip(("CCO", "CC", "CCC", "OCC", "CCCC"), ("train", "train", "valid", "test", "test")))
    text = "smiles,y,p\n" + "".join(f"{smiles},1.5,{part}\n" for smiles, part in parts.items())
    with pytest.warns(DataWarning) as caught:
        load_dataset(write(text), part_column="p")
    assert any("1 molecules are in both train and test ('CCO' and 'OCC' for one)" in str(one.message) for one in caught)


def test_other_columns_of_molecules_and_whole_numbers_of_classes_are_named(write):
    with pytest.warns(DataWarning, match="'solvent' .* holds molecules too, and is not used"):
        load_csv(write(table("smiles,solvent,y", lambda i, s: [s, "CCO", str(i / 3)])))
    with pytest.warns(DataWarning, match="whole numbers 0 to 2, and are taken as numbers; if they are classes"):
        load_csv(write(table("smiles,y", lambda i, s: [s, str(i % 3)])))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_csv(write(table("smiles,y", lambda i, s: [s, str(i % 3)])), task_type="regression")


def test_sdf_is_a_table_of_its_properties(write, tmp_path):
    blocks = []
    for i, smiles in enumerate(SMILES[:4]):
        molecule = Chem.MolFromSmiles(smiles)
        molecule.SetProp("_Name", f"molecule {i}")
        block = Chem.MolToMolBlock(molecule)
        blocks.append(f"{block}> <logS>\n{i / 4}\n\n> <compound_id>\n{i}\n\n$$$$\n")
    blocks.insert(2, "broken\n\n\nnot a count line\nM  END\n$$$$\n")
    for name, content in (
        ("mine.sdf", "".join(blocks).encode()),
        ("mine.sdf.gz", gzip.compress("".join(blocks).encode(), mtime=0)),
    ):
        data = load_csv(write(content, name))
        assert (data.smiles, data.task_names, data.name) == (SMILES[:4], ("logS",), "mine")
        assert data.labels[:, 0].tolist() == [0, 0.25, 0.5, 0.75]
        assert [(one.row, one.reason) for one in data.rejected] == [(3, "no SMILES")]
    with pytest.raises(DataError, match="is empty, or not an SDF file"):
        load_csv(write("", "empty.sdf"))


def frame():
    import pandas

    columns = {"SMILES": SMILES[:4], "id": [7, 8, 9, 10], "y": [0.1, np.nan, 2, 1e7], "ok": [True, None, False, True]}
    return pandas.DataFrame(columns | {"day": pandas.to_datetime("2021-03-04")})


def save(frame, path, kind):
    """As a file of that kind, as pandas writes it."""
    pytest.importorskip({"parquet": "pyarrow", "xlsx": "openpyxl"}[kind])
    frame.to_parquet(path) if kind == "parquet" else frame.to_excel(path, index=False)
    return path


@pytest.mark.parametrize("kind", ["parquet", "xlsx"])
def test_excel_and_parquet_are_read_as_the_same_table_in_csv_is(tmp_path, kind):
    import pandas

    path = save(frame(), tmp_path / f"mine.{kind}", kind)
    frame().to_csv(tmp_path / "mine.csv", index=False)
    for named in (["y"], ["ok"]):
        mine, text = (load_csv(one, task_columns=named) for one in (path, tmp_path / "mine.csv"))
        np.testing.assert_array_equal(mine.labels, text.labels)
        np.testing.assert_array_equal(mine.mask, text.mask)
        assert (mine.smiles, mine.task_names, mine.name) == (text.smiles, text.task_names, text.name)
    assert "id (an identifier), day (dates)" in load_csv(save(frame().drop(columns="ok"), path, kind)).taken
    with pytest.raises(DataError, match="'ok' holds two classes, and 'y' holds other numbers"):
        load_csv(save(frame(), path, kind))
    asked = read_in_batches(path)
    assert [smiles for smiles, _ in asked.batches] == [SMILES[:4]]
    nullable = pandas.DataFrame({"SMILES": SMILES[:4], "y": pandas.array([1, None, 0, 1], dtype="Int8")})
    assert load_csv(save(nullable, path, kind)).mask[:, 0].tolist() == [True, False, True, True]
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DataError, match=f"mine.{kind} is not a readable"):
        load_csv(path)


def test_an_index_of_parquet_is_a_column(tmp_path):
    data = load_csv(save(frame().set_index("SMILES")[["y"]], tmp_path / "mine.parquet", "parquet"))
    assert data.smiles == SMILES[:4] and data.labels[:, 0].tolist() == [0.1, 0, 2, 1e7]


def test_the_sheet_with_molecules_is_taken_and_named(tmp_path):
    openpyxl, path = pytest.importorskip("openpyxl"), tmp_path / "mine.xlsx"
    rows = [["SMILES", "logS"], *([smiles, f"{i},5" if i else ">1,5"] for i, smiles in enumerate(SMILES))]

    def book(**sheets):
        made = openpyxl.Workbook()
        made.remove(made.active)
        for name, lines in sheets.items():
            sheet = made.create_sheet(name)
            for line in lines:
                sheet.append(line)
        made.save(path)
        return path

    data = load_csv(book(data=[[], *rows[:3], [], *rows[3:], [None, 2.5]], blank=[]))  # blank lines are none
    assert data.labels[:, 0].tolist() == [1.5, *(i + 0.5 for i in range(1, 12))] and data.bounds[0, 0] == 1
    assert [(one.row, one.reason) for one in data.rejected] == [(16, "no SMILES")]
    with pytest.warns(DataWarning, match="the sheet 'data' is read, and not 'notes'"):
        assert load_csv(book(notes=[["measured in May"]], data=rows)).smiles == SMILES
    with pytest.raises(DataError, match="the sheets 'May', 'June', and 2 of them have a column with SMILES: save the"):
        load_csv(book(May=rows, June=rows))
    with pytest.raises(DataError, match="none of them has a column structure"):
        load_csv(book(May=rows, June=rows), "structure")
    with pytest.raises(DataError, match="has 2 columns called 'y'"):
        load_csv(book(data=[["SMILES", "y", "y"], ["C", 1.5, 2.5]]))
    with pytest.raises(DataError, match="is empty; a header line"):
        load_csv(book(data=[]))


@pytest.mark.parametrize(
    ("name", "content", "package"), [("a.parquet", b"PAR1", "pyarrow"), ("a.xlsx", b"PK\x03\x04", "openpyxl")]
)
def test_what_needs_a_package_says_which(write, name, content, package):
    missing = importlib.util.find_spec(package) is None
    with pytest.raises(
        DataError, match=r"pip install 'jaxuq\[tables\]', or save the table as CSV" if missing else "not a readable"
    ):
        load_csv(write(content, name))
    with pytest.raises(DataError, match="an archive or an old Excel file; give it as CSV"):
        load_csv(write(b"PK\x03\x04", "a.csv"))


def test_rows_are_read_in_batches_with_what_stands_beside(write):
    rows = read_in_batches(write("id;smiles;note\n1;CCO;a, b\n2;\n3; C\u200bC ;x\n"), size=2)
    assert (rows.columns, rows.count) == (["id", "note"], 3)
    assert list(rows.batches) == [(["CCO", ""], [["1", "a, b"], ["2", ""]]), (["CC"], [["3", "x"]])]
    named = read_in_batches(write("CCO\tethanol\nCCC\tpropane\n", "list.smi"))
    assert list(named.batches) == [(["CCO", "CCC"], [["ethanol"], ["propane"]])] and named.count == 2
    assert read_smiles(write("CCO\nCCC\n", "list.txt")) == ["CCO", "CCC"]


@pytest.mark.parametrize(
    "smiles", ["C1CBr1", "[H]1[BH2][H][BH2]1", "CC1=CC(C)=O[B](F)(F)O1", "C1C[Br+]1", "CC1=CC(C)=[O+][B-](F)(F)O1"]
)
def test_rings_that_are_read_only_leniently_have_a_scaffold(smiles):
    ordinary = [f"c1ccccc1{'C' * k}" for k in range(20)] + ["C" * k for k in range(1, 4)] + ["n1ccccc1"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        rows = scaffold_split([*ordinary, smiles, f"{smiles}"], order="row")
    homes = [name for name, part in zip(rows._fields, rows) for row in part if row >= len(ordinary)]
    assert len(homes) == 2 and len(set(homes)) == 1  # both copies, together
