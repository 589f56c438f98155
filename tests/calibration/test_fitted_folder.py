"""A forecaster on disk: the same bits elsewhere, readable with NumPy, and damage is one typed error."""

import json
import random
import shutil
import subprocess
import sys

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxuq import calibration, posterior
from jaxuq._errors import OptionError
from jaxuq.calibration import Fitted, FittedError, load_fitted, predict_fitted, recalibrate, save_fitted
from jaxuq.study import digest

KEY = jax.random.key(0)
X = jax.random.normal(jax.random.key(1), (12, 3))


def read(params, x, *, rng_key=None):
    return (x @ params["w"])[..., None]


def fitted_binary(**options):
    samples = {"w": jax.random.normal(KEY, (4, 3))}
    labels = (X[:, :1] > 0).astype(jnp.int32).at[0].set(1)
    given = Fitted(samples, "bernoulli", calibrator="temperature", **options)
    return recalibrate(given, read, 3 * X, labels)


def assert_same(loaded, saved):
    assert jax.tree.structure(loaded) == jax.tree.structure(saved)
    for one, other in zip(jax.tree.leaves(loaded), jax.tree.leaves(saved), strict=True):
        if isinstance(other, jax.Array | np.ndarray):
            assert one.dtype == other.dtype and one.shape == other.shape
            if jnp.issubdtype(other.dtype, jax.dtypes.prng_key):
                one, other = jax.random.key_data(one), jax.random.key_data(other)
            assert np.asarray(one).tobytes() == np.asarray(other).tobytes()
        else:
            assert type(one) is type(other) and (one == other or one != one)


TREES = {
    "a single array": jnp.array([-0.0, jnp.nan, jnp.inf, 1e-45]),
    "lists, tuples, nothing": ([jnp.ones(2), ()], None, {}, [(jnp.zeros((2, 0)),)], {"a": []}),
    "types": {
        str(dtype): jnp.arange(6).astype(dtype).reshape(2, 3)
        for dtype in ("bfloat16", "float16", "float8_e4m3fn", "float8_e5m2", "int8", "uint32", "bool", "complex64")
    },
    "host float64 and int64": {"a": np.array([0.1, 1 / 3]), "b": np.array([2**40])},
    "keys and numbers": {
        "key": jax.random.split(KEY, 3),
        "rbg": jax.random.key(1, impl="rbg"),
        "n": 3,
        "t": "x",
        "f": 0.1,
    },
    "whole numbers as keys": {1: jnp.ones(1), 20: {-3: jnp.zeros(1)}},
    "tuples as keys": {("a", 1): jnp.ones(1), ("b", 0): jnp.zeros(2)},
    "odd text as keys": {
        name: jnp.full(1, number)
        for number, name in enumerate(
            ["", "/", "a/b", "%2F", "[0]", ".", "..", "__metadata__", "ä\u2028", "\ud800", "\0", "a b", '"', "\\"]
        )
    },
    "collisions of joined names": {"a": {"b": jnp.ones(1), "b/c": jnp.zeros(1)}, "a/b": jnp.full(1, 2.0)},
}


@pytest.mark.parametrize("name", TREES)
def test_plain_trees_come_back_bit_by_bit(name, tmp_path):
    save_fitted(tmp_path, Fitted(TREES[name], "gaussian", about={"of": TREES[name]}))
    loaded = load_fitted(tmp_path)
    assert_same(loaded.samples, TREES[name])
    assert_same(loaded.about, {"of": TREES[name]})


