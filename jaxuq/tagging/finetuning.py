"""The tagger of the second stage with its encoder trained along."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key, PyTree

from jaxuq._digest import digest
from jaxuq._errors import OptionError
from jaxuq._keys import named_key
from jaxuq.checkpoints import LoadedEncoder, load_subwords
from jaxuq.metrics import entity_scores
from jaxuq.networks import LoraConfig
from jaxuq.networks.linear import init_adapter, merged_kernel
from jaxuq.parallel import plan_rows
from jaxuq.tagging.embedded import Bucketed
from jaxuq.tagging.embeddings import embed_words
from jaxuq.tagging.label_model import LabelForecast
from jaxuq.tagging.neural_model import EmbeddedText, NeuralFitted, TrainOptions
from jaxuq.tagging.neural_training import Watch
from jaxuq.tagging.neural_training import train as train_epochs
from jaxuq.tagging.tagger import Loss, Tagger, TaggerParams, crf_loss, crf_tagger, emission_scores, tagger_forecast
from jaxuq.training import claim_checkpoints


class EncoderTuning(NamedTuple):
    r"""How `finetune_tagger` trains an encoder.

    The rate of a step climbs from zero to `learning_rate` over the first `warmup` of all steps and falls to zero at the
    last; that of layer $l$ of $L$ is multiplied by $d^{L-1-l}$, with $d$ = `layer_decay`, that of the embeddings by
    $d^L$; the linear layer on top and the transitions learn `head_rate` times as fast.

    Attributes:
        learning_rate: the largest, of Adam.
        num_epochs: how often every sentence is seen.
        batch_size: most sentences of a step.
        warmup: share of the steps, from 0 to below 1.
        layer_decay: $d$, in (0, 1].
        head_rate: of what lies on top of the encoder.
        patience: epochs without a better score after which it ends.
        limit: most sub-words that are seen at once in training.
        max_padding: largest share of padding in a bucket.
        lora_rank: train low-rank adapters of all linear layers of the encoder instead of its parameters, scaled by 2,
            and merge them at the end; a rate of some 5e-4 suits them. Gradients and moments are then a hundredth. 0:
            all parameters are trained.
        dtype: `"float32"`, or `"bfloat16"` for computations; parameters and moments stay in float32.
        remat: compute each layer again in the backward pass, which then holds one residual stream a layer.

    References:
        Howard, Ruder. Universal language model fine-tuning for text classification. ACL 2018, sections 3.2 and 3.3.
    """

    learning_rate: float = 5e-5
    num_epochs: int = 4
    batch_size: int = 16
    warmup: float = 0.1
    layer_decay: float = 1.0
    head_rate: float = 1.0
    patience: int = 3
    limit: int = 128
    max_padding: float = 0.2
    lora_rank: int = 0
    dtype: str = "float32"
    remat: bool = False

    @property
    def lora(self) -> LoraConfig | None:
        """The adapters, if any are trained."""
        if not self.lora_rank:
            return None
        targets = ("query", "key", "value", "output", "up", "down")
        return LoraConfig(rank=self.lora_rank, alpha=2.0 * self.lora_rank, targets=targets)

    def rate(self, share: float) -> float:
        """The factor on all rates once a share of the steps is done, in [0, 1].

        Args:
            share: from 0 to below 1.

        Returns:
            The factor.

        Example:
            >>> [EncoderTuning(warmup=0.2).rate(share) for share in (0.0, 0.1, 0.2, 0.6)]
            [0.0, 0.5, 1.0, 0.5]
        """
        return share / self.warmup if share < self.warmup else (1.0 - share) / (1.0 - self.warmup)


ENCODER_TUNING = EncoderTuning()


class FinetunedParams(NamedTuple):
    """Parameters of `finetune_tagger`.

    Attributes:
        encoder: of the encoder.
        weight: as in `TaggerParams`, like all that follow.
        bias: see there.
        transition: see there.
        initial: see there.
        mean: see there.
        spread: see there.
        adapters: of the encoder's layers, trained in its place; merged into it at the end, and empty then.
    """

    encoder: PyTree
    weight: Float[Array, "width label"]
    bias: Float[Array, " label"]
    transition: Float[Array, "label label"]
    initial: Float[Array, " label"]
    mean: Float[Array, " width"]
    spread: Float[Array, " width"]
    adapters: PyTree

    def head(self) -> TaggerParams:
        """All but the encoder and its adapters."""
        return TaggerParams(*self[1:-1])

    def merged(self, lora: Any) -> "FinetunedParams":
        """With the adapters in the encoder's kernels."""
        layers = dict(self.encoder["layers"])
        for name, adapter in self.adapters.items():
            kernel = jax.vmap(merged_kernel, (0, 0, None))(layers[name]["kernel"], adapter, lora)
            layers[name] = layers[name] | {"kernel": kernel}
        return self._replace(encoder=self.encoder | {"layers": layers}, adapters={})


