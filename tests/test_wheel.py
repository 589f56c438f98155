"""The wheel has all that it needs: data, types, version; it runs where nothing else of the repository is."""

import os
import pathlib
import shutil
import subprocess
import sys
import tomllib
import zipfile

import pytest

import jaxuq

ROOT = pathlib.Path(__file__).parent.parent
UV = shutil.which("uv", path=os.pathsep.join([str(pathlib.Path(sys.executable).parent), os.environ.get("PATH", "")]))

pytestmark = pytest.mark.skipif(UV is None, reason="needs uv, which builds the wheel")

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

RUN = [
    "muben",
    "--dataset",
    "freesolv",
    "--backbone",
    "morgan",
    "--methods",
    "deterministic",
    "--seeds",
    "1",
    "--epochs",
    "2",
]

USER = '''# pyright: strict
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""A strict user's program. What JAX and jaxtyping (its PyTree) leave unknown is theirs; all other rules are on."""

import jax
import jax.numpy as jnp

import jaxuq
from jaxuq.calibration import conformal_regression, variance_scaling
from jaxuq.losses import gaussian_negative_log_likelihood, mean_loss
from jaxuq.metrics import gaussian_crps
from jaxuq.posterior import GaussianForecast, Method, predict_forecast, swag
from jaxuq.tagging import viterbi


def apply_fn(params: jax.Array, inputs: jax.Array, *, rng_key: jax.Array | None = None) -> jax.Array:
    return (inputs @ params)[:, None, :]


key = jaxuq.named_key(jax.random.key(0), "mine")
x, y = jnp.ones((8, 3)), jnp.arange(8.0)[:, None]
method: Method = swag(rank=5)
state = method.update(key, method.init(key, jnp.zeros((3, 2))), jnp.zeros((3, 2)))
forecast: GaussianForecast = predict_forecast(apply_fn, method.sample(key, state, 3), x, "gaussian")
scaling = variance_scaling()
forecast = scaling.apply(scaling.fit(forecast, y), forecast)
conformal = conformal_regression()
interval = conformal.interval(conformal.fit(forecast, y, level=0.8), forecast)
crps: jax.Array = gaussian_crps(forecast.mean[:, 0], forecast.total[:, 0], y[:, 0])
loss: jax.Array = mean_loss(gaussian_negative_log_likelihood(forecast.mean, forecast.total, y))
paths: jax.Array = viterbi(jnp.zeros(2), jnp.zeros((2, 2)), jnp.zeros((1, 3, 2))).paths
print(jaxuq.__version__, interval.lower.shape, bool(crps > 0), bool(loss > 0), paths.shape)
'''


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built from the files that the repository has."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([UV, "build", "--quiet", "--wheel", "--out-dir", folder, ROOT], check=True)
    return next(folder.glob("*.whl"))


def test_the_version_is_that_of_the_project():
    assert jaxuq.__version__ == PROJECT["version"]


def test_the_wheel_has_every_file_and_its_command_finds_the_data(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        archive.extractall(tmp_path / "unpacked")
    tracked = subprocess.run(
        ["git", "ls-files", "jaxuq"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    assert {name for name in names if name.startswith("jaxuq/")} == set(tracked)
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "unpacked"), "JAXUQ_DATA": str(tmp_path / "none")}
    script = "import jaxuq; print(jaxuq.__file__); from jaxuq.__main__ import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", script, "data"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith(str(tmp_path / "unpacked")) and "freesolv" in done.stdout


@pytest.mark.long
def test_a_bare_environment_runs_the_wheel_and_names_what_it_lacks(wheel, tmp_path):
    python = tmp_path / "bare" / "bin" / "python"
    subprocess.run([UV, "venv", "--quiet", "--python", sys.executable, tmp_path / "bare"], check=True)
    install = [UV, "pip", "install", "--quiet", "--python", python, "--constraint", ROOT / "constraints.txt"]
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "JAXUQ_DATA")}

    def run(*words):
        return subprocess.run(
            [python, "-m", *words], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )

    subprocess.run([*install, wheel], check=True)
    assert run("jaxuq", "--version").stdout == f"jaxuq {PROJECT['version']}\n"
    for command, extra in ((RUN, "molecules"), (["generate", "a prompt"], "language"), (["report", "x"], "reports")):
        lacking = run("jaxuq", *command)
        assert lacking.returncode == 2 and lacking.stderr.count("\n") == 1, lacking.stderr
        assert "pip install 'jaxuq[" in lacking.stderr and extra in lacking.stderr

    subprocess.run([*install, f"jaxuq[molecules,reports] @ {wheel.as_uri()}"], check=True)
    (tmp_path / "user.py").write_text(USER)
    assert run("user").stdout == f"{PROJECT['version']} (8, 1) True True (1, 1, 3)\n"
    done = run("jaxuq", *RUN, "--output", "run")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "results.csv").exists() and (tmp_path / "run" / "report.html").exists()
    for command in (["serve", "x"], ["tune"], ["confidence", "ask", "why?"]):
        lacking = run("jaxuq", *command)
        assert lacking.returncode == 2 and lacking.stderr.count("\n") == 1, lacking.stderr

    strict = subprocess.run(
        [sys.executable, "-m", "pyright", "--pythonpath", python, "user.py"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "0 errors" in strict.stdout, strict.stdout
