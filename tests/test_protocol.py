"""Promises P1 and P3 for every public array function: jit, vmap, grad, sharding, and masks.

Compiling takes nearly all the time here: an eager call compiles each of its operations, and costs more than the rest
together. So an example is compiled twice. The first program gives its value and its gradient; the second maps over a
new axis, with arguments divided over eight devices, for one function in three and in the long tests for all. That the
first equals an eager call is one of the long tests.
"""

import functools
import importlib
import inspect
import itertools
import zlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxuq
from jaxuq._errors import ArrayError
from tests.protocol import Example

ROOMS = [room for room in jaxuq._ROOMS if room != "reporting"]


def _room(room):
    return importlib.import_module(f"jaxuq.{room}"), importlib.import_module(f"tests.{room}.protocol")


def _examples():
    for room in ROOMS:
        _, protocol = _room(room)
        for name, examples in protocol.EXAMPLES.items():
            for number, example in enumerate([examples] if isinstance(examples, Example) else examples):
                yield f"{room}.{name}-{number}", example


EXAMPLES = dict(_examples())


def _is_key(leaf):
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _of_arrays(example: Example):
    """The example as a function of arrays alone, the mask last, and these arrays."""

    def function(*args: Any):
        keywords = dict(example.kwargs)
        if example.where is not None:
            *args, keywords["where"] = args
        return example.function(*args, **keywords)

    args = example.args if example.where is None else (*example.args, example.where)
    return function, jax.tree.map(jnp.asarray, args)


def _with_gradient(example: Example, function):
    """`function` with the gradient of the sum of its floating outputs, as one compiled program."""

    def total(*args):
        outputs = function(*args)
        floats = [jnp.sum(leaf) for leaf in jax.tree.leaves(outputs) if jnp.issubdtype(leaf.dtype, jnp.floating)]
        return jnp.sum(jnp.stack(floats)), outputs

    def both(*args):
        if not example.differentiable:
            return function(*args), ()
        (_, outputs), gradients = jax.value_and_grad(total, argnums=example.differentiable, has_aux=True)(*args)
        return outputs, gradients

    return jax.jit(both)


def _poisoned(example: Example, args):
    """The arguments with NaN, or the largest integer, wherever the mask leaves them out."""
    where = np.asarray(example.where)
    assert not where.all(), "an example with a mask must mask something"

    def poison(leaf):
        poisoned = np.array(leaf)
        poisoned[~where] = np.nan if np.issubdtype(poisoned.dtype, np.floating) else np.iinfo(poisoned.dtype).max
        return jnp.asarray(poisoned)

    return tuple(jax.tree.map(poison, arg) if i in example.masked else arg for i, arg in enumerate(args))


def _placement(leaf, mesh, axis, whole=False):
    """Divided where eight devices can share `axis`, else whole on each."""
    shared = not whole and leaf.ndim > axis and leaf.shape[axis] % 8 == 0
    spec = jax.sharding.PartitionSpec(*[None] * axis, "data") if shared else jax.sharding.PartitionSpec()
    return jax.sharding.NamedSharding(mesh, spec)


def _divided(args, mesh, axis, whole=()):
    """Every array whose `axis` eight devices can share, divided over them; the others, and those in `whole`, on all."""

    def put(leaf, place):
        return jax.device_put(leaf, _placement(leaf, mesh, axis, place in whole))

    return tuple(jax.tree.map(functools.partial(put, place=place), arg) for place, arg in enumerate(args))


def _assert_close(actual, expected, rtol=2e-5, atol=2e-6):
    def check(a, b):
        if _is_key(jnp.asarray(a)):
            a, b = jax.random.key_data(a), jax.random.key_data(b)
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=rtol, atol=atol)

    jax.tree.map(check, actual, expected)


@pytest.mark.parametrize("room", ROOMS)
def test_every_public_name_has_an_example_or_a_reason(room):
    module, protocol = _room(room)
    covered = set(protocol.EXAMPLES) | set(protocol.HOST)
    assert set(module.__all__) == covered, "public names and protocol entries differ"
    for name in module.__all__:
        assert (getattr(module, name).__doc__ or "").strip(), f"{name} has no docstring"
        if inspect.isfunction(getattr(module, name)):
            signature = inspect.signature(getattr(module, name))
            missing = [p for p in signature.parameters.values() if p.annotation is inspect.Parameter.empty]
            assert not missing, f"{name} has parameters without annotation: {missing}"


def _names():
    """The first example of every function; its further ones take long together."""
    return [pytest.param(name, marks=[] if name.endswith("-0") else [pytest.mark.long]) for name in EXAMPLES]