class PieceBucket(NamedTuple):
    """Stretches of sentences of like length.

    Attributes:
        tokens: `[row, subword]` with the tokens that begin and end a text.
        where: `[row, subword]` False in padding.
        owner: `[row, subword]` the word, counted from the piece's first, that a sub-word belongs to; the number of
            words where it belongs to none.
        targets: `[row, word, label]`.
        lengths: `[row]` number of words.
    """

    tokens: Int[Array, "row subword"]
    where: Bool[Array, "row subword"]
    owner: Int[Array, "row subword"]
    targets: Float[Array, "row word label"]
    lengths: Int[Array, " row"]

    def take(self, rows: Int[Array, " batch"]) -> "PieceBucket":
        """Some of the pieces."""
        return jax.tree.map(lambda leaf: leaf[rows], self)


def finetune_tagger(
    encoder: LoadedEncoder,
    num_labels: int,
    *,
    loss: Loss = "expected",
    options: EncoderTuning = ENCODER_TUNING,
) -> Tagger:
    r"""As `crf_tagger`, with the encoder trained too.

    The linear layer and the transitions are first fitted to the frozen vectors; then everything is trained together at
    a small rate, which keeps the encoder from being pulled about by a random layer on top. Sentences with more
    sub-words than the options' limit are trained in pieces that end between words; labelling sees them whole, through
    overlapping windows. Far dearer than `crf_tagger`: an epoch costs three times what embedding the text costs, and
    besides the encoder Adam's two moments, a gradient, the best parameters so far and the activations of a batch are
    held. `fit` takes `checkpoint`, a folder from which an interrupted training goes on to the very same end (its state
    is written every five minutes), and `on_progress(steps, of, loss)`.

    Args:
        encoder: where training starts.
        num_labels: number of labels, in the order of `bio_label_names`.
        loss: see `crf_loss`.
        options: of the second part of training.

    Returns:
        `Tagger` with `FinetunedParams`; `init` and `fit` read the vectors of the text, `predict` its words only.

    Raises:
        ValueError: if the number of labels is even or the loss unknown, or an option cannot be meant; from `fit`, if
            the folder holds another training.

    Example:
        >>> from jaxuq.checkpoints import load_encoder
        >>> finetune_tagger(load_encoder("no such encoder"), 3)
        Traceback (most recent call last):
        jaxuq.checkpoints.errors.CheckpointError: no encoder is called 'no such encoder'...

    References:
        Devlin, Chang, Lee, Toutanova. BERT: pre-training of deep bidirectional transformers for language understanding.
        NAACL 2019.
        Kumar, Raghunathan, Jones, Ma, Liang. Fine-tuning can distort pretrained features and underperform
        out-of-distribution. ICLR 2022.
    """
    frozen = crf_tagger(num_labels, loss=loss)
    dtype = _checked(options)
    lora, trained = options.lora, ("adapters" if options.lora_rank else "encoder", *_HEAD)
    row_loss = partial(_row_loss, encoder.module.clone(dtype=dtype, remat=options.remat, lora=lora), loss)
    training = TrainOptions(batch_size=options.batch_size, weight_decay=0.0, patience=options.patience)

    def init(rng_key: Key[Array, ""], text: EmbeddedText) -> FinetunedParams:
        return FinetunedParams(encoder.params, *frozen.init(rng_key, text), adapters={})

    def fit(
        rng_key: Key[Array, ""],
        params: FinetunedParams,
        text: EmbeddedText,
        targets: Float[np.ndarray, "batch time label"],
        valid: EmbeddedText | None = None,
        *,
        checkpoint: str | Path | None = None,
        on_progress: Callable[[int, int, float], None] | None = None,
    ) -> NeuralFitted:
        if checkpoint is not None:
            _claim(Path(checkpoint), rng_key, encoder, text, targets, valid, options, loss)
        keys = jax.random.split(rng_key)
        head = frozen.fit(keys[0], params.head(), text, targets, valid).params
        limit = min(options.limit, encoder.module.config.max_tokens - 2)
        adapters = _adapters(named_key(rng_key, "adapters"), params.encoder, lora)
        start = FinetunedParams(params.encoder, *head, adapters=adapters)
        fitted = train_epochs(
            keys[1],
            row_loss,  # type: ignore[arg-type]
            trained,
            start,
            _pieces(encoder, text, np.asarray(targets), limit, options.max_padding),  # type: ignore[arg-type]
            training,
            learning_rate=options.learning_rate,
            num_epochs=options.num_epochs,
            score=None if valid is None else lambda found: _f1(found.merged(lora), valid),
            schedule=options.rate,
            scales=_scales({name: getattr(start, name) for name in trained}, options),
            watch=Watch(checkpoint, on_progress),
        )
        return fitted._replace(params=fitted.params.merged(lora))

    def predict(params: FinetunedParams, text: EmbeddedText) -> LabelForecast:
        vectors = embed_words(encoder._replace(params=params.encoder), text.labels.tokens, cache=False)
        return tagger_forecast(params.head(), vectors, text.labels.lengths, text.labels.observations.shape[1])

    def _f1(params: FinetunedParams, valid: EmbeddedText) -> float:
        data = valid.labels
        assert data.labels is not None
        return entity_scores(data.tags(np.asarray(predict(params, valid).labels)), data.tags(data.labels)).f1

    return Tagger(init, fit, predict)  # type: ignore[arg-type]


