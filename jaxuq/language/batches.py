"""Batches of instructions: packed into rows or sorted by length, in an order that a seed decides."""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Array, Bool, Int

from jaxuq._arguments import typed
from jaxuq._arrays import check_between
from jaxuq._options import check_count
from jaxuq.language.errors import PromptError
from jaxuq.language.instructions import Rejected
from jaxuq.parallel import plan_rows

_SHORTEST = 32  # tokens of the shortest rows
_WINDOW = 32  # batches that are sorted by length together
_OPEN = 16  # rows that are filled side by side when packing


class TokenBatch(NamedTuple):
    """Rows of tokens to learn from; NumPy on the host.

    Attributes:
        tokens: zero where there is padding.
        positions: of each token in its example; -1 for padding.
        examples: the number of the example that a token belongs to, which is also its segment; -1 for padding.
        where: tokens to learn.
    """

    tokens: Int[Array | np.ndarray, "*batch rows time"]
    positions: Int[Array | np.ndarray, "*batch rows time"]
    examples: Int[Array | np.ndarray, "*batch rows time"]
    where: Bool[Array | np.ndarray, "*batch rows time"]


class BatchPlan(NamedTuple):
    """Which examples go into a batch.

    Attributes:
        rows: for each row, its examples.
        length: of the rows.
    """

    rows: tuple[tuple[int, ...], ...]
    length: int


class Survey(NamedTuple):
    """What a first look at the data found.

    Attributes:
        lengths: tokens of each example; 0: it cannot be used.
        rejected: those that cannot be used, with reasons.
        truncated: how many lost their end.
        digest: of all tokens, and of which are to be learnt, in order.
    """

    lengths: Int[np.ndarray, " examples"]
    rejected: tuple[Rejected, ...]
    truncated: int
    digest: str


@typed()
def survey_examples(
    data: Sequence[Any],
    *,
    max_length: int | None = None,
    vocab_size: int = 0,
    on_progress: Callable[[int, int], None] | None = None,
) -> Survey:
    """Read all examples once, to know their lengths and which of them are bad; a bad one costs only itself.

    Args:
        data: an `InstructionFile`, or any sequence of `Instruction`s.
        max_length: longer examples are rejected (an `InstructionFile` cuts them itself); None: any length.
        vocab_size: examples with tokens beyond it are rejected; 0: any.
        on_progress: `on_progress(done, total)` now and then.

    Returns:
        `Survey`; four bytes an example, and the reasons.

    Raises:
        PromptError: no example can be used; names the first reason.

    Example:
        >>> import numpy as np
        >>> from jaxuq.language import Instruction
        >>> example = Instruction(np.arange(3), np.array([False, True, True]))
        >>> survey_examples([example, example]).lengths
        array([3, 3], dtype=int32)
    """
    lengths, rejected, truncated = np.zeros(len(data), np.int32), [], 0
    content = hashlib.sha256()
    for row in range(len(data)):
        try:
            example = data[row]
            if not (hasattr(example, "tokens") and hasattr(example, "response")):
                raise PromptError(f"example {row} is {type(example).__name__}, expected an `Instruction`")
            if max_length is not None and len(example.tokens) > max_length:
                raise PromptError(
                    f"example {row} has {len(example.tokens)} tokens, more than the {max_length} of a row"
                )
            if not example.response.any():
                raise PromptError(f"example {row} has no token to learn")
            tokens = np.asarray(example.tokens, np.int64)
            beyond = tokens[(tokens < 0) | (tokens >= (vocab_size or np.inf))]
            if beyond.size:
                limit = f"of a vocabulary of {vocab_size}" if vocab_size else "from 0"
                raise PromptError(f"example {row} has the token {beyond[0]}: expected tokens {limit}")
            lengths[row] = len(example.tokens)
            truncated += example.truncated
            for array in (tokens, np.asarray(example.response, bool)):
                content.update(len(array).to_bytes(8, "little") + array.tobytes())
        except PromptError as error:
            rejected.append(Rejected(row, str(error)))
        if on_progress is not None and (row % 256 == 255 or row + 1 == len(data)):
            on_progress(row + 1, len(data))
    if not lengths.any():
        reason = rejected[0].reason if rejected else "there are none"
        raise PromptError(f"none of the {len(data)} examples can be used; first: {reason}")
    return Survey(lengths, tuple(rejected), truncated, content.hexdigest())


