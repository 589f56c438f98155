"""Tables that are wrong, or mean something else than they seem to: said so in one line, never taken in silence."""

import re
import warnings

import pytest

from jaxuq.molecules import DataError, DataWarning, load_csv
from jaxuq.molecules.rows import read_smiles

SMILES = ["CCO", "CCC", "CCN", "CCCl", "c1ccccc1", "CC(=O)O", "CCBr", "CCF", "CCS", "OCCO", "CC#N", "CCCC"]


def table(header, row, separator=","):
    lines = (separator.join((smiles, *row(i))) for i, smiles in enumerate(SMILES))
    return "\n".join([header, *lines]) + "\n"


def labels(i):
    return str(i + 0.5)


def test_zeros_and_ones_with_bounds_are_numbers(write):
    data = load_csv(write(table("smiles,y", lambda i: [("0", "1", ">1")[i % 3]])))
    assert data.task_type == "regression" and data.bounds[:3, 0].tolist() == [0, 0, 1]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('smiles,y,note\nCCO,1,x\nCCC,2,"a\nCCN,3,x\nC,4,x\n', 3),
        ('smiles,y,note\nCCO,1,x\nCCC,2,"a\r\nCCN,3,x', 3),
        ('smiles,y\n"CCO,1\nCCC,2\n', 2),
        ('"smiles,y\nCCO,1\n', 1),
        ('smiles,y,note\nCCO,1,x\nCCC,2,"a', 3),
    ],
)
def test_a_quotation_mark_without_its_end_takes_no_row_in_silence(write, text, line):
    with pytest.raises(DataError, match=f"line {line}: a quotation mark is not closed"):
        load_csv(write(text))


def test_quotation_marks_within_fields_and_lines_within_quotation_marks_stay(write):
    text = 'smiles,y,note\nCCO,1.5,"a\nb"\nCCC,2,5" pipe\nCCN,3,"he said ""x"""'
    assert load_csv(write(text)).labels[:, 0].tolist() == [1.5, 2.0, 3.0]


def test_several_lines_in_one_field_are_not_the_first_of_them(write):
    data = load_csv(write('smiles,y\n"CCO\nCCC",2\nCCN,3\nCCC,1\n'))
    assert data.smiles == ["CCN", "CCC"] and "several lines" in data.rejected[0].reason
    with pytest.raises(DataError, match="line 2: a quotation mark"):
        read_smiles(write('CCO\n"CCC\nCCN\n'))


@pytest.mark.parametrize(
    ("header", "row", "task", "said"),
    [
        ("smiles,y,weight", lambda i: [labels(i), str(1 + i / 7)], "y", "weight (weights)"),
        ("smiles,y,split", lambda i: [labels(i), str(i % 3)], "y", "split (groups of molecules)"),
        ("smiles,y,is_train", lambda i: [str(i // 2 % 2), str(i % 2)], "y", "is_train (parts of the data)"),
        ("smiles,y,y_std", lambda i: [labels(i), str(0.1 + i % 2)], "y", "y_std (what says how well"),
        ("smiles,T,y", lambda i: ["298.15", labels(i)], "y", "T (the same in all rows)"),
        ("smiles,IC50,y", lambda i: [f"{i} nM", labels(i)], "y", "IC50 (texts such as '0 nM')"),
    ],
)
def test_what_is_no_label_is_none_and_said(write, header, row, task, said):
    data = load_csv(write(table(header, row)))
    assert data.task_names == (task,) and said in data.taken


@pytest.mark.parametrize("name", ["weight", "y_std"])
def test_the_only_column_may_be_called_as_it_likes(write, name):
    assert load_csv(write(table(f"smiles,{name}", lambda i: [labels(i)]))).task_names == (name,)


@pytest.mark.parametrize(
    ("header", "row", "said"),
    [
        ("smiles,y", lambda i: ["-1" if i % 2 else "1"], "are -1 and 1, and are taken as numbers"),
        ("smiles,y", lambda i: [str(i % 3 - 1)], "whole numbers -1 to 1"),
        ("smiles,y", lambda i: ["-999" if i % 4 == 1 else labels(i)], "3 labels 'y' .* are -999, far from the others"),
        ("smiles,Standard Relation,y", lambda i: ["'>'" if i % 2 else "'='", labels(i)], "which labels are bounds"),
        ("smiles,y,units", lambda i: [labels(i), "nM" if i % 2 else "uM"], r"several units \(uM, nM\)"),
    ],
)
def test_what_may_mean_something_else_is_warned_about(write, header, row, said):
    with pytest.warns(DataWarning, match=said):
        load_csv(write(table(header, row)))


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("smiles,y", lambda i: [("99.5", "99", "98", "99")[i % 4]]),  # a code that is near the others is a number
        ("smiles,relation,y", lambda i: ["=", labels(i)]),
        ("smiles,y,unit", lambda i: [labels(i), "nM"]),
    ],
)
def test_what_means_nothing_else_is_not(write, header, row):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_csv(write(table(header, row)))


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        (
            table("smiles,y", lambda i: [labels(i)]),
            {"task_columns": ["y"], "weight_column": "y"},
            "holds the labels, and",
        ),
        (table("smiles,y", lambda i: [labels(i)]), {"part_column": "smiles"}, "holds the molecules, and cannot"),
        (table("smiles,y", lambda i: [labels(i)]), {"task_columns": []}, "names no column"),
        (table("smiles,y", lambda i: [f"{i}.5±0.2"]), {}, "'y' holds texts such as '0.5±0.2'"),
        (table("smiles,y", lambda i: [f"{i},5"]), {}, "12 rejected: line 2: 'CCO', 3 fields where the header has 2"),
        (table("smiles,y µ", lambda i: [labels(i)]).encode("latin-1"), {}, "save it as UTF-8, which Excel calls"),
        (table("smiles,y", lambda i: [labels(i)]).encode("utf-16-le"), {}, "NUL bytes; save it as UTF-8"),
    ],
)
def test_what_is_refused_names_its_cause(write, text, options, said):
    with pytest.raises(DataError, match=re.escape(said)):
        load_csv(write(text), **options)


def test_errors_of_a_spreadsheet_are_missing_labels(write):
    data = load_csv(write(table("smiles,y", lambda i: [("#DIV/0!", "#REF!", "3.5", labels(i))[i % 4]])))
    assert data.mask[:4, 0].tolist() == [False, False, True, True]


def test_a_folder_is_not_a_missing_file(tmp_path):
    with pytest.raises(DataError, match="is a folder; name a file"):
        load_csv(tmp_path)
