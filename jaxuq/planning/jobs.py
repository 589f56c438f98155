"""What a job runs, as programs that can be compiled from shapes: reading, a step of decoding, a gradient, an update."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import PyTree

from jaxuq.language import (
    FinetuneConfig,
    Generation,
    TokenBatch,
    cross_entropy,
    init_finetuning,
    make_optimizer,
    score_tokens,
    start_generation,
)
from jaxuq.language.finetune import compiled_step
from jaxuq.language.generation import continue_generation
from jaxuq.networks import DecoderConfig, LoraConfig
from jaxuq.networks.linear import LINEAR_LAYERS
from jaxuq.networks.sharding import member_sharding
from jaxuq.planning.shapes import abstract_decoder, rows_on, shapes_on


class Request(NamedTuple):
    """What is asked of a plan.

    Attributes:
        config: the model's shape; of `molecules` and `tagging` a name.
        mesh: of devices that are only pretended.
        rows: of a batch, over all devices.
        tokens: of a row, prompt and answer together.
        new_tokens: of an answer.
        members: of an ensemble or experts of a question.
        rank: of adapters.
        dtype: of parameters and activations.
    """

    config: Any
    mesh: Mesh
    rows: int
    tokens: int
    new_tokens: int
    members: int
    rank: int
    dtype: Any


class Stage(NamedTuple):
    """One program of a job.

    Attributes:
        name: what it does.
        function: of the arguments; jitted.
        arguments: shapes on the mesh.
        times: that it runs for a batch.
        classes: names of what it holds and returns, as functions of arguments and of the result: `weights`, `adapters`,
            `cache`, `captured`.
        unit: what `times` counts.
    """

    name: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    times: int
    classes: Mapping[str, Callable[[Any, Any], PyTree]]
    unit: str = "batch"


_EVERYWHERE = LINEAR_LAYERS


def _rows_on(*args: Any, **kwargs: Any) -> Any:
    """A shape in the place of an array."""
    return rows_on(*args, **kwargs)


def _scalar(mesh: Mesh, dtype: Any) -> Any:
    return jax.ShapeDtypeStruct((), dtype, sharding=NamedSharding(mesh, PartitionSpec()))


def _keys(request: Request) -> Any:
    kind = jax.eval_shape(lambda: jax.random.key(0)).dtype
    return _rows_on(request.mesh, (request.rows,), kind)


def _generating(request: Request, model: Any, params: PyTree, weights: Callable, captured: bool) -> list[Stage]:
    """Prompts are read, then tokens are made one by one."""
    mesh, width = request.mesh, request.tokens - request.new_tokens

    def start(params: PyTree, prompts: Any, lengths: Any, keys: Any) -> Generation:
        return start_generation(
            model, params, prompts, lengths, keys, capacity=request.new_tokens, keep_hidden=captured,
            keep_queries=captured,
        )  # fmt: skip

    def advance(params: PyTree, state: Generation) -> Generation:
        return continue_generation(model, params, state, until=request.new_tokens)

    arguments = (params, _rows_on(mesh, (request.rows, width)), _rows_on(mesh, (request.rows,)), _keys(request))
    read = jax.jit(start)
    kinds = {
        "weights": weights,
        "cache": lambda _, state: state.cache,
        "captured": lambda _, state: (state.queries, state.hidden),
    }

    def state_shapes(compiled: Any) -> Generation:
        found = jax.eval_shape(read, *arguments)
        return jax.tree.map(
            lambda leaf, place: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place),
            found, compiled.output_shardings,
        )  # fmt: skip

    step = jax.jit(advance, donate_argnums=1)
    return [
        Stage("read the prompts", read, arguments, 1, kinds),
        Stage("make a token", step, (params, state_shapes), request.new_tokens - 1, kinds, "token"),
    ]


def confidence(request: Request) -> list[Stage]:
    """Answers with all that the measures read: scores, hidden states, queries and keys."""
    decoder, params, _ = abstract_decoder(request.config, request.mesh, dtype=request.dtype)
    return _generating(request, decoder, {"params": params}, lambda given, _: given[0], captured=True)


def experts(request: Request) -> list[Stage]:
    """Answers by several adapters at once, whose logits are combined."""
    from jaxuq.experts.decoding import ExpertParams, expert_model

    decoder, params, stacked = _members(request)
    votes = _rows_on(request.mesh, (request.rows, request.members), jnp.float32)
    model = expert_model(decoder)
    stages = _generating(
        request, model, ExpertParams(params, stacked, votes), lambda given, _: given[0].params, captured=False
    )
    return [
        stage._replace(classes={**stage.classes, "adapters": lambda given, _: given[0].experts}) for stage in stages
    ]


def ensemble(request: Request) -> list[Stage]:
    """Given texts scored by several adapters at once."""
    from jaxuq.experts.decoding import ExpertParams, expert_model

    decoder, params, stacked = _members(request)
    votes = _rows_on(request.mesh, (request.rows, request.members), jnp.float32)
    model = expert_model(decoder)
    tokens = _rows_on(request.mesh, (request.rows, request.tokens))
    arguments = (ExpertParams(params, stacked, votes), tokens)
    kinds = {"weights": lambda given, _: given[0].params, "adapters": lambda given, _: given[0].experts}
    score = jax.jit(lambda params, tokens: score_tokens(model, params, tokens))
    return [Stage("score the texts", score, arguments, 1, kinds)]


def _members(request: Request) -> tuple[Any, PyTree, PyTree]:
    lora = LoraConfig(rank=request.rank, targets=_targets(request.config))
    decoder, params, adapters = abstract_decoder(request.config, request.mesh, dtype=request.dtype, lora=lora)
    stacked = jax.tree_util.tree_map_with_path(lambda path, leaf: _stacked(path, leaf, request), adapters)
    return decoder, params, stacked


def _stacked(path: tuple, leaf: Any, request: Request) -> jax.ShapeDtypeStruct:
    shape, names = (request.members, *leaf.shape), [str(getattr(key, "key", key)) for key in path]
    return jax.ShapeDtypeStruct(shape, leaf.dtype, sharding=member_sharding(names, shape, request.mesh))


def _targets(config: DecoderConfig) -> tuple[str, ...]:
    return tuple(name for name in _EVERYWHERE if name in config.linear_layers)


def _batch(request: Request, *, before: tuple[int, ...] = ()) -> TokenBatch:
    shape = (*before, request.rows, request.tokens)
    whole = _rows_on(request.mesh, shape, axis=len(before))
    return TokenBatch(whole, whole, whole, _rows_on(request.mesh, shape, jnp.bool_, axis=len(before)))


def features(request: Request) -> list[Stage]:
    """Gradient features: the gradient of every example at one checkpoint, preconditioned and projected."""
    from jaxuq.experts.features import batch_features
    from jaxuq.experts.preconditioning import AdapterCheckpoint

    lora = LoraConfig(rank=request.rank, targets=_targets(request.config))
    decoder, params, adapters = abstract_decoder(request.config, request.mesh, dtype=request.dtype, lora=lora)
    number = _scalar(request.mesh, jnp.float32)
    checkpoint = AdapterCheckpoint(adapters, adapters, adapters, _scalar(request.mesh, jnp.int32), number)
    key = _scalar(request.mesh, jax.eval_shape(lambda: jax.random.key(0)).dtype)

    def run(params: PyTree, checkpoint: Any, key: Any, batch: TokenBatch) -> Any:
        return batch_features(
            params, (checkpoint,), key, batch, decoder=decoder, dimension=8192, kind="rademacher", preconditioned=True,
            convention="elrea", reduction="mean",
        )  # fmt: skip

    kinds = {"weights": lambda given, _: given[0], "adapters": lambda given, _: given[1]}
    return [Stage("features of a batch", jax.jit(run), (params, checkpoint, key, _batch(request)), 1, kinds)]


def tune(request: Request) -> list[Stage]:
    """One step of tuning adapters of all linear layers, blocks computed again in the backward pass."""
    lora = LoraConfig(rank=request.rank, targets=_targets(request.config))
    decoder, params, adapters = abstract_decoder(
        request.config, request.mesh, dtype=request.dtype, lora=lora, remat=True
    )
    config = FinetuneConfig(lora, batch_size=request.rows, max_length=request.tokens, remat=True)
    optimizer = make_optimizer(config, 1000)
    state = shapes_on(jax.eval_shape(lambda trained: init_finetuning(trained, optimizer), adapters), request.mesh)
    made: Any = compiled_step
    step = made(decoder, config, cross_entropy, 1000)
    arguments = (state, params, _batch(request, before=(1,)), None)
    kinds = {"weights": lambda given, _: given[1], "adapters": lambda given, _: given[0]}
    return [Stage("a step", step, arguments, 1, kinds)]
