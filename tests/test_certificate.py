"""The certificate: every printed number has a line, and a line says what is true of it."""

import importlib
import json
import pathlib
import re
import shutil
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent
FOLDER = ROOT / "experiments" / "certificate"


@pytest.fixture(scope="module")
def certificate():
    """The scripts of the folder, imported as they import each other."""
    sys.path.insert(0, str(FOLDER))
    try:
        yield importlib.import_module("certificate")
    finally:
        sys.path.remove(str(FOLDER))
        for name in ("certificate", "claims", "lines", "printed"):
            sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def record():
    """What is kept in the repository."""
    return json.loads((FOLDER / "certificate.json").read_text(encoding="utf-8"))


def test_every_section_that_prints_numbers_has_a_claim_and_every_number_its_line(certificate, record):
    claims = certificate.read_claims()
    blocks = certificate.claimed_blocks(claims)
    assert [*record] == [claim.name for claim in claims]
    for claim in claims:
        kept = [tuple(line[:4]) for line in record[claim.name]["lines"]]
        now = [tuple(line[:4]) for line in certificate.certify(claim, blocks[claim.name], None)]
        assert kept == now, f"{claim.page} and certificate.json differ: make certificate"


def test_nothing_that_was_made_again_differs_without_being_said(record):
    wrong = [
        (name, *line) for name, one in record.items() for line in one["lines"] if line[-1] in ("differs", "not made")
    ]
    assert not wrong


def test_rows_of_the_readme_are_those_of_the_certificate(record):
    lines = [line for line in record["demo"]["lines"] if line[1] == "Deep ensemble"]
    assert lines and all(printed == made for *_, printed, made, state in lines)


def test_tables_of_the_dissertation_name_claims_that_there_are(certificate, record):
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    for line in certificate.published_tables(record):
        assert line in page


def _copy(tmp_path, page="experiments/calibration/shift.md"):
    for name in ("README.md", "docs/pages", "experiments"):
        target = tmp_path / name
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, target, ignore=lambda _, names: [n for n in names if not _is_page(n)])
        else:
            shutil.copy(ROOT / name, target)
    return tmp_path / page


def _is_page(name):
    return "." not in name or name.endswith(".md")


def test_a_number_under_a_new_heading_is_missed(certificate, tmp_path):
    page = _copy(tmp_path, "experiments/metrics/README.md")
    certificate.claimed_blocks(certificate.read_claims(), tmp_path)
    page.write_text(page.read_text() + "\n## New\n\nIt is 0.5 better.\n")
    with pytest.raises(ValueError, match=r"experiments/metrics/README.md, 'New'"):
        certificate.claimed_blocks(certificate.read_claims(), tmp_path)


def test_a_claim_of_a_heading_that_is_gone_is_named(certificate, tmp_path):
    page = _copy(tmp_path, "experiments/metrics/README.md")
    page.write_text(page.read_text().replace("# Bootstrap intervals", "# Intervals"))
    with pytest.raises(ValueError, match=r"README.md, 'Intervals'"):
        certificate.claimed_blocks(certificate.read_claims(), tmp_path)


PAGE = """# Scores

Of 8 the best is 0.50, after 3 s.

| set | method | score | s |
|---|---|---|---|
| esol | swag | 0.50 ± 0.02 | 1.5 |
| esol | bbp | 0.61 ± 0.02 | 2.5 |
| lipo | bbp | -1,234.5 | 2.5 |
"""


def _lines(certificate, made, **more):
    claim = certificate.Claim("c", "p.md", ("*",), steps=("true",), timings=("s",), **more)
    made = None if made is None else certificate.made_blocks(made)
    lines = certificate.certify(claim, certificate.read_blocks(PAGE), made)
    return {(line.row, line.printed): line.state for line in lines}


def test_what_is_not_made_again_is_said_to_be_so(certificate):
    states = _lines(certificate, None)
    assert states["esol · swag", "0.50"] == states["lipo · bbp", "-1,234.5"] == "not rebuilt"
    assert states["esol · swag", "1.5"] == states["Of 8 the best is 0.50,", "3"] == "time"
    assert states["Of 8 the best is 0.50,", "0.50"] == "read off"
    assert states["Of 8 the best is 0.50,", "8"] == "said"


def test_what_was_made_in_another_folder_stays_while_page_command_and_data_are_the_same(certificate):
    claim = certificate.Claim("c", "p.md", ("*",), steps=("true",))
    made = {"text": PAGE, "date": "2026-12-01", "code": "abc", "seconds": 1.0}
    before = certificate.record_of(claim, certificate.read_blocks(PAGE), made)
    assert certificate.record_of(claim, certificate.read_blocks(PAGE), None, before) == before
    changed = certificate.record_of(claim, certificate.read_blocks(PAGE.replace("0.61", "0.62")), None, before)
    states = {line[3]: line[5] for line in changed["lines"]}
    assert (states["0.62"], states["-1,234.5"], changed["date"]) == ("not rebuilt", "exact", "2026-12-01")
    other = certificate.record_of(claim._replace(steps=("false",)), certificate.read_blocks(PAGE), None, before)
    assert "date" not in other and "exact" not in other["states"]