@typed()
def plan_batches(
    lengths: Int[np.ndarray, " examples"],
    *,
    batch_size: int,
    max_length: int,
    seed: int | Sequence[int],
    packed: bool = True,
) -> list[BatchPlan]:
    """Divide the examples of one epoch into batches, in an order that depends on the seed alone.

    Packed: examples are put one after another into rows of `max_length`, each into the first of 16 open rows that
    it fits into; when it fits into none, the fullest row is done. Otherwise each row has one example, and examples
    of similar length share a batch, whose rows are as long as the next rung (`jaxuq.parallel.rung`).

    Args:
        lengths: tokens of each example; those of length 0 are left out.
        batch_size: rows of a batch; the last one may have fewer.
        max_length: of a row.
        seed: one number or several, such as `(seed, epoch)`.
        packed: whether rows hold several examples.

    Returns:
        The batches; 16 bytes an example or so.

    Example:
        >>> import numpy as np
        >>> plan_batches(np.array([3, 2, 4, 1]), batch_size=1, max_length=5, seed=1)
        [BatchPlan(rows=((0, 1),), length=5), BatchPlan(rows=((2, 3),), length=5)]
    """
    check_count("batch_size", batch_size)
    check_count("max_length", max_length, 2)
    lengths = np.asarray(lengths)
    check_between("lengths", lengths, 0, max_length, f"rows of {max_length} tokens")
    rng = np.random.default_rng(seed)
    order = rng.permutation(np.flatnonzero(lengths))
    if packed:
        rows = _packed_rows(order, lengths, max_length)
        return [BatchPlan(tuple(rows[i : i + batch_size]), max_length) for i in range(0, len(rows), batch_size)]
    plans = []
    for start in range(0, len(order), _WINDOW * batch_size):
        window = order[start : start + _WINDOW * batch_size]
        batches = plan_rows(lengths[window], max_rows=batch_size, least=_SHORTEST, longest=max_length)
        for number in rng.permutation(len(batches)):
            rows = window[batches[number].rows].tolist()
            plans.append(BatchPlan(tuple((row,) for row in rows), batches[number].length))
    return plans


def _packed_rows(
    order: Int[np.ndarray, " used"], lengths: Int[np.ndarray, " examples"], max_length: int
) -> list[tuple[int, ...]]:
    done: list[tuple[int, ...]] = []
    rows: list[list[int]] = []
    used: list[int] = []
    for example in order.tolist():
        length = int(lengths[example])
        at = next((i for i, filled in enumerate(used) if filled + length <= max_length), None)
        if at is None:
            if len(rows) == _OPEN:
                fullest = int(np.argmax(used))
                done.append(tuple(rows.pop(fullest)))
                used.pop(fullest)
            rows.append([])
            used.append(0)
            at = len(rows) - 1
        rows[at].append(example)
        used[at] += length
    return done + [tuple(row) for row in rows]


@typed()
def make_batch(data: Sequence[Any], plan: BatchPlan, *, batch_size: int) -> TokenBatch:
    """Read the examples of a batch and lay them out.

    Args:
        data: the examples, `Instruction`s.
        plan: which of them go where.
        batch_size: rows; those that the plan lacks are padding.

    Returns:
        The batch, NumPy arrays `[batch_size, length]`.

    Example:
        >>> import numpy as np
        >>> from jaxuq.language import Instruction
        >>> data = [Instruction(np.array([7, 8]), np.array([False, True]))] * 2
        >>> batch = make_batch(data, BatchPlan(((0, 1),), 5), batch_size=1)
        >>> batch.positions, batch.examples
        (array([[ 0,  1,  0,  1, -1]], dtype=int32), array([[ 0,  0,  1,  1, -1]], dtype=int32))
    """
    shape = (batch_size, plan.length)
    tokens, positions, examples = np.zeros(shape, np.int32), np.full(shape, -1, np.int32), np.full(shape, -1, np.int32)
    where = np.zeros(shape, bool)
    for row, numbers in enumerate(plan.rows):
        at = 0
        for number in numbers:
            example = data[number]
            part = slice(at, at + len(example.tokens))
            tokens[row, part], where[row, part] = example.tokens, example.response
            positions[row, part], examples[row, part] = np.arange(len(example.tokens)), number
            at = part.stop
    return TokenBatch(tokens, positions, examples, where)