def _is_mapped(name):
    """One function in three, by its name: the others are mapped and divided by `make test-all`."""
    return zlib.crc32(name.encode()) % 3 == 0


@pytest.mark.parametrize("name", _names())
def test_transforms(name, mesh):
    example = EXAMPLES[name]
    function, args = _of_arrays(example)
    compiled = _with_gradient(example, function)
    expected, gradients = compiled(*args)
    for leaf in jax.tree.leaves(gradients):
        assert np.all(np.isfinite(leaf))

    if example.where is not None:
        _assert_close(compiled(*_poisoned(example, args)), (expected, gradients))

    if _is_mapped(name):
        _assert_equal_mapped_and_divided(example, function, args, lambda *args: compiled(*args)[0], mesh)


@pytest.mark.long
@pytest.mark.parametrize("name", [name for name in EXAMPLES if not _is_mapped(name)])
def test_mapped_and_divided(name, mesh):
    function, args = _of_arrays(EXAMPLES[name])
    _assert_equal_mapped_and_divided(EXAMPLES[name], function, args, jax.jit(function), mesh)


def _assert_equal_mapped_and_divided(example, function, args, compiled, mesh):
    """Two problems by `vmap`, their arguments divided over the devices, are what each of them alone is."""
    expected = compiled(*args)
    if example.vmappable:
        turned = jax.tree.map(lambda leaf: leaf if _is_key(leaf) or leaf.ndim == 0 else jnp.flip(leaf, axis=0), args)
        both = jax.tree.map(lambda *leaves: jnp.stack(leaves), args, turned)
        mapped = jax.jit(jax.vmap(function))(*(_divided(both, mesh, axis=1) if example.shardable else both))
        for index, single in enumerate((expected, compiled(*turned))):
            _assert_close(jax.tree.map(lambda leaf, i=index: leaf[i], mapped), single)
    elif example.shardable:
        _assert_close(jax.jit(function)(*_divided(args, mesh, axis=0)), expected)


# Single examples that do not keep a promise in a room that does otherwise: a function or one of its examples, and why.
# An example that keeps its promise after all is an error, so that this table only shrinks too.
NOT_KEPT: dict[str, dict[str, str]] = {
    "shapes": {
        **dict.fromkeys(
            (
                "networks.DNN",
                "networks.apply_function",
                "posterior.bbp",
                "posterior.dense",
                "posterior.laplace",
                "posterior.noisy_dense",
                "posterior.predict",
                "posterior.predict_forecast",
            ),
            "the model, which may be the user's own, is the first to see inputs of another width",
        ),
        **dict.fromkeys(
            (
                "posterior.best_prior",
                "posterior.kl_to_prior",
                "posterior.linearised_at",
                "posterior.log_marginal_likelihood",
                "posterior.output_variance",
            ),
            "two trees of one state, made by `init` in one shape, are not compared again",
        ),
        **dict.fromkeys(
            ("molecules.scale_labels", "molecules.unscale_mean", "molecules.unscale_variance"),
            "values of tasks may have any leading axes; another last axis is an error",
        ),
        "language.finetune_step": "the loss, which may be the user's own, is the first to see the batch",
        "posterior.kronecker_factors": "gradients may have more leading axes, of roots",
        "posterior.merge": "puts leaves of any shape beside each other",
    },
    "types": {
        **dict.fromkeys(
            ("networks.dequantize", "networks.quantize", "networks.quantize_params"),
            "the scales of these formats are single precision, of double-precision kernels too",
        ),
        **dict.fromkeys(
            ("language.init_adapters", "networks.init_adapter"),
            "drawn from a key alone, in single precision, as flax draws parameters",
        ),
    },
    "empty": {"networks.pack_graphs": "padding takes the features of some atom, and there is none"},
    "explicit": {
        "posterior.bbp": "a bias divided over the axis that divides the rows: their sum has no placement",
        "posterior.dense": "a bias divided over the axis that divides the rows: their sum has no placement",
        "posterior.noisy_dense": "a bias divided over the axis that divides the rows: their sum has no placement",
    },
}


def _promised(promise, keep=lambda example: True):
    """Names of the examples of the rooms that keep the promise, as parameters; single ones that do not are marked.

    Further examples of a function are left to the long tests.
    """

    def parameter(name):
        reasons = NOT_KEPT.get(promise, {})
        reason = reasons.get(name) or reasons.get(name.rpartition("-")[0])
        marks = [pytest.mark.xfail(strict=True, reason=reason)] if reason else []
        return pytest.param(name, marks=marks if name.endswith("-0") else [*marks, pytest.mark.long])

    return [parameter(name) for name, example in EXAMPLES.items() if keep(example)]


