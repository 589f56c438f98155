"""Every notebook runs from a clean kernel, and is stored without outputs."""

import os
import pathlib
import sys

import nbformat
import pytest
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

ROOT = pathlib.Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


class ThisPython(AsyncKernelManager):
    """Starts the kernel with the Python that runs the tests, whichever kernels are installed."""

    @property
    def kernel_spec(self):
        return KernelSpec(argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"])


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
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook, timeout=1200, kernel_manager_class=ThisPython, resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()  # raises CellExecutionError, with the cell and its traceback
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in code)
    assert any("image/png" in output.get("data", {}) for cell in code for output in cell.outputs)
