"""What goes into every dense layer of a model and what its outputs' gradients are, whatever library the model is from.

The model is traced once; where a matrix of parameters is multiplied, the other factor is noted and a zero is added to
the product. The gradients in these zeros are those of the layer's outputs, so no Jacobian in the parameters is formed.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.extend.core import Literal
from jaxtyping import Array, Float

from jaxuq._errors import OptionError
from jaxuq._meshes import vary_like
from jaxuq.posterior._model import Params, is_number

_INLINED = ("jit", "pjit", "closed_call", "core_call", "remat", "remat2", "checkpoint", "custom_jvp_call")
_PASSED = ("convert_element_type", "copy", "copy_p", "reduce_precision", "pvary", "mesh_cast")


class Layer(NamedTuple):
    """A dense layer among the leaves of a tree.

    Attributes:
        path: of its matrix, for messages.
        kernel: number of its matrix among the leaves, `[..., inputs, outputs]`.
        transposed: whether that is `[..., outputs, inputs]`.
        bias: number of its bias, or None.
    """

    path: str
    kernel: int
    transposed: bool
    bias: int | None

    def matrix(self, leaves: Sequence[Array]) -> Float[Array, "*stack inputs outputs"]:
        """Matrix and bias as one, the bias as its last row."""
        kernel = leaves[self.kernel]
        kernel = jnp.swapaxes(kernel, -1, -2) if self.transposed else kernel
        if self.bias is None:
            return kernel
        return jnp.concatenate([kernel, leaves[self.bias][..., None, :].astype(kernel.dtype)], axis=-2)

    def put(self, matrix: Float[Array, "*stack inputs outputs"], leaves: list[Any]) -> None:
        """The inverse of `matrix`."""
        kernel = matrix if self.bias is None else matrix[..., :-1, :]
        leaves[self.kernel] = jnp.swapaxes(kernel, -1, -2) if self.transposed else kernel
        if self.bias is not None:
            leaves[self.bias] = matrix[..., -1, :]


def layers_of(params: Params) -> tuple[Layer, ...]:
    """The dense layers of a frozen tree: each matrix, and the vector beside it that fits its outputs.

    A matrix is `[inputs, outputs]` unless the bias beside it fits its first axis alone or, where that does not decide,
    it is called `weight`, as in equinox.
    """
    found = jax.tree_util.tree_flatten_with_path(params)[0]
    paths = [_path(path) for path, _ in found]
    shapes = [leaf.shape if is_number(leaf) else None for _, leaf in found]
    vectors = {i: shape[0] for i, shape in enumerate(shapes) if shape is not None and len(shape) == 1}
    layers = []
    for i, shape in enumerate(shapes):
        if shape is None or len(shape) not in (2, 3):
            continue
        parent, name = paths[i][:-1], paths[i][-1]
        beside = [j for j in sorted(vectors) if paths[j][:-1] == parent and vectors[j] in shape[-2:]]
        if len(beside) > 1:
            beside = [j for j in beside if _ending(paths[j][-1]) == _ending(name)]
        bias = beside[0] if len(shape) == 2 and len(beside) == 1 else None
        transposed = name == "weight"
        if bias is not None and shape[0] != shape[1]:
            transposed = vectors[bias] == shape[0]
        layers.append(Layer("/".join(paths[i]), i, transposed, bias))
        vectors = {j: size for j, size in vectors.items() if j != bias}
    known = {layer.kernel for layer in layers} | {layer.bias for layer in layers}
    for i, shape in enumerate(shapes):
        if shape is not None and i not in known:
            raise OptionError(
                f"the leaf {'/'.join(paths[i])!r} of shape {shape} is no matrix of a dense layer nor its bias; "
                "take the structure 'diagonal' or 'low_rank', or leave it out by `on_part`"
            )
    return tuple(layers)


def _path(path: Any) -> list[str]:
    parts = jax.tree_util.keystr(path, simple=True, separator="/").split("/")
    return parts[:-1] if len(parts) > 1 and parts[-1] in ("value", "raw_value") else parts


def _ending(name: str) -> str:
    return name.lstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")


class Tapped(NamedTuple):
    """A model run with taps.

    Attributes:
        outputs: of the model.
        inputs: of each layer, `[*rows, inputs]`.
        pull: `pull(cotangents) -> gradients` in each layer's outputs, `[*rows, outputs]`.
    """

    outputs: Array
    inputs: list[Array]
    pull: Callable[[Array], list[Array]]


def run_tapped(function: Callable[[list[Array]], Array], leaves: list[Array], layers: Sequence[Layer]) -> Tapped:
    """Run a function of parameter leaves and keep what its dense layers see."""
    closed = jax.make_jaxpr(function)(leaves)
    widths = [leaves[layer.kernel].shape[0 if layer.transposed else 1] for layer in layers]

    def run(taps: list[Array] | None) -> tuple[Array, list[Array]]:
        reader = _Reader(layers, taps)
        origins = [(_origin(layers, i), value) for i, value in enumerate(leaves)]
        (_, outputs), *_ = reader.read(closed.jaxpr, closed.consts, origins)
        for number, layer in enumerate(layers):
            if number not in reader.seen:
                raise OptionError(f"the model multiplies nothing by {layer.path!r}; leave it out with `on_part`")
        return outputs, [reader.seen[number] for number in range(len(layers))]

    shapes = jax.eval_shape(lambda: run(None)[1])
    taps = [jnp.zeros((*shape.shape[:-1], width), shape.dtype) for shape, width in zip(shapes, widths)]
    taps = vary_like(taps, leaves)
    outputs, pull, inputs = jax.vjp(run, taps, has_aux=True)
    return Tapped(outputs, inputs, lambda cotangents: pull(cotangents)[0])


def _origin(layers: Sequence[Layer], leaf: int) -> tuple[int, bool] | None:
    """Number of the layer whose matrix a leaf is, and whether it stands transposed."""
    return next(((number, False) for number, layer in enumerate(layers) if layer.kernel == leaf), None)


class _Reader:
    """Evaluates a program; values go along with where they come from."""

    def __init__(self, layers: Sequence[Layer], taps: list[Array] | None):
        self.layers, self.taps = layers, taps
        self.seen: dict[int, Array] = {}

    def read(self, jaxpr: Any, consts: Sequence[Any], args: Sequence[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
        """Outputs with their origins."""
        env = {var: (None, value) for var, value in zip(jaxpr.constvars, consts)}
        env.update(zip(jaxpr.invars, args))

        def get(atom: Any) -> tuple[Any, Any]:
            return (None, atom.val) if isinstance(atom, Literal) else env[atom]

        for eqn in jaxpr.eqns:
            env.update(zip(eqn.outvars, self.apply(eqn, [get(atom) for atom in eqn.invars])))
        return [get(atom) for atom in jaxpr.outvars]

    def apply(self, eqn: Any, args: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
        """One operation."""
        name, values = eqn.primitive.name, [value for _, value in args]
        origins = [origin for origin, _ in args if origin is not None]
        if origins and name in _INLINED:
            inner = eqn.params.get("jaxpr") or eqn.params.get("call_jaxpr")
            return self.read(getattr(inner, "jaxpr", inner), getattr(inner, "consts", ()), args)
        if origins and name == "dot_general":
            return [(None, self.multiply(eqn, args))]
        bound = eqn.primitive.get_bind_params(eqn.params)  # a pair up to jax 0.9, then the options alone
        functions, options = bound if isinstance(bound, tuple) else ((), bound)
        results = eqn.primitive.bind(*functions, *values, **options)
        results = list(results) if eqn.primitive.multiple_results else [results]
        origin = None
        if origins:
            if name == "transpose" and len(origins) == 1:
                origin = (origins[0][0], not origins[0][1])
            elif name in _PASSED or (name == "reshape" and results[0].shape == values[0].shape):
                origin = origins[0]
            else:
                raise OptionError(
                    f"the matrix {self.layers[origins[0][0]].path!r} goes into {name!r}, not only into a product with "
                    "the layer's inputs; take the structure 'diagonal' or 'low_rank', or leave it out by `on_part`"
                )
        return [(origin, result) for result in results]

    def multiply(self, eqn: Any, args: list[tuple[Any, Any]]) -> Any:
        """A product with a layer's matrix: notes its inputs and adds its tap."""
        place = 0 if args[0][0] is not None else 1
        number, flipped = args[place][0]
        layer = self.layers[number]
        contracted, batched = eqn.params["dimension_numbers"]
        inputs = args[1 - place][1]
        if args[1 - place][0] is not None or len(contracted[place]) != 1 or batched[0]:
            raise OptionError(f"the matrix {layer.path!r} is not multiplied by inputs of a dense layer")
        if number in self.seen:
            raise OptionError(f"the matrix {layer.path!r} is multiplied twice; take the structure 'diagonal'")
        if (contracted[place][0] == 1) != (layer.transposed != flipped):
            raise OptionError(
                f"the model reads {layer.path!r} as [{'inputs, outputs' if layer.transposed else 'outputs, inputs'}], "
                f"which its name and bias do not show; call it {'kernel' if layer.transposed else 'weight'!r}"
            )
        self.seen[number] = jnp.moveaxis(inputs, contracted[1 - place][0], -1)
        product = eqn.primitive.bind(*[value for _, value in args], **eqn.params)
        if self.taps is None:
            return product
        tap = self.taps[number].astype(product.dtype)
        return product + (jnp.moveaxis(tap, -1, 0) if place == 0 else tap)


def num_rows(inputs: Array) -> int:
    """Rows of a layer's inputs."""
    return math.prod(inputs.shape[:-1])