def _label_place(name):
    """Which argument of an example holds class labels; None if none does."""
    room, rest = name.split(".")
    return getattr(_room(room)[1], "LABELS", {}).get(rest.partition("-")[0])


def _limits(name):
    """The edges of an example's arguments: `{place: values}`, said of the function or of one of its examples."""
    room, rest = name.split(".")
    edges = getattr(_room(room)[1], "LIMITS", {})
    return edges.get(rest, edges.get(rest.partition("-")[0] if rest.endswith("-0") else rest, {}))


LABELLED = [name for name in EXAMPLES if _label_place(name) is not None]


def _as_type(args, dtype):
    """The arguments with their floating arrays in another type."""

    def convert(leaf):
        return leaf.astype(dtype) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf

    return jax.tree.map(convert, args)


def _types(function, args):
    """The floating types of the results."""
    return {leaf.dtype for leaf in _floats(jax.eval_shape(function, *args))}


def _floats(tree):
    return [leaf for leaf in jax.tree.leaves(tree) if jnp.issubdtype(leaf.dtype, jnp.floating)]


@pytest.mark.parametrize("name", _promised("shapes"))
def test_a_shape_that_would_only_broadcast_is_an_error(name, unchecked):
    function, args = _of_arrays(EXAMPLES[name])
    shaped = [any(not _is_key(leaf) and leaf.ndim for leaf in jax.tree.leaves(arg)) for arg in args]
    others = [place for place, has_shape in enumerate(shaped) if has_shape][1:]
    places = [place for place in others if isinstance(args[place], jax.Array)]
    if not places:
        pytest.skip("one array cannot disagree")
    for place in places:
        sizes = {
            leaf.shape[axis]
            for other, arg in enumerate(args)
            if other != place and other not in EXAMPLES[name].whole
            for leaf in jax.tree.leaves(arg)
            for axis in range(leaf.ndim)
        }
        shorter = [args[place][:-1]] if args[place].shape[0] in sizes else []  # else nothing counts the same rows
        for wrong in (args[place][..., None], args[place][None], *shorter):
            with pytest.raises(ArrayError, match=r"has shape \("):
                jax.eval_shape(function, *args[:place], wrong, *args[place + 1 :])


@pytest.mark.parametrize("half", [jnp.bfloat16, pytest.param(jnp.float16, marks=pytest.mark.long)])
@pytest.mark.parametrize("name", _promised("types"))
def test_sums_are_taken_in_single_precision_at_least(name, half):
    function, args = _of_arrays(EXAMPLES[name])
    single, double = jnp.dtype(jnp.float32), jnp.dtype(jnp.float64)
    plain = _types(function, args)
    assert plain <= {single}  # none where all results are whole numbers or truth values
    keeps_type = EXAMPLES[name].keeps_type
    with jax.numpy_dtype_promotion("standard" if keeps_type else "strict"):  # flax's norms widen by promotion
        found = _types(function, _as_type(args, half))
        assert found | {single} == {jnp.dtype(half), single} if keeps_type else found == plain
        with jax.enable_x64(True):
            assert _types(function, _as_type(args, jnp.float64)) == ({double} if plain else set())


def _draws(function, args):
    """Whether it draws numbers, which are others in double precision."""
    program = str(jax.make_jaxpr(function)(*args))
    return "random_bits" in program or "threefry2x32" in program


# Those that are layers, or call a model of the caller's, beside the ones that hold parameters whole.
_MODELS = {
    "experts.merged_output",
    "posterior.batch_ensemble",
    "posterior.laplace",
    "posterior.predict",
    "posterior.predict_forecast",
}
# The state of the one holds what rounding took in half precision; the other takes steps whose roundings add up.
_RESTS = {"posterior.psgld", "training.minibatch_training"}


@pytest.mark.long
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", [name for name in EXAMPLES if name.rpartition("-")[0] not in _RESTS])
def test_half_precision_is_wider_precision_of_the_same_numbers(name, dtype):
    """Double precision; single where numbers are drawn.

    A model in half precision rounds the result of each of its products, and norms of few numbers enlarge that here and
    there: its results are compared as a whole.
    """
    example = EXAMPLES[name]
    function, args = _of_arrays(example)
    halves = _as_type(args, dtype)
    with jax.numpy_dtype_promotion("standard" if example.keeps_type else "strict"):
        actual = jax.jit(function)(*halves)
        drawn = _draws(function, halves)
        with jax.enable_x64(not drawn):
            wide = jnp.float32 if drawn else jnp.float64
            expected = jax.jit(function)(*_as_type(halves, wide))
    rounding = float(jnp.finfo(dtype).eps)
    if example.whole or name.rpartition("-")[0] in _MODELS:
        for one, other in zip(_floats(actual), _floats(expected)):
            one, other = np.asarray(one, np.float64), np.asarray(other)
            assert np.linalg.norm(one - other) <= 16 * rounding * np.linalg.norm(other)  # of squares, too
        return
    rounding = rounding if example.keeps_type else 2e-5
    _assert_close(actual, expected, rtol=rounding, atol=rounding)


