"""For every command: results of changed data are those of a fresh folder, and what did not change is not done again."""

import json
import pathlib
import shutil
import warnings

import pytest

from tests.study.studies import STUDIES, numbers

pytestmark = pytest.mark.filterwarnings("ignore::jaxuq.study.StudyWarning")
_CASES = [
    pytest.param(name, change, id=f"{name}: {change}", marks=[] if change in study.quick else [pytest.mark.long])
    for name, study in STUDIES.items()
    for change in study.changes
]


def _copied(first: pathlib.Path, target: pathlib.Path) -> pathlib.Path:
    """Data are found at the same place in the copy: results belong to content, not to places."""
    shutil.copytree(first, target)
    return target


@pytest.mark.parametrize("name", ["muben", "tag", "confidence", "extract"])
def test_changes_one_after_the_other_end_at_the_numbers_of_a_fresh_folder(name, first, tmp_path, monkeypatch):
    """All changes in one folder; each alone is the long test below."""
    study, weights = STUDIES[name], 0.0
    root = _copied(first(name), tmp_path / "changed")
    seen = [numbers(root / "out")]
    for change in study.changes.values():
        weights = change(root / "data") or weights
        study.run(root / "data", root / "out", weights)
        found = numbers(root / "out")
        assert found not in seen
        seen.append(found)
    study.run(root / "data", tmp_path / "fresh" / "out", weights)
    assert seen[-1] == numbers(tmp_path / "fresh" / "out")
    kept = [numbers(folder) for folder in (root / "out" / "earlier").iterdir()]
    assert all(one in kept for one in seen[:-1])  # what came before is there, whole
    for place in study.work:
        monkeypatch.setattr(place, _nothing_to_do)
    study.run(root / "data", root / "out", weights)
    assert numbers(root / "out") == seen[-1]


@pytest.mark.parametrize(("name", "change"), _CASES)
def test_changed_data_give_the_numbers_of_a_fresh_folder(name, change, first, tmp_path, monkeypatch):
    study = STUDIES[name]
    root = _copied(first(name), tmp_path / "changed")
    before = numbers(root / "out")
    weights = study.changes[change](root / "data") or 0.0
    study.run(root / "data", root / "out", weights)
    found = numbers(root / "out")
    study.run(root / "data", tmp_path / "fresh" / "out", weights)
    assert found == numbers(tmp_path / "fresh" / "out")
    assert found != before
    kept = [numbers(folder) for folder in (root / "out" / "earlier").iterdir()]
    assert before in kept  # the old results are there, whole
    for place in study.work:
        monkeypatch.setattr(place, _nothing_to_do)
    study.run(root / "data", root / "out", weights)
    assert numbers(root / "out") == found


_SLOW = ("tune", "tune --acquire", "tune --teach")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.long] if name in _SLOW else []) for name in STUDIES]
)
def test_the_same_data_elsewhere_are_not_computed_again(name, first, tmp_path, monkeypatch):
    """Another folder, a relative path, line ends of Windows and blank lines at the end: the same content."""
    study = STUDIES[name]
    root = _copied(first(name), tmp_path / "moved")
    before = numbers(root / "out")
    for file in (root / "data").iterdir():
        if file.suffix in (".csv", ".jsonl"):
            file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n") + b"\r\n")
    for place in study.work:
        monkeypatch.setattr(place, _nothing_to_do)
    monkeypatch.chdir(root)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        study.run(pathlib.Path("data"), pathlib.Path("out"), 0.0)
    assert numbers(root / "out") == before and not (root / "out" / "earlier").exists()
    assert json.loads((root / "out" / "run.json").read_text())["status"] == "complete"


def _nothing_to_do(*args, **kwargs):
    raise AssertionError("something is computed again")
