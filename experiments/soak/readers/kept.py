"""What was fitted and kept, and folders of runs."""

import pathlib
from typing import Any

from readers.files import Reader


def _fitted(folder: pathlib.Path) -> None:
    import jax
    import jax.numpy as jnp

    from jaxuq.calibration import Fitted, recalibrate, save_fitted

    x = jax.random.normal(jax.random.key(1), (12, 3))
    samples = {"w": jax.random.normal(jax.random.key(0), (4, 3))}
    labels = (x[:, :1] > 0).astype(jnp.int32).at[0].set(1)
    given = Fitted(samples, "bernoulli", calibrator="temperature")
    save_fitted(folder, recalibrate(given, lambda params, x, **_: (x @ params["w"])[..., None], 3 * x, labels))


def _load_fitted(folder: pathlib.Path) -> Any:
    from jaxuq.calibration import load_fitted

    return load_fitted(folder)


def _molecules_model(folder: pathlib.Path) -> None:
    import jax

    from jaxuq.molecules import load_molecules
    from jaxuq.molecules.fitted import MoleculeRecipe, divide_molecules, fit_molecules, save_molecules

    some = load_molecules("esol").take(range(0, 1128, 20))
    rows = divide_molecules(some.smiles, "random", fractions=(0.5, 0.1, 0.3, 0.1))
    recipe = MoleculeRecipe("morgan", members=2, epochs=1, width=4, depth=1)
    save_molecules(folder, fit_molecules(jax.random.key(0), some, rows, recipe))


def _load_molecules_model(folder: pathlib.Path) -> Any:
    from jaxuq.molecules.fitted import load_molecules_model

    return load_molecules_model(folder)


def _run_folder(folder: pathlib.Path) -> None:
    from tests.reporting.folders import write_result_folder

    write_result_folder(folder, molecules=8, methods=("deterministic",), seeds=1)


def _read_run(folder: pathlib.Path) -> Any:
    from jaxuq.reporting import load_predictions, read_folder
    from jaxuq.study import read_run

    read_run(folder)
    return load_predictions(read_folder(folder))


def _report(folder: pathlib.Path) -> Any:
    from jaxuq.reporting import print_report, write_report

    write_report(folder)
    return print_report(folder)


def _sealed(folder: pathlib.Path) -> None:
    import numpy as np

    from jaxuq.study import sealed_lines, write_arrays

    (folder / "lines.jsonl").write_text(sealed_lines([{"id": "a", "correct": True}, {"id": "b", "score": 0.5}]))
    write_arrays(folder / "cell.npz", {"a": np.arange(4.0), "name": np.array("x")})


def _read_sealed(folder: pathlib.Path) -> Any:
    from jaxuq.study import cell_arrays, read_arrays, read_sealed

    return read_sealed(folder / "lines.jsonl"), read_arrays(folder / "cell.npz"), cell_arrays(folder / "cell.npz")


def _reports(folder: pathlib.Path) -> None:
    rows = (
        ",method,rmse-mean,mae-mean,nll-mean,ce-mean,rmse-std\n0,DNN-none,0.9,0.7,1.2,0.1,0.03\n"
        "1,DNN-SWAG,0.8,0.6,1.1,0.2,0.1\n"
    )
    for name in ("DNN-esol", "GIN-esol"):
        (folder / f"{name}.csv").write_text(rows)


def _read_reports(folder: pathlib.Path) -> Any:
    from jaxuq.reporting import is_published, published_changes, published_scores

    is_published(folder)
    published_changes(folder, [folder])
    return published_scores(folder)


READERS: dict[str, Reader] = {
    "kept: forecaster": Reader(
        ("fitted.json", "samples-*.safetensors", "states-*.safetensors"),
        _fitted,
        _load_fitted,
        ("load_fitted",),
        share=0.5,
    ),
    "kept: molecules": Reader(
        ("fitted.json", "samples-*.safetensors", "states-*.safetensors"),
        _molecules_model,
        _load_molecules_model,
        ("load_molecules_model",),
        share=0.3,
    ),
    "runs: folder": Reader(
        ("run.json", "results.csv", "summary.csv", "predictions/deterministic-seed0.npz"),
        _run_folder,
        _read_run,
        ("read_run", "read_folder", "load_predictions", "read_predictions", "check_folder"),
        share=0.3,
    ),
    "runs: report": Reader(
        ("run.json", "results.csv", "summary.csv", "predictions/deterministic-seed0.npz"),
        _run_folder,
        _report,
        ("write_report", "print_report", "compare_runs"),
        share=0.01,
    ),
    "runs: lines and cells": Reader(
        ("lines.jsonl", "cell.npz"), _sealed, _read_sealed, ("read_sealed", "read_arrays", "cell_arrays")
    ),
    "runs: published reports": Reader(
        ("DNN-esol.csv",),
        _reports,
        _read_reports,
        ("published_scores", "is_published", "published_changes", "compare_published"),
        share=0.3,
    ),
}
"""By name, as the page shows them."""