def _shaped(args, mesh, axis, whole=()):
    """Shapes of the arguments, divided over the mesh as `_divided` would, but for those at the places in `whole`."""

    def shape(leaf, place):
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=_placement(leaf, mesh, axis, place in whole))

    return tuple(jax.tree.map(functools.partial(shape, place=place), arg) for place, arg in enumerate(args))


@pytest.mark.parametrize("name", _promised("explicit", lambda example: example.shardable))
def test_explicit_meshes_are_traced(name):
    """With `jax.make_mesh`'s default, types carry shardings and are checked while tracing."""
    example = EXAMPLES[name]
    function, args = _of_arrays(example)
    explicit = jax.make_mesh((8,), ("data",))
    with jax.set_mesh(explicit):
        _with_gradient(example, function).trace(*_shaped(args, explicit, 0, example.whole))
        if _is_mapped(name):
            _trace_mapped(example, function, args, explicit)


def _trace_mapped(example, function, args, explicit):
    if example.vmappable:
        both = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), args)
        jax.jit(jax.vmap(function)).trace(*_shaped(both, explicit, 1, example.whole))


@pytest.mark.long
@pytest.mark.parametrize("name", _promised("explicit", lambda example: example.shardable))
def test_explicit_meshes_change_no_number(name):
    example = EXAMPLES[name]
    function, args = _of_arrays(example)
    expected = jax.jit(function)(*args)
    explicit = jax.make_mesh((8,), ("data",))
    with jax.set_mesh(explicit):
        _assert_close(jax.jit(function)(*_divided(args, explicit, 0, example.whole)), expected)
        _trace_mapped(example, function, args, explicit)


@pytest.mark.parametrize("name", _promised("shard_map", lambda example: example.vmappable))
def test_shard_map_with_its_checks_is_traced(name):
    """Eight problems on eight devices, with gradients."""
    example = EXAMPLES[name]
    function, args = _of_arrays(example)
    devices = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))

    def local(*blocks):
        single = jax.tree.map(lambda leaf: leaf[0], blocks)
        return jax.tree.map(lambda leaf: leaf[None], _with_gradient(example, function)(*single))

    eight = jax.tree.map(lambda leaf: jnp.stack([leaf] * 8), args)
    spec = jax.sharding.PartitionSpec("data")
    jax.jit(jax.shard_map(local, mesh=devices, in_specs=spec, out_specs=spec)).trace(*eight)


@pytest.mark.parametrize(
    "name", _promised("jit_vmap_grad", lambda example: example.vmappable and bool(example.differentiable))
)
def test_jit_of_vmap_of_grad_is_traced(name):
    example = EXAMPLES[name]
    function, args = _of_arrays(example)
    jax.jit(jax.vmap(_with_gradient(example, function))).trace(*jax.tree.map(lambda leaf: jnp.stack([leaf] * 2), args))


# Functions of labels or tokens that are no class among a known number of them, and why.
_NO_CLASSES = {
    "confidence.substituted_tokens": "a text that is read",
    "confidence.substitutions": "a text that is read",
    "language.score_tokens": "a text that is read; token_scores gives its numbers",
    "language.steer_logits": "a text so far, which has places without a token",
    "tagging.best_consensus": "compared with votes alone; -1 is padding",
    "training.update_dynamics": "an example whose label is no class is not observed",
    "tuning.adapter_factors": "its likelihood is that of answer_loss",
    "tuning.stated_token_loss": "its loss is stated_confidence_loss",
}


def test_every_argument_of_classes_is_declared():
    """So that the next test tries it with numbers that are no class."""
    wanted = set()
    for room in ROOMS:
        module, protocol = _room(room)
        for name in protocol.EXAMPLES:
            parameters = inspect.signature(getattr(module, name)).parameters.values()
            kinds = {p.name: str(p.annotation) for p in parameters}
            if "correct" in kinds or any("Int" in kinds.get(kind, "") for kind in ("labels", "targets", "tokens")):
                wanted.add(f"{room}.{name}")
    declared = {name.rpartition("-")[0] for name in LABELLED}
    assert wanted <= declared | set(_NO_CLASSES)
    assert not declared & set(_NO_CLASSES)


