"""Every notebook runs from a clean kernel, and is stored without outputs."""

import importlib.util
import pathlib

import nbformat
import pytest

ROOT = pathlib.Path(__file__).parent.parent
_SPEC = importlib.util.spec_from_file_location("site_notebooks", ROOT / "docs" / "notebooks.py")
assert _SPEC is not None and _SPEC.loader is not None
site = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(site)
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def test_there_are_notebooks():
    assert NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_stored_without_outputs(path):
    for number, cell in enumerate(nbformat.read(path, as_version=4).cells):
        if cell.cell_type == "code":
            assert not cell.outputs, f"cell {number} has outputs: clear them before committing"
            assert cell.execution_count is None, f"cell {number} has an execution count"


WITH_SMOLLM2 = ("03_language_models", "04_confidence")
LONG = ("05_experts", "08_tuning")
WITH_MINILM = ("02_weak_supervision",)


OTHERS = [path for path in NOTEBOOKS if path.stem not in WITH_SMOLLM2 + WITH_MINILM]


@pytest.mark.slow
@pytest.mark.parametrize(
    "path", [pytest.param(p, marks=[pytest.mark.long] if p.stem in LONG else [], id=p.stem) for p in OTHERS]
)
def test_runs_from_a_clean_kernel(path, tmp_path, monkeypatch):
    _run(path, tmp_path, monkeypatch)


@pytest.mark.long
@pytest.mark.weights
@pytest.mark.parametrize("path", [path for path in NOTEBOOKS if path.stem in WITH_SMOLLM2], ids=lambda p: p.stem)
def test_runs_with_smollm2(path, tmp_path, monkeypatch, smollm2_weights):
    monkeypatch.setenv("XLA_FLAGS", "")  # a model of this size is compiled as users compile it
    _run(path, tmp_path, monkeypatch)


@pytest.mark.long
@pytest.mark.weights
@pytest.mark.parametrize("path", [path for path in NOTEBOOKS if path.stem in WITH_MINILM], ids=lambda p: p.stem)
def test_runs_with_minilm(path, tmp_path, monkeypatch):
    from jaxuq.checkpoints import CheckpointError, find_encoder

    try:
        find_encoder("minilm")
    except CheckpointError as error:
        pytest.skip(f"the weights cannot be had: {error}")
    _run(path, tmp_path, monkeypatch)


def _run(path, tmp_path, monkeypatch):
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    code = [cell for cell in site.execute(path, tmp_path).cells if cell.cell_type == "code"]  # as the site does
    assert all(cell.execution_count for cell in code)
    assert any("image/png" in output.get("data", {}) for cell in code for output in cell.outputs)


def test_a_page_of_a_notebook_has_its_outputs(tmp_path, monkeypatch):
    monkeypatch.setattr(site, "KEPT", tmp_path / "kept")
    monkeypatch.setenv("JAXUQ_NOTEBOOKS", "kept")
    cells = [
        nbformat.v4.new_markdown_cell("# A title\n\nText."),
        nbformat.v4.new_code_cell(
            "import sys\nfrom IPython.display import Image\nprint(6 * 7)\nprint('progress', file=sys.stderr)\n"
            "Image(data=bytes.fromhex('89504e470d0a1a0a') + bytes(40))"
        ),
    ]
    path = tmp_path / "own.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    page, pictures = site.page(path)
    assert page.startswith("# A title\n\n*This is `notebooks/own.ipynb`, which did not run") and "42" not in page
    site.execute(path, tmp_path)
    page, pictures = site.page(path)
    assert "as it ran when this site was made" in page and "progress\n" not in page
    assert page.endswith("```\n\n```text\n42\n```\n\n![what the cell above draws](own-1.png)\n")
    assert list(pictures) == ["own-1.png"] and pictures["own-1.png"].startswith(b"\x89PNG")
    path.write_text(path.read_text().replace("6 * 7", "6 * 8"))  # other cells: what was kept is not theirs
    assert "which did not run" in site.page(path)[0]
