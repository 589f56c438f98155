"""Tuning a language model on preferences: pairs of responses as examples, the reference computed once, the loss."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxuq._arguments import typed
from jaxuq._errors import ArrayError
from jaxuq._options import check_count, check_number
from jaxuq.language import (
    BatchPlan,
    Instruction,
    LanguageModel,
    PairLoss,
    PromptError,
    encode_instruction,
    make_batch,
    response_log_probs,
)
from jaxuq.losses import direct_preference_loss
from jaxuq.parallel import divide_rows, on_host, plan_rows, row_parts

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


_log_probs = jax.jit(response_log_probs, static_argnums=0)


@typed()
def encode_preferences(
    tokenizer: "PreTrainedTokenizerBase",
    records: Iterable[Mapping[str, Any]],
    *,
    chat: bool = True,
    max_length: int | None = None,
) -> list[Instruction]:
    """Preferences as examples, the preferred response of each and then the other, for `jaxuq.language.finetune`.

    Args:
        tokenizer: of the model.
        records: each with `prompt`, `chosen` and `rejected`; the prompt is a text, or a list of messages with `role`
            and `content`, and so are the responses. Of several turns only those of the response count.
        chat: as for `encode_instruction`, for prompts that are texts.
        max_length: longer examples lose their end; None: any length.

    Returns:
        Two examples a record.

    Raises:
        PromptError: a record lacks something; names its number, from 0.

    Example:
        >>> from tokenizers import Tokenizer, models, pre_tokenizers
        >>> from transformers import PreTrainedTokenizerFast
        >>> words = Tokenizer(models.WordLevel({"<s>": 0, "two": 1, "three": 2}, unk_token="<s>"))
        >>> words.pre_tokenizer = pre_tokenizers.Whitespace()
        >>> tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, eos_token="<s>")
        >>> records = [{"prompt": "two", "chosen": "three", "rejected": "two"}]
        >>> [one.tokens.tolist() for one in encode_preferences(tokenizer, records, chat=False)]
        [[1, 2, 0], [1, 1, 0]]
    """
    examples = []
    for number, record in enumerate(records):
        if not isinstance(record, Mapping):
            raise PromptError(f"preference {number} is {type(record).__name__}, expected prompt, chosen and rejected")
        lacks = [name for name in ("prompt", "chosen", "rejected") if name not in record]
        if lacks:
            raise PromptError(f"preference {number} has no {' and no '.join(lacks)}; it has {', '.join(record)}")
        for side in ("chosen", "rejected"):
            try:
                said, earlier = _instruction(record["prompt"], record[side])
                example = encode_instruction(tokenizer, said, chat=chat, max_length=max_length)
                examples.append(_without_turns(example, earlier))
            except PromptError as error:
                raise PromptError(f"preference {number}, {side}: {error}") from None
    return examples


def _instruction(prompt: Any, response: Any) -> tuple[dict[str, Any], int]:
    """What `encode_instruction` reads, and how many turns of the assistant the prompt has."""
    if isinstance(prompt, str) and isinstance(response, str):
        return {"instruction": prompt, "response": response}, 0
    before = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
    after = [{"role": "assistant", "content": response}] if isinstance(response, str) else response
    if not isinstance(before, list) or not isinstance(after, list):
        raise PromptError("prompt and responses must be texts, or lists of messages with 'role' and 'content'")
    turns = [message for message in before if isinstance(message, Mapping) and message.get("role") == "assistant"]
    return {"messages": [*before, *after]}, len(turns)


def _without_turns(example: Instruction, earlier: int) -> Instruction:
    """Without the first turns of the assistant, which belong to the prompt, as part of the response."""
    begins = np.diff(example.response.astype(np.int8), prepend=0) == 1
    response = example.response & (np.cumsum(begins) > earlier)
    if not response.any():
        raise PromptError("no token of the response is left")
    return example._replace(response=response)


@typed()
def preference_log_probs(
    model: LanguageModel,
    examples: Sequence[Instruction],
    *,
    batch_size: int = 8,
    mesh: jax.sharding.Mesh | None = None,
) -> Float[np.ndarray, "pairs 2"]:
    r"""$\log \pi(y \mid x)$ of both responses of each preference, in nats, summed over their tokens.

    Of the model before tuning these are the reference of `direct_preference_loss`, computed once: the model is then not
    needed beside the one that is tuned. Of the tuned model they tell whether both have become unlikelier, which the
    loss does not.

    Args:
        model: from `load_model`.
        examples: from `encode_preferences`.
        batch_size: responses in a pass.
        mesh: as for `jaxuq.language.score`.

    Returns:
        The preferred one first. Holds one batch of activations.

    Raises:
        ArrayError: an odd number of examples.

    Example:
        >>> import jax, jax.numpy as jnp, numpy as np
        >>> from jaxuq.networks import Decoder, DecoderConfig
        >>> decoder = Decoder(DecoderConfig(7, 8, 8, num_layers=1, num_heads=1, num_kv_heads=1, head_dim=8))
        >>> params = jax.jit(decoder.init)(jax.random.key(0), jnp.zeros((1, 2), jnp.int32))["params"]
        >>> model = LanguageModel(decoder, params, tokenizer=None, name="tiny")
        >>> said = [Instruction(np.array([1, token]), np.array([False, True])) for token in (2, 3)]
        >>> preference_log_probs(model, said).shape
        (1, 2)
    """
    check_count("batch_size", batch_size)
    if len(examples) % 2:
        raise ArrayError(f"there are {len(examples)} examples; expected pairs, the preferred one first")
    model, found = model.on_mesh(mesh), np.zeros(len(examples), np.float32)
    lengths = [len(one.tokens) for one in examples]
    for batch in plan_rows(lengths, max_rows=batch_size, devices=row_parts(model.mesh)):
        rows = batch.rows.tolist()
        plan = BatchPlan(tuple((row,) for row in rows), batch.length)
        laid = divide_rows(make_batch(examples, plan, batch_size=batch.size), model.mesh)
        values = on_host(_log_probs(model.decoder, model.variables, laid))
        found[rows] = values[: len(rows)]
    return found.reshape(-1, 2)


@typed()
def preference_loss(reference: Float[np.ndarray, "pairs 2"], *, beta: float = 0.1, flipped: float = 0.0) -> PairLoss:
    r"""Direct preference optimisation as the loss of `jaxuq.language.finetune`.

    Args:
        reference: `preference_log_probs` of the model before tuning.
        beta: see `jaxuq.losses.direct_preference_loss`.
        flipped: see there.

    Returns:
        `PairLoss`, for these pairs alone.

    Raises:
        ValueError: `beta` is not positive, or `flipped` is outside [0, 1/2).

    Example:
        >>> import jax.numpy as jnp, numpy as np
        >>> loss = preference_loss(np.array([[-13.0, -14.0]], np.float32))
        >>> round(float(loss.of(jnp.array([[-12.0, -15.0]]), jnp.array([0]))[0]), 6)
        0.598139

    References:
        Rafailov, Sharma, Mitchell, Ermon, Manning and Finn. Direct Preference Optimization: Your Language Model is
        Secretly a Reward Model. NeurIPS 2023.
    """
    beta = check_number("beta", beta, 0.0, open_low=True)
    flipped = check_number("flipped", flipped, 0.0, 0.5, open_high=True)

    def of(log_probs: Float[Array, "pairs 2"], pairs: Int[Array, " pairs"]) -> Float[Array, " pairs"]:
        base = jnp.asarray(reference)[jnp.maximum(pairs, 0)]
        return direct_preference_loss(
            log_probs[:, 0], log_probs[:, 1], base[:, 0], base[:, 1], beta=beta, flipped=flipped, where=pairs >= 0
        )

    return PairLoss(of, len(reference))