@pytest.mark.parametrize("name", [name for name in LABELLED if name.endswith("-0")])
def test_a_label_out_of_range_is_not_read_as_another(name):
    example, place = EXAMPLES[name], _label_place(name)
    function, args = _of_arrays(example)
    compiled = jax.jit(function)
    kept = np.ones(args[place].shape, bool) if example.where is None else np.asarray(example.where)
    chosen, left = np.argwhere(kept)[1], np.argwhere(~kept)

    def with_label(index, label):
        labels = np.array(args[place])
        labels[tuple(index)] = label
        return compiled(*args[:place], jnp.asarray(labels), *args[place + 1 :])

    expected = compiled(*args)
    of_classes = args[0].ndim > args[place].ndim and jnp.issubdtype(args[0].dtype, jnp.floating)
    classes = args[0].shape[-1] if of_classes else args[place].max() + 1
    for label in (-1, -100, classes, 5000):
        result, *_ = _floats(with_label(chosen, label))
        wrong = np.isnan(np.asarray(result))
        if wrong.ndim and wrong.shape == args[place].shape[: wrong.ndim]:  # the loss of this entry alone
            assert wrong[tuple(chosen[: wrong.ndim])] and wrong.sum() == 1
        else:
            assert wrong.all()
        if len(left):
            _assert_close(with_label(left[0], label), expected)


@pytest.mark.parametrize("name", [name for name in EXAMPLES if _limits(name)])
def test_infinities_and_certainties_are_limits(name):
    """An infinite logit, a probability of 0 or 1, a variance of 0: neither the value nor the gradient is NaN."""
    example = EXAMPLES[name]
    function, args = _of_arrays(example)
    compiled = _with_gradient(example, function)
    before, _ = compiled(*args)
    for place, values in _limits(name).items():
        leaves, tree = jax.tree.flatten(args[place])
        kept = np.ones(leaves[0].shape, bool) if example.where is None else np.asarray(example.where)
        for value in values:
            for index in np.argwhere(kept)[[1, -1]]:  # two entries, whose labels differ for most
                edge = np.array(leaves[0])
                edge[tuple(index)[: edge.ndim] + (0,) * (edge.ndim - len(index))] = value
                at_edge = jax.tree.unflatten(tree, [jnp.asarray(edge), *leaves[1:]])
                found = compiled(*args[:place], at_edge, *args[place + 1 :])
                value_of, slopes = found
                new = [np.isnan(a).any() and not np.isnan(b).any() for a, b in zip(_floats(value_of), _floats(before))]
                assert not any(new), f"argument {place} holds {value}: the value is NaN"
                finite = all(np.isfinite(leaf).all() for leaf in _floats(value_of))
                for number, slope in zip(example.differentiable, slopes):
                    if finite or number == place:  # an infinite loss has no slope in its other arguments
                        assert not any(np.isnan(leaf).any() for leaf in _floats(slope)), (
                            f"argument {place} holds {value}: the slope in argument {number} is NaN"
                        )


@pytest.mark.parametrize(
    "name",
    _promised("empty", lambda example: example.shardable and example.rows is not None),
)
def test_no_entries_are_no_error(name):
    example = EXAMPLES[name]
    function, args = _of_arrays(example)
    place = example.masked[0] if example.masked else example.rows
    entries = jax.tree.leaves(args[place])[0].shape[0]

    def emptied(leaf):
        if _is_key(leaf):
            return leaf
        rows = list(itertools.takewhile(lambda size: size == entries, leaf.shape))  # two of them where rows are paired
        return leaf[(slice(0),) * len(rows)]

    def of_rows(arg):
        return all(leaf.shape[:1] == (entries,) for leaf in jax.tree.leaves(arg) if not _is_key(leaf) and leaf.ndim)

    nothing = tuple(jax.tree.map(emptied, arg) if of_rows(arg) else arg for arg in args)
    jax.eval_shape(function, *nothing)
    if name.startswith("metrics.") and not any(
        part in name for part in ("rank_methods", "mean_r", "curve", "average_over")
    ):
        result = jax.jit(function)(*nothing)
        leaves = _floats(getattr(result, "observed", result))
        assert all(np.isnan(np.asarray(leaf)).all() for leaf in leaves)


@pytest.mark.long
@pytest.mark.parametrize("name", EXAMPLES)
def test_jit_equals_eager(name):
    function, args = _of_arrays(EXAMPLES[name])
    _assert_close(jax.jit(function)(*args), function(*args))
