"""Notebooks as pages of the site: each runs once for each state of its cells and of jaxuq's code.

Outputs are kept under `.cache/notebooks`, where the tests of the notebooks put theirs too. With `JAXUQ_NOTEBOOKS=kept`
nothing runs: a notebook whose outputs are not there is shown without, and its page says so.
"""

import base64
import hashlib
import os
import pathlib
import re
import sys
import tempfile
from typing import Any

import nbformat
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

ROOT = pathlib.Path(__file__).parent.parent
KEPT = ROOT / ".cache" / "notebooks"
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
_ONLY_KEPT = "JAXUQ_NOTEBOOKS"


class ThisPython(AsyncKernelManager):
    """Starts the kernel with the Python that runs this, whichever kernels are installed."""

    @property
    def kernel_spec(self) -> KernelSpec:
        """Of no kernel that is installed."""
        return KernelSpec(argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"])


def execute(path: pathlib.Path, folder: pathlib.Path) -> Any:
    """Run a notebook from a clean kernel and keep its outputs.

    Args:
        path: of the notebook.
        folder: in which it runs.

    Returns:
        The notebook with its outputs.
    """
    place = _kept(path)  # of what is there now: an edit meanwhile is another state
    notebook = nbformat.read(path, as_version=4)
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), before]))
    try:
        NotebookClient(
            notebook, timeout=1200, kernel_manager_class=ThisPython, resources={"metadata": {"path": str(folder)}}
        ).execute()  # raises CellExecutionError, with the cell and its traceback
    finally:
        os.environ.pop("PYTHONPATH") if before is None else os.environ.update(PYTHONPATH=before)
    KEPT.mkdir(parents=True, exist_ok=True)
    for old in KEPT.glob(f"{path.stem}-*"):
        old.unlink(missing_ok=True)
    nbformat.write(notebook, place)
    return notebook


def page(path: pathlib.Path) -> tuple[str, dict[str, bytes]]:
    """A notebook as Markdown.

    Args:
        path: of the notebook.

    Returns:
        The page, and its pictures by name.
    """
    kept, note = _kept(path), f"*This is `notebooks/{path.name}`, as it ran when this site was made.*"
    if kept.exists():
        notebook = nbformat.read(kept, as_version=4)
    elif os.environ.get(_ONLY_KEPT) == "kept":
        notebook = nbformat.read(path, as_version=4)
        note = f"*This is `notebooks/{path.name}`, which did not run when this site was made: no outputs here.*"
    else:
        print(f"running {path.name}", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory() as folder:
            notebook = execute(path, pathlib.Path(folder))
    parts, pictures = [], {}
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            parts.append(cell.source)
        elif cell.cell_type == "code":
            parts.append(f"```python\n{cell.source}\n```")
            parts += filter(None, (_output(one, path.stem, pictures) for one in _joined(cell.outputs)))
    title, _, rest = parts[0].partition("\n")
    return "\n\n".join([title, note, rest.strip(), *parts[1:]]) + "\n", pictures


def _kept(path: pathlib.Path) -> pathlib.Path:
    content = hashlib.sha256(path.read_bytes())
    for file in sorted((ROOT / "jaxuq").rglob("*.py")):
        content.update(file.read_bytes())
    return KEPT / f"{path.stem}-{content.hexdigest()[:16]}.ipynb"


def _joined(outputs: list[Any]) -> list[Any]:
    """Lines that were printed one after another as one; nothing of progress, which goes to standard error."""
    said: list[Any] = []
    for one in outputs:
        if one.output_type == "stream" and one.name == "stderr":
            continue
        if one.output_type == "stream" and said and said[-1].output_type == "stream":
            said[-1] = nbformat.v4.new_output("stream", text=said[-1].text + one.text)
        else:
            said.append(one)
    return said


def _output(output: Any, stem: str, pictures: dict[str, bytes]) -> str:
    if output.output_type == "stream":
        return _text(output.text)
    data = output.get("data", {})
    if "image/png" in data:
        name = f"{stem}-{len(pictures) + 1}.png"
        pictures[name] = base64.b64decode(data["image/png"])
        return f"![what the cell above draws]({name})"
    if "text/html" in data:
        return '<div class="output">' + re.sub(r"<style.*?</style>|\n\s*", "", data["text/html"], flags=re.S) + "</div>"
    return _text(data["text/plain"]) if data.get("text/plain") else ""


def _text(said: str) -> str:
    plain = re.sub(r"\x1b\[[0-9;]*m", "", said).rstrip()
    return f"```text\n{plain}\n```" if plain else ""