class Net(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(1)(nn.relu(nn.Dense(4)(x)))


class NNX(nnx.Module):
    def __init__(self, rngs):
        self.layers = nnx.List([nnx.Linear(3, 4, rngs=rngs), nnx.Linear(4, 1, rngs=rngs)])

    def __call__(self, x):
        return self.layers[1](jax.nn.relu(self.layers[0](x)))


def models():
    linen = Net()
    graph, state = nnx.split(NNX(nnx.Rngs(0)))
    return {
        "linen": (lambda p, x, **_: linen.apply(p, x), linen.init(KEY, X), False),
        "nnx": (lambda p, x, **_: nnx.merge(graph, p)(x), state, True),
        "equinox": (lambda p, x, **_: jax.vmap(p)(x), eqx.nn.MLP(3, 1, 4, 1, use_final_bias=False, key=KEY), True),
    }


METHODS = {
    "swag": posterior.swag(),
    "a part": posterior.on_part(posterior.swag(), lambda path: "1" in path),
    "dropout": posterior.mc_dropout(),
    "a part of dropout": posterior.on_part(posterior.mc_dropout(), lambda path: "1" in path),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", ["linen", "nnx", "equinox"])
def test_samples_of_every_kind_of_model_predict_the_same(kind, method, tmp_path):
    apply_fn, params, of_classes = models()[kind]
    state = METHODS[method].init(KEY, params)
    for factor in (1.0, 1.1, 0.8):
        moved = jax.tree.map(lambda leaf, f=factor: f * leaf if eqx.is_inexact_array(leaf) else leaf, params)
        state = METHODS[method].update(KEY, state, moved)
    fitted = Fitted(METHODS[method].sample(KEY, state, 5), "bernoulli")
    save_fitted(tmp_path, fitted)
    if of_classes:
        with pytest.raises(FittedError, match=r"tree of classes.*pass like="):
            load_fitted(tmp_path)
    loaded = load_fitted(tmp_path, like=Fitted(params, "bernoulli"))
    assert_same(loaded.samples, fitted.samples)
    jax.tree.map(
        np.testing.assert_array_equal, predict_fitted(loaded, apply_fn, X), predict_fitted(fitted, apply_fn, X)
    )


def test_laplace_samples_come_back(tmp_path):
    method = posterior.laplace("bernoulli", "diagonal")
    state = method.update(KEY, method.init(KEY, {"w": jnp.ones(3)}), read, X, jnp.ones((12, 1)))
    fitted = Fitted(method.sample(KEY, state, 5), "bernoulli")
    save_fitted(tmp_path, fitted)
    assert_same(load_fitted(tmp_path).samples, fitted.samples)


def test_another_model_is_refused_by_name(tmp_path):
    save_fitted(tmp_path, Fitted(eqx.nn.MLP(3, 1, 4, 1, key=KEY), "gaussian"))
    with pytest.raises(FittedError, match="which is another model"):
        load_fitted(tmp_path, like=Fitted(eqx.nn.MLP(3, 1, 5, 1, key=KEY), "gaussian"))
    with pytest.raises(FittedError, match="another structure"):
        load_fitted(tmp_path, like=Fitted(eqx.nn.MLP(3, 1, 4, 2, key=KEY), "gaussian"))


SCRIPT = """
import sys, numpy as np, jax.numpy as jnp
from jaxuq.calibration import load_fitted, predict_fitted, conformal_prediction
fitted = load_fitted(sys.argv[1])
forecast = predict_fitted(fitted, lambda p, x: (x @ p["w"])[..., None], jnp.asarray(np.load(sys.argv[2])))
sets = conformal_prediction(fitted, forecast)
np.savez(sys.argv[3], logits=forecast.logits, epistemic=forecast.epistemic, sets=sets)
"""


def test_a_fresh_process_makes_the_same_forecast_bit_by_bit(tmp_path):
    fitted = fitted_binary(conformal="lac", level=0.7)
    save_fitted(tmp_path / "kept", fitted)
    np.save(tmp_path / "x.npy", X)
    command = [sys.executable, "-c", SCRIPT, *(str(tmp_path / name) for name in ("kept", "x.npy", "out.npz"))]
    subprocess.run(command, check=True)
    forecast = predict_fitted(fitted, read, X)
    with np.load(tmp_path / "out.npz") as found:
        np.testing.assert_array_equal(found["logits"], forecast.logits)
        np.testing.assert_array_equal(found["epistemic"], forecast.epistemic)
        np.testing.assert_array_equal(found["sets"], calibration.conformal_prediction(fitted, forecast))


def numpy_arrays(folder):
    """What a reader without JAX does."""
    from safetensors.numpy import load_file

    record = json.loads((folder / "fitted.json").read_text())
    return record, load_file(folder / record["files"]["states"]["name"])


def test_temperature_and_sets_are_a_few_lines_of_numpy(tmp_path):
    fitted = fitted_binary(conformal="lac", level=0.7)
    save_fitted(tmp_path, fitted)
    raw = posterior.predict_forecast(read, fitted.samples, X, "bernoulli")
    record, arrays = numpy_arrays(tmp_path)
    assert (record["calibrator"], record["conformal"]) == ({"name": "temperature"}, {"name": "lac"})
    logits = np.asarray(raw.logits) / arrays["calibrator/temperature"]
    positive = 1 / (1 + np.exp(-logits))
    sets = 1 - np.stack([1 - positive, positive], -1) <= arrays["conformal/thresholds"][0][..., None]
    forecast = predict_fitted(fitted, read, X)
    np.testing.assert_allclose(positive, forecast.probabilities, rtol=1e-6)
    np.testing.assert_array_equal(sets, calibration.conformal_prediction(fitted, forecast))


def test_variances_and_intervals_are_a_few_lines_of_numpy(tmp_path):
    model = lambda w, x: jnp.stack([x @ w, x @ w], -1)  # noqa: E731
    fitted = Fitted(jnp.ones((2, 3, 1)), "gaussian", "variance-scaling", "normalised", 0.8)
    fitted = recalibrate(fitted, model, X, jnp.sin(9 * X[:, :1]))
    save_fitted(tmp_path, fitted)
    raw = posterior.predict_forecast(model, fitted.samples, X, "gaussian")
    _, arrays = numpy_arrays(tmp_path)
    variance = np.asarray(raw.total) * arrays["calibrator/factor"]
    half = arrays["conformal/thresholds"][0] * np.sqrt(variance)
    forecast = predict_fitted(fitted, model, X)
    interval = calibration.conformal_prediction(fitted, forecast)
    np.testing.assert_allclose(variance, forecast.total, rtol=1e-6)
    np.testing.assert_allclose(np.asarray(raw.mean) + half, interval.upper, rtol=1e-5)
    np.testing.assert_allclose(np.asarray(raw.mean) - half, interval.lower, rtol=1e-5)


def test_saving_a_recalibrated_one_writes_the_states_alone(tmp_path):
    fitted = fitted_binary()
    save_fitted(tmp_path, fitted)
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    labels = (X[:, 1:2] > 0).astype(jnp.int32)
    save_fitted(tmp_path, recalibrate(fitted, read, X, labels))
    after = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert len(before) == len(after) == 3
    assert {name.split("-")[0] for name in before if after.get(name) == before[name]} == {"samples"}
    assert load_fitted(tmp_path).calibrator_state.temperature != fitted.calibrator_state.temperature


def test_a_save_that_fails_leaves_the_old_one_readable(tmp_path, monkeypatch):
    fitted = fitted_binary()
    save_fitted(tmp_path, fitted)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("jaxuq.calibration.fitted_folder.write_text", full)
    with pytest.raises(OSError, match="No space"):
        save_fitted(tmp_path, fitted._replace(samples={"w": jnp.zeros((4, 3))}))
    assert_same(load_fitted(tmp_path).samples, fitted.samples)


OWN = {
    "likelihood": posterior.student_t(4.0),
    "calibrator": calibration.isotonic_calibration(min_probability=0.1),
    "conformal": calibration.conformal_regression(num_groups=2),
}


@pytest.mark.parametrize("field", OWN)
def test_a_record_of_ones_own_is_given_again(field, tmp_path):
    whole = Fitted(jnp.ones(2), "gaussian", "isotonic", "absolute", 0.9)
    save_fitted(tmp_path, whole._replace(**{field: OWN[field]}))
    with pytest.raises(FittedError, match=f"{field} of its author's own; pass like="):
        load_fitted(tmp_path)
    assert getattr(load_fitted(tmp_path, like=whole._replace(**{field: OWN[field]})), field) is OWN[field]


@pytest.mark.parametrize("field", OWN)
def test_a_name_that_is_unknown_here_is_named(field, tmp_path):
    table = {"likelihood": posterior.LIKELIHOODS}.get(field) or getattr(
        calibration, {"calibrator": "CALIBRATORS", "conformal": "CONFORMAL"}.get(field, "CONFORMAL")
    )
    whole = Fitted(jnp.ones(2), "gaussian", "isotonic", "absolute", 0.9)._replace(**{field: "mine"})
    with pytest.raises(OptionError, match="'mine'"):
        save_fitted(tmp_path, whole)
    table["mine"] = OWN[field]
    try:
        save_fitted(tmp_path, whole)
        assert getattr(load_fitted(tmp_path), field) == "mine"
        save_fitted(tmp_path, whole._replace(**{field: OWN[field]}))  # the record is known by its name
        assert getattr(load_fitted(tmp_path), field) == "mine"
    finally:
        del table["mine"]
    with pytest.raises(FittedError, match=f"{field} 'mine', which is unknown here; pass like="):
        load_fitted(tmp_path)
    other = "poisson" if field == "likelihood" else "platt"
    with pytest.raises(FittedError, match="give the same"):
        load_fitted(tmp_path, like=whole._replace(**{field: other}))
    assert getattr(load_fitted(tmp_path, like=whole._replace(**{field: OWN[field]})), field) is OWN[field]


def test_what_cannot_be_saved_is_named_and_nothing_is_written(tmp_path):
    folder = tmp_path / "kept"
    for samples, message in (
        ({"a": jnp.ones(2, jnp.int4)}, "samples/a is of type int4"),
        ({"a": np.array(["x"])}, "samples/a is of type <U1"),
        (posterior.Draws(jnp.ones(2), jnp.ones(1), lambda apply_fn, fixed: apply_fn), "READERS"),
    ):
        with pytest.raises(FittedError, match=message):
            save_fitted(folder, Fitted(samples, "gaussian"))
    nested = jnp.ones(2)
    for _ in range(65):
        nested = [nested]
    with pytest.raises(FittedError, match="nested deeper"):
        save_fitted(folder, Fitted(nested, "gaussian"))
    assert not folder.exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(FittedError, match="is a file"):
        save_fitted(tmp_path / "file", Fitted(jnp.ones(2), "gaussian"))
    (tmp_path / "fitted.json").write_text('{"mine": 1}')
    with pytest.raises(FittedError, match="not overwritten"):
        save_fitted(tmp_path, Fitted(jnp.ones(2), "gaussian"))
    assert (tmp_path / "fitted.json").read_text() == '{"mine": 1}'


def reseal(folder, change):
    """Change the manifest as someone would who knows how it is sealed."""
    record = json.loads((folder / "fitted.json").read_text())
    record.pop("digest")
    change(record)
    (folder / "fitted.json").write_text(json.dumps({**record, "digest": digest(record)}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r.update(version=2), "version 2.*install a newer jaxuq"),
        (lambda r: r.update(format="other"), "another program"),
        (lambda r: r["files"]["samples"].update(name="../samples-0123456789abcdef.safetensors"), "outside its folder"),
        (lambda r: r["files"]["samples"].update(bytes=10**13), "and should have 10000000000000"),
        (lambda r: r["structures"].update(samples=["call", "os.system"]), "unknown kind 'call'"),
        (lambda r: r["structures"].update(samples=["draws", "os.system", ["none"], ["none"]]), "READERS lacks"),
        (lambda r: r["structures"].update(samples=["none"]), "does not say what"),
        (lambda r: r.pop("structures"), "damaged"),
    ],
)
def test_a_foreign_or_newer_folder_is_named(change, message, tmp_path):
    save_fitted(tmp_path, fitted_binary())
    reseal(tmp_path, change)
    with pytest.raises(FittedError, match=message):
        load_fitted(tmp_path)


def test_a_missing_or_cut_file_is_named(tmp_path):
    with pytest.raises(FittedError, match=r"fitted\.json is missing"):
        load_fitted(tmp_path / "none")
    save_fitted(tmp_path, fitted_binary())
    file = next(tmp_path.glob("samples-*"))
    content = file.read_bytes()
    file.write_bytes(content[:-3])
    with pytest.raises(FittedError, match=f"{file.name} has .* bytes and should have"):
        load_fitted(tmp_path)
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(FittedError, match=f"{file.name} is damaged: its digest"):
        load_fitted(tmp_path)
    file.unlink()
    with pytest.raises(FittedError, match=f"{file.name} is missing"):
        load_fitted(tmp_path)


def _mutated(content, chance):
    """A few bytes changed, taken out, put in or doubled."""
    content = bytearray(content)
    for _ in range(chance.randint(1, 4)):
        place = chance.randrange(len(content) + 1)
        some = chance.randint(0, 8)
        content[place : place + some] = chance.choice(
            [
                bytes(chance.randrange(256) for _ in range(some)),
                b"",
                content[place : place + some] * 2,
                b"9",
                b"[[",
                b"null",
            ]
        )
    return bytes(content)


def _values(node):
    """Every container of a JSON value with each of its places."""
    places = list(node) if isinstance(node, dict) else list(range(len(node))) if isinstance(node, list) else []
    for place in places:
        yield node, place
        yield from _values(node[place])


JUNK = [
    None,
    True,
    -1,
    10**30,
    float("nan"),
    "",
    "samples/w",
    "draws",
    "like",
    "key",
    [],
    {},
    [[]],
    ["key", "samples/w", "x"],
]


@pytest.mark.long
@pytest.mark.parametrize("seed", range(3))
def test_no_mutation_gives_anything_but_the_typed_error_or_the_same(seed, tmp_path):
    saved = fitted_binary(conformal="lac", level=0.7)
    save_fitted(tmp_path / "whole", saved)
    chance = random.Random(seed)
    refused = 0
    for number in range(100):
        folder = tmp_path / str(number)
        shutil.copytree(tmp_path / "whole", folder)
        if number % 2:
            file = chance.choice(sorted(folder.iterdir()))
            file.write_bytes(_mutated(file.read_bytes(), chance))
        else:  # sealed again, so that what lies behind the digest is tried too

            def change(record):
                container, place = chance.choice(list(_values(record)))
                container[place] = chance.choice(JUNK)

            reseal(folder, change)
        try:
            loaded = load_fitted(folder)
        except FittedError as error:
            refused += 1
            assert str(folder) in str(error) and len(str(error)) < 1000
        else:
            if number % 2:
                assert_same(loaded, saved)
        shutil.rmtree(folder)
    assert refused > 60