_HEAD = ("weight", "bias", "transition", "initial")


def _adapters(rng_key: Key[Array, ""], params: PyTree, lora: LoraConfig | None) -> PyTree:
    """New adapters of all layers, which change nothing yet."""
    if lora is None:
        return {}
    keys = jax.random.split(rng_key, len(lora.targets))
    found = {}
    for key, name in zip(keys, lora.targets):
        layers, *shape = params["layers"][name]["kernel"].shape
        found[name] = jax.vmap(lambda one, shape=tuple(shape): init_adapter(one, shape, lora))(
            jax.random.split(key, layers)
        )
    return found


def _checked(options: EncoderTuning) -> Any:
    """The type of computations, if the options can be meant."""
    if options.dtype not in ("float32", "bfloat16"):
        raise OptionError(f"dtype is {options.dtype!r}; expected float32 or bfloat16")
    if min(options.num_epochs, options.batch_size, options.limit) < 1:
        raise OptionError(
            f"num_epochs is {options.num_epochs}, batch_size {options.batch_size} and limit {options.limit}; expected "
            "at least 1 each"
        )
    if not (0 <= options.warmup < 1 and 0 < options.layer_decay <= 1):
        raise OptionError(
            f"warmup is {options.warmup} and layer_decay {options.layer_decay}; expected [0, 1) and (0, 1]"
        )
    if options.lora_rank < 0:
        raise OptionError(f"lora_rank is {options.lora_rank}; expected at least 0")
    return jnp.dtype(options.dtype)


def _scales(trained: dict[str, PyTree], options: EncoderTuning) -> dict[str, PyTree]:
    """The factor on the rate of every array that is trained."""
    stacked = trained["encoder"]["layers"] if "encoder" in trained else trained["adapters"]
    layers = jax.tree.leaves(stacked)[0].shape[0]

    def scale(path: tuple[Any, ...], leaf: Array) -> Float[Array, "..."]:
        names = [getattr(part, "key", None) for part in path]
        if names[0] in _HEAD:
            return jnp.float32(options.head_rate)
        if names[0] == "adapters" or names[1] == "layers":
            decay = options.layer_decay ** jnp.arange(layers - 1.0, -1.0, -1.0)
            return decay.reshape(-1, *[1] * (leaf.ndim - 1))
        return jnp.float32(1.0 if names[1] == "pooler" else options.layer_decay**layers)

    return jax.tree_util.tree_map_with_path(scale, trained)


