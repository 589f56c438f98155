"""The page: complete, well formed, self-contained, escaped, and there also when half the folder is not."""

import html.parser
import json
import re
import shutil

import numpy as np
import pytest

from jaxuq.reporting import ReportError, read_folder, read_predictions, write_report
from jaxuq.reporting.benchmark_page import parts, report_tables
from tests.reporting.folders import write_result_folder

_VOID = {"meta", "img", "br", "link", "input", "hr"}


class _Checker(html.parser.HTMLParser):
    """Collect the text, the tags and the addresses of a page; fail on a tag that is not closed in order."""

    def __init__(self):
        super().__init__()
        self.open, self.addresses, self.tags, self.words = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href", "srcset", "data", "action")]
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def _read(page):
    checker = _Checker()
    checker.feed(page.read_text())
    checker.close()
    assert checker.open == []
    return checker


@pytest.fixture
def copy(regression_folder, tmp_path):
    return shutil.copytree(regression_folder, tmp_path / "run", ignore=shutil.ignore_patterns("report.html", "figures"))


@pytest.mark.parametrize("kind", ["regression", "classification"])
def test_a_complete_folder_gives_a_complete_self_contained_page(kind, request):
    path = request.getfixturevalue(f"{kind}_folder")
    page = write_report(path)
    assert page == path / "report.html"
    checker = _read(page)
    assert all(address.startswith(("#", "data:image/")) for address in checker.addresses)
    assert not re.search(r"https?://|@import|url\(|fetch\(|XMLHttp", page.read_text())
    assert checker.tags.count("script") == 1 and "link" not in checker.tags
    assert "default-src 'none'" in page.read_text()
    text = " ".join(checker.words)
    assert "What is missing on this page" not in text
    for expected in (
        "ring 1 is not closed",
        "C1CC",
        "17",
        "1 min 21 s",
        "the seeds share one split",
        "0.10.2",
        "@article",
    ):
        assert expected in text
    folder = read_folder(path)
    ((_, title, rows, summary),) = parts(folder)
    assert title == f"{folder.configuration['dataset']}, scaffold split, dnn"
    for table in report_tables(folder, rows, summary):
        for _, cells in table.rows:
            assert all(cell.text in text and cell.interval in text for cell in cells)
    names = {"scores", "ranks", "cost", "risk-coverage"}
    names |= {"error-against-std", "calibration"} if kind == "regression" else {"reliability"}
    assert {file.stem for file in (path / "figures").iterdir()} == names
    assert checker.tags.count("img") == len(names)
    assert all((path / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG") for name in names)


def test_nothing_is_bold_on_the_page_of_a_folder_without_resamples_to_pair(copy):
    assert not list(copy.rglob("resamples.npz"))
    assert 'class="best"' not in write_report(copy).read_text()  # what is marked with them: test_tables.py


def test_names_from_the_folder_are_escaped(tmp_path):
    bad = "<script>alert(1)<"
    page = write_report(
        write_result_folder(
            tmp_path / "run", methods=("deterministic", bad), dataset="<script>x", split="$a$ _b", seeds=1
        )
    )
    assert page.read_text().count("<script") == 1  # the page's own
    checker = _read(page)
    text = " ".join(checker.words)
    assert bad in text and "<script>x" in text
    assert "could not be drawn" not in text


def test_a_running_folder_with_gaps_says_what_is_missing(copy):
    run = json.loads((copy / "run.json").read_text())
    run["status"] = "running"
    run["configuration"]["methods"] += ["swag"]
    del run["rejected"]
    (copy / "run.json").write_text(json.dumps(run))
    (copy / "summary.csv").unlink()
    (copy / "predictions" / "ensemble-seed0.npz").write_bytes(b"PK\x03\x04 not a zip file")
    (copy / "predictions" / "ensemble-seed1.npz").unlink()
    text = " ".join(_read(write_report(copy)).words)
    for expected in ("not complete", "summary.csv is not there", "swag", "ensemble-seed0.npz: unreadable"):
        assert expected in text
    assert "ensemble-seed1.npz: not there" in text and "does not say" in text
    assert (copy / "figures" / "calibration.png").exists()


def test_a_folder_with_run_json_alone_gives_a_page(tmp_path):
    (tmp_path / "run.json").write_text(json.dumps({"system": "muben", "status": "running"}))
    text = " ".join(_read(write_report(tmp_path)).words)
    assert "There are no scores yet" in text and "nothing to draw" in text


def test_a_figure_that_fails_costs_only_itself(copy, monkeypatch):
    def fail(*_, **__):
        raise ZeroDivisionError("no luck")

    (copy / "figures").mkdir()
    (copy / "figures" / "calibration.png").write_bytes(b"of an earlier call")
    monkeypatch.setattr("jaxuq.reporting.report_drawings.calibration_figure", fail)
    checker = _read(write_report(copy))
    assert "The figure “Calibration curves” could not be drawn (ZeroDivisionError: no luck)." in "".join(checker.words)
    assert checker.tags.count("img") == 5
    assert not (copy / "figures" / "calibration.png").exists()


def test_nothing_is_left_behind_and_a_failed_write_keeps_the_old_page(copy, monkeypatch):
    page = write_report(copy)
    before = page.read_bytes()

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_report(copy)
    assert page.read_bytes() == before
    assert not list(copy.rglob(".*"))


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "no run.json in it"), ("{", "unreadable"), ("[]", 'no "system"'), ('{"a": 1}', 'no "system"')],
)
def test_a_folder_that_is_no_result_folder_is_refused(tmp_path, content, message):
    if content is not None:
        (tmp_path / "run.json").write_text(content)
    with pytest.raises(ReportError, match=message) as error:
        write_report(tmp_path)
    assert str(tmp_path) in str(error.value) and "a result folder holds at least run.json" in str(error.value)


@pytest.mark.parametrize(
    "content", ["a,b\n1,2\n", "dataset,method,seed,rmse\nesol,swag,0,many\n", "dataset,method,seed\nx,y,\n"]
)
def test_a_damaged_table_is_named(copy, content):
    (copy / "results.csv").write_text(content)
    with pytest.raises(ReportError, match=r"results\.csv: "):
        write_report(copy)


def test_predictions_are_never_unpickled_nor_looked_for_outside(copy):
    np.savez(copy / "predictions" / "swag-seed0.npz", test_labels=np.zeros((1, 1)))
    folder = read_folder(copy)
    with pytest.raises(ReportError, match="no array"):
        read_predictions(folder, "swag", 0)
    keys = ("test_labels", "test_mask", "test_mean", "test_aleatoric", "test_epistemic")
    np.savez(copy / "predictions" / "swag-seed0.npz", **{key: np.array([[{}]], dtype=object) for key in keys})
    with pytest.raises(ReportError, match="unreadable"):
        read_predictions(folder, "swag", 0)
    with pytest.raises(ReportError, match="path"):
        read_predictions(folder, "../../ensemble", 0)


def test_arrays_of_different_shapes_are_refused(copy):
    file = copy / "predictions" / "ensemble-seed0.npz"
    arrays = dict(np.load(file))
    np.savez(file, **{**arrays, "test_mean": arrays["test_mean"][:-1]})
    with pytest.raises(ReportError, match="must share one shape"):
        read_predictions(read_folder(copy), "ensemble", 0)