def test_equal_numbers_are_found_in_another_order_and_with_more_digits(certificate):
    table = PAGE.splitlines()[4:]
    made = "\n".join([*table[:2], table[4].replace("-1,234.5", "-1234.52"), table[3], table[2]])
    states = _lines(certificate, made)
    tables = {state for (row, _), state in states.items() if "·" in row}
    assert tables == {"exact", "time"}


@pytest.mark.parametrize(
    "tolerance, state",
    [({}, "differs"), ({"absolute": 0.01}, "differs"), ({"absolute": 0.03}, "within"), ({"relative": 0.1}, "within"),
     ({"deviations": 1.0}, "differs"), ({"deviations": 2.0}, "within")],
)  # fmt: skip
def test_another_number_differs_unless_the_claim_allows_it(certificate, tolerance, state):
    made = PAGE.replace("| 0.50 ± 0.02", "| 0.53 ± 0.02")
    assert _lines(certificate, made, tolerance=tolerance)["esol · swag", "0.50"] == state


def test_a_row_that_is_not_made_is_red(certificate):
    made = "\n".join(line for line in PAGE.splitlines() if "swag" not in line)
    assert _lines(certificate, made)["esol · swag", "0.50"] == "not made"


def test_published_numbers_are_told_apart_from_ours(certificate):
    claim = certificate.Claim("c", "p.md", ("*",), steps=("true",), published=(("ours", "published"), ("bracket", "")))
    page = (
        "| m | ours | published | both |\n|---|---|---|---|\n| a | 0.50 ± 0.02 | 0.55 | 0.4 (0.4) |\n"
        "| b | 0.5 ± 0.01 | 0.55 | 0.4 (0.5) |\n"
    )
    pairs = certificate.compare_published(claim, certificate.read_blocks(page))
    found = [(pair.column, pair.ours, pair.published, pair.state) for pair in pairs if pair.column != "ours"]
    assert found == [
        ("published", "0.50 ± 0.02", "0.55", "near"), ("both", "0.4", "0.4", "equal"),
        ("published", "0.5 ± 0.01", "0.55", "other"), ("both", "0.4", "0.5", "other"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "text, said",
    [
        ("", "either steps or one of"),
        ('steps = ["true"]\nrace = "x"', "either steps or one of"),
        ('steps = ["true"]\npart = "weeks"', "seconds, minutes"),
        ('steps = ["true"]\ntolerance = { absolute = 1.0 }', "reason"),
        ('step = ["true"]', "no key step"),
    ],
)
def test_a_claim_that_makes_no_sense_is_refused_by_name(certificate, tmp_path, text, said):
    (tmp_path / "claims.toml").write_text(f'[[claim]]\nname = "a"\npage = "README.md"\nsections = ["*"]\n{text}\n')
    with pytest.raises(ValueError, match=f"claim a: .*{said}"):
        certificate.read_claims(tmp_path / "claims.toml")


def test_a_command_that_fails_costs_itself(certificate, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(certificate, "_version", lambda: "v1")
    good = certificate.Claim("good", "p.md", ("*",), steps=("python -c 'print(1)'",))
    bad = certificate.Claim("bad", "p.md", ("*",), steps=("python -c 'raise SystemExit(\"no data\")'",))
    found = certificate.make([bad, good], [bad, good], tmp_path)
    assert [*found] == ["good"] and found["good"]["text"] == "1\n" and "no data" in capsys.readouterr().err
    monkeypatch.setattr(certificate, "run_steps", None)  # what is kept is not made again
    assert certificate.make([good], [good], tmp_path)["good"]["code"] == "v1"


def test_data_that_are_not_there_are_named(certificate, tmp_path, monkeypatch):
    monkeypatch.setenv("JAXUQ_DATA", str(tmp_path))
    claim = certificate.Claim("c", "p.md", ("*",), steps=("true",), data=("gno",))
    with pytest.raises(SystemExit, match=r"claim c reads gno, .*JAXUQ_DATA"):
        certificate.make([claim], [claim], tmp_path / "run")


_WORDS = {word: number for number, word in enumerate(
    ["", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen",
     "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty"],
)}  # fmt: skip


def test_counts_in_the_readme_are_those_of_now():
    from jaxuq.confidence.measures import MEASURES
    from jaxuq.molecules import load_molecules
    from jaxuq.molecules.muben.backbones import BACKBONES
    from jaxuq.molecules.muben.methods import METHODS
    from jaxuq.questions import load_questions

    readme = (ROOT / "README.md").read_text(encoding="utf-8")

    def said(pattern):
        return [
            word for found in re.findall(pattern, readme) for word in ([found] if isinstance(found, str) else found)
        ]

    assert said(r"the ([\d,]+) molecules of ESOL") == [f"{len(load_molecules('esol').smiles):,}"]
    assert [_WORDS[word] for word in said(r"(\w+) backbones, (\w+) methods")] == [len(BACKBONES), len(METHODS)]
    assert [int(word) for word in said(r"\[(\d+) questions of fact\]")] == [len(load_questions("facts").questions)]
    assert 58 <= len(MEASURES) - 1 <= 64 and said(r"some (sixty) others")
    assert [_WORDS[word.lower()] for word in said(r"(\w+) \[notebooks\]")] == [len([*ROOT.glob("notebooks/*.ipynb")])]