def _claim(
    folder: Path,
    rng_key: Key[Array, ""],
    encoder: LoadedEncoder,
    text: EmbeddedText,
    targets: Float[np.ndarray, "batch time label"],
    valid: EmbeddedText | None,
    options: EncoderTuning,
    loss: Loss,
) -> None:
    record = {
        "encoder": encoder.digest,
        "text": digest(text.labels.tokens, np.asarray(targets)),
        "valid": None if valid is None else digest(valid.labels.tokens, valid.labels.labels),
        "options": options._asdict(),
        "loss": loss,
        "key": digest(np.asarray(jax.random.key_data(rng_key))),
    }
    different = claim_checkpoints(folder, record)
    if different:
        raise OptionError(
            f"{folder} holds the checkpoints of a training with another {', '.join(different)}; name another folder or "
            "remove this one"
        )


def _row_loss(
    module: Any, kind: Loss, params: FinetunedParams, old: Any, batch: PieceBucket, rng_key: Key[Array, ""]
) -> Float[Array, " row"]:
    variables = {"params": jax.tree.map(lambda leaf: leaf.astype(module.dtype), params.encoder)}
    variables |= {"lora": {"layers": params.adapters}} if params.adapters else {}
    hidden = module.apply(variables, batch.tokens, batch.where, rngs={"dropout": rng_key}).hidden
    hidden = hidden.astype(jnp.float32)
    words = batch.targets.shape[1]

    def means(vectors: Array, owner: Array) -> Array:
        total = jax.ops.segment_sum(vectors, owner, words + 1)[:words]
        count = jax.ops.segment_sum(jnp.ones(owner.shape, vectors.dtype), owner, words + 1)[:words]
        return total / jnp.maximum(count, 1.0)[:, None]

    scores = emission_scores(params.head(), jax.vmap(means)(hidden, batch.owner))
    return crf_loss(scores, params.transition, params.initial, batch.targets, batch.lengths, kind=kind)


class _Piece(NamedTuple):
    tokens: list[int]
    owner: list[int]
    targets: np.ndarray


def _divide(parts: Sequence[Sequence[int]], limit: int) -> list[tuple[int, int]]:
    """Words from where to where make a piece of at most `limit` sub-words."""
    bounds, used = [0], 0
    for word, part in enumerate(parts):
        if used and used + len(part) > limit:
            bounds.append(word)
            used = 0
        used += len(part)
    return list(zip(bounds, [*bounds[1:], len(parts)]))


def _pieces(
    encoder: LoadedEncoder, text: EmbeddedText, targets: np.ndarray, limit: int, max_padding: float
) -> Bucketed:
    subwords = load_subwords(encoder.path)
    pieces: list[_Piece] = []
    for words, wanted in zip(text.labels.tokens, targets):
        parts = [part[:limit] for part in subwords.encode(words)]  # a single word beyond the limit loses its end
        for start, end in _divide(parts, limit):
            inner = [(token, word) for word, part in enumerate(parts[start:end]) for token in part]
            tokens = [subwords.first, *(token for token, _ in inner), subwords.last]
            nobody = end - start
            pieces.append(_Piece(tokens, [nobody, *(word for _, word in inner), nobody], wanted[start:end]))
    sizes = np.array([len(piece.tokens) for piece in pieces])
    batches = plan_rows(sizes, max_padding=max_padding, least=None)
    buckets = []
    for rows, _, time in batches:
        words = max(len(pieces[row].targets) for row in rows)
        tokens = np.full((len(rows), time), subwords.padding, np.int32)
        where = np.zeros((len(rows), time), bool)
        owner = np.full((len(rows), time), words, np.int32)
        wanted = np.zeros((len(rows), words, targets.shape[2]), np.float32)
        for place, row in enumerate(rows):
            piece, size = pieces[row], int(sizes[row])
            tokens[place, :size], where[place, :size] = piece.tokens, True
            owner[place, 1 : size - 1] = piece.owner[1:-1]
            wanted[place, : len(piece.targets)] = piece.targets
        lengths = np.array([len(pieces[row].targets) for row in rows], np.int32)
        buckets.append(PieceBucket(*map(jnp.asarray, (tokens, where, owner, wanted, lengths))))
    return Bucketed(tuple(buckets), tuple(batch.rows for batch in batches))  # type: ignore[arg-type]
