"""From prompts to answers by experts, each with what the members thought of its tokens."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key, PyTree

from jaxuq._arguments import typed
from jaxuq._errors import OptionError
from jaxuq._options import check_count
from jaxuq.experts.decoding import generate_by_experts
from jaxuq.experts.mixture import Mixing
from jaxuq.language import LanguageModel, decode_tokens
from jaxuq.language.sampling import GREEDY, Sampling
from jaxuq.language.tokenization import stop_tokens
from jaxuq.networks.model import check_decoder
from jaxuq.networks.sharding import place_members, place_params
from jaxuq.parallel import on_host, pad_rows, plan_rows, row_parts


class ExpertAnswer(NamedTuple):
    """One answer. Arrays have one entry a token of the answer.

    Attributes:
        prompt: index of the prompt.
        text: without special tokens.
        tokens: numbers; the stop token included.
        finish: `stop`, or `length` (as long as was allowed).
        log_probs: of each token by the ensemble, at temperature 1, in nats.
        entropies: of that distribution.
        member_log_probs: of each token by each member, NaN for members of weight zero.
        mutual_information: between token and member; the ensemble's disagreement.
        variances: of the members' log-probabilities.
        weights: of the members for this prompt.
    """

    prompt: int
    text: str
    tokens: Int[np.ndarray, " tokens"]
    finish: str
    log_probs: Float[np.ndarray, " tokens"]
    entropies: Float[np.ndarray, " tokens"]
    member_log_probs: Float[np.ndarray, "tokens members"]
    mutual_information: Float[np.ndarray, " tokens"]
    variances: Float[np.ndarray, " tokens"]
    weights: Float[np.ndarray, " members"]

    @property
    def probability(self) -> float:
        """Of the whole answer, by the ensemble."""
        return float(np.exp(self.log_probs.sum()))


@typed()
def answer_by_experts(
    model: LanguageModel,
    experts: PyTree | None,
    prompts: Sequence[Int[np.ndarray, " _"]],
    weights: Float[np.ndarray, "prompts members"],
    *,
    max_new_tokens: int,
    sampling: Sampling = GREEDY,
    rng_key: Key[Array, ""] | int = 0,
    batch_size: int = 8,
    mix: Mixing | None = None,
    gates: PyTree | None = None,
    mesh: jax.sharding.Mesh | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[ExpertAnswer]:
    """Answer prompts by the weighted logits of experts, or by their mixture within layers.

    Prompts whose weights are positive for the same members share batches, and only these members run: an expert that a
    question has no weight for costs nothing. An answer depends on its prompt, its weights, its index and `rng_key`.

    Args:
        model: its decoder has the adapters' configuration.
        experts: adapters with a leading axis of members; None: the plain model is the one member.
        prompts: tokens of each, of `encode_prompt`.
        weights: of the members for each prompt, not negative, with a positive sum.
        max_new_tokens: the longest answer.
        sampling: how tokens are chosen.
        rng_key: a key or a seed.
        batch_size: prompts answered at a time.
        mix: see `generate_by_experts`.
        gates: see `generate_by_experts`.
        mesh: devices to divide the work over, see `LanguageModel.on_mesh`; None: where the model lies.
        on_progress: called with prompts done and in all.

    Returns:
        Answers in the order of the prompts.

    Raises:
        ValueError: an empty prompt, one that leaves no room for the answer, weights that are negative, not finite or
            all zero, or of another shape.
    """
    weights = np.asarray(weights, np.float32)
    check_decoder(model.decoder, "answering with experts")
    _check(model, prompts, weights, max_new_tokens, batch_size)
    model = model.on_mesh(mesh)
    experts, gates = place_members(experts, model.mesh), place_params(gates, model.mesh)
    key = rng_key if isinstance(rng_key, jax.Array) else jax.random.key(rng_key)
    stops = tuple(stop_tokens(model))
    decoder = model.decoder if experts is not None else model.decoder.clone(lora=None)
    answers: list[ExpertAnswer] = []
    together = mix is not None or experts is None
    parts = 1 if together or model.mesh is None else model.mesh.shape.get("expert", 1)
    members = [tuple(np.flatnonzero(np.ones_like(row) if together else row).tolist()) for row in weights]
    for batch in plan_rows(
        [len(prompt) for prompt in prompts], max_rows=batch_size, groups=members, devices=row_parts(model.mesh)
    ):
        group = batch.rows.tolist()
        used = list(members[group[0]])
        idle = -len(used) % parts  # so many take part with weight zero, that devices have as many members each
        chosen = experts
        if len(used) < weights.shape[1] or idle:
            at = np.array([*used, *[used[0]] * idle])
            chosen = jax.tree.map(lambda leaf, at=at: leaf[at], experts)
            chosen = place_members(chosen, model.mesh)
        tokens, lengths = map(jnp.asarray, pad_rows([prompts[index] for index in group], batch))
        padding = batch.size - len(group)
        shares = np.concatenate([weights[group][:, used], np.ones((padding, len(used)), np.float32)])
        shares = np.pad(shares, ((0, 0), (0, idle)))
        keys = jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.asarray([*group, *[0] * padding]))
        found = generate_by_experts(
            decoder, model.params, chosen, jnp.asarray(shares), tokens, lengths, keys, max_new_tokens=max_new_tokens,
            sampling=sampling, stop_tokens=stops, mix=mix, gates=gates,
        )  # fmt: skip
        found = on_host(found._replace(rng_keys=None, cache=None))
        for row, index in enumerate(group):
            count = int(found.num_generated[row])
            said = found.observed
            width = weights.shape[1] if said.member_log_probs.shape[-1] == len(used) + idle else 1
            member_log_probs = np.full((count, width), np.nan, np.float32)
            thought = said.member_log_probs[row, :count]
            member_log_probs[:, used if width > 1 else [0]] = thought[:, : len(used)]
            answers.append(
                ExpertAnswer(
                    prompt=index,
                    text=decode_tokens(model.tokenizer, found.tokens[row, :count].tolist()),
                    tokens=found.tokens[row, :count],
                    finish="length" if found.running[row] else "stop",
                    log_probs=found.log_probs[row, :count],
                    entropies=found.entropies[row, :count],
                    member_log_probs=member_log_probs,
                    mutual_information=said.mutual_information[row, :count],
                    variances=said.variance[row, :count],
                    weights=weights[index],
                )
            )
        if on_progress is not None:
            on_progress(len(answers), len(prompts))
    return sorted(answers, key=lambda answer: answer.prompt)


def _check(model: LanguageModel, prompts: Sequence[np.ndarray], weights: np.ndarray, new: int, batch_size: int) -> None:
    if weights.ndim != 2 or len(weights) != len(prompts):
        raise OptionError(f"weights have shape {weights.shape}; expected a row for each of the {len(prompts)} prompts")
    check_count("batch_size", batch_size)
    check_count("max_new_tokens", new)
    bad = np.flatnonzero(~(np.isfinite(weights).all(1) & (weights >= 0).all(1) & (weights.sum(1) > 0)))
    if len(bad):
        raise OptionError(f"the weights of prompt {bad[0]} are {weights[bad[0]]}; expected none below 0 and some above")
    context = model.functions.max_positions
    for number, prompt in enumerate(prompts):
        if not 0 < len(prompt) <= context - new:
            raise OptionError(
                f"prompt {number} has {len(prompt)} tokens; {new} more must fit into the context of {context}"
            )
