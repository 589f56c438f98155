"""Training the gates of a mixture of LoRA experts (MoLE); model and experts stay as they are."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
from jaxtyping import Array, Key, PyTree

from jaxuq._arguments import typed
from jaxuq._errors import OptionError
from jaxuq._keys import named_key
from jaxuq.experts.mixture import init_gates, mixing, mixture_adapters
from jaxuq.language import LanguageModel
from jaxuq.language.batches import TokenBatch, make_batch, plan_batches, survey_examples
from jaxuq.language.tuning import (
    FinetuneConfig,
    finetune_step,
    init_finetuning,
    make_optimizer,
    response_loss,
)
from jaxuq.networks.sharding import place_params
from jaxuq.parallel import divide_rows, row_parts


@typed()
def train_gates(
    rng_key: Key[Array, ""],
    model: LanguageModel,
    experts: PyTree,
    data: Sequence[Any],
    config: FinetuneConfig,
    *,
    mesh: jax.sharding.Mesh | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> PyTree:
    r"""Learn the vectors $w_c$ of $\lambda_c = \mathrm{softmax}_c(w_c^\top x)$ in every adapted layer, from zero.

    Minimises the loss on response tokens with all other parameters frozen and without a term that balances the load, as
    the dissertation's baseline does.

    Args:
        rng_key: of the order of the data.
        model: its decoder has the adapters' configuration.
        experts: adapters with a leading axis.
        data: `Instruction`s.
        config: epochs, batches, learning rate.
        mesh: devices to divide the rows of a step over, see `LanguageModel.on_mesh`; None: where the model lies.
        on_progress: called with steps done and in all.

    Returns:
        Gates for `mixture_adapters` and `generate_by_experts(mix="gate")`.

    Raises:
        ValueError: the decoder has no adapters' configuration, or it is DoRA; the mesh cannot share the rows of a step.

    Example:
        See `mixing`.

    References:
        Y. Li. Uncertainty-aware and data-efficient fine-tuning and application of foundation models. 2025, D.4, Eq D.2.
        X. Wu, S. Huang, F. Wei. Mixture of LoRA experts. ICLR 2024.
    """
    lora = model.decoder.lora
    if lora is None:
        raise OptionError("this decoder has no adapters; make one that has: decoder.clone(lora=LoraConfig(rank=8))")
    model = model.on_mesh(mesh)
    mesh, parts = model.mesh, row_parts(model.mesh)
    if config.batch_size % parts:
        raise OptionError(f"{config.batch_size} rows at a time cannot be divided over {parts} devices evenly")
    decoder, scan = model.decoder.clone(lora=None), model.decoder.scan
    survey = survey_examples(data, max_length=config.max_length)
    seed = [int(part) for part in jax.random.key_data(named_key(rng_key, "order")).ravel()]
    plans = [
        plan
        for epoch in range(config.epochs)
        for plan in plan_batches(
            survey.lengths, batch_size=config.batch_size, max_length=config.max_length, seed=[*seed, epoch]
        )
    ]
    optimizer = make_optimizer(config, len(plans))

    def loss(gates: PyTree, frozen: Any, batch: TokenBatch, key: Any) -> tuple[Array, Array]:
        params, members = frozen
        variables = {"params": params, "lora": mixture_adapters(members, scan=scan, gates=gates)}
        with mixing("gate", lora.scale):
            return response_loss(decoder, variables, batch)

    @jax.jit
    def step(state: Any, frozen: Any, batches: TokenBatch) -> Any:
        return finetune_step(state, frozen, batches, None, loss=loss, optimizer=optimizer)[0]

    experts = place_params(experts, mesh)
    state = place_params(init_finetuning(init_gates(experts, scan=scan), optimizer), mesh)
    for number, plan in enumerate(plans):
        batch = jax.tree.map(lambda leaf: leaf[None], make_batch(data, plan, batch_size=config.batch_size))
        state = step(state, (model.params, experts), divide_rows(batch, mesh, axis=1))
        if on_progress is not None:
            on_progress(number + 1, len(plans))
    return state.trained
