"""What the neural label models have in common: their three functions, their options, their training."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, Key

from jaxuq.metrics import entity_scores
from jaxuq.tagging._context_chain import (
    ContextChain,
    engine_arguments,
    expected_log_joint,
    posterior,
    published_objective,
)
from jaxuq.tagging.decoding import viterbi
from jaxuq.tagging.embedded import Bucket, Bucketed, Embeddings, Scaling, bucketed, check_embeddings, scattered
from jaxuq.tagging.inference import smoothed_marginals
from jaxuq.tagging.label_model import LabelForecast
from jaxuq.tagging.records import WeakLabels

Params = Any
Objective = Literal["em", "likelihood", "published"]
Selection = Literal["likelihood", "f1"]
OutsideVotes = Literal["votes", "abstain", "published"]


class EmbeddedText(NamedTuple):
    """Weakly labelled text with the vectors of its words: what the neural label models take.

    Attributes:
        labels: the sentences and what the labelling functions say of them.
        embeddings: for each sentence `[token, width]`, any sequence of host arrays.

    Example:
        >>> import numpy as np
        >>> from jaxuq.tagging import make_weak_labels
        >>> votes = [np.array([[1], [0]])]
        >>> data = make_weak_labels([["Ada", "wrote"]], votes, None, ("O", "B-PER", "I-PER"), ["names"])
        >>> EmbeddedText(data, [np.zeros((2, 8))]).embeddings[0].shape
        (2, 8)
    """

    labels: WeakLabels
    embeddings: Embeddings


class NeuralFitted(NamedTuple):
    """What `fit` of a neural label model returns.

    Attributes:
        params: the parameters of the best epoch.
        objective: `[epoch]` what was maximised, per sentence, averaged over each epoch; of all stages.
        scores: `[epoch]` what the epochs were compared by; empty without validation text.
        seconds: `[epoch]` how long the steps of each epoch took, compilation included where it fell.
    """

    params: Params
    objective: Float[np.ndarray, " epoch"]
    scores: Float[np.ndarray, " epoch"]
    seconds: Float[np.ndarray, " epoch"]


class NeuralLabelModel(NamedTuple):
    """The functions of every neural label model, on `EmbeddedText`.

    `init(rng_key, text)` gives parameters, `fit(rng_key, params, text, valid=None)` a `NeuralFitted`, and
    `predict(params, text)` a `LabelForecast` on the host. They run on the host, which sends whole batches to compiled
    programs, one for each bucket of lengths. None of them sees gold labels but those of `valid`, and those only with
    `selection="f1"`.
    """

    init: Callable[[Key[Array, ""], EmbeddedText], Params]
    fit: Callable[..., NeuralFitted]
    predict: Callable[[Params, EmbeddedText], LabelForecast]


class TrainOptions(NamedTuple):
    r"""How a neural label model is trained.

    Attributes:
        objective: `"likelihood"` climbs $\log p(x)$. `"em"` is generalised expectation-maximisation: the posterior is
            that of the parameters at the beginning of the epoch, and the epoch's steps climb $Q$ under it. Renewed at
            every step, the gradient of $Q$ is that of $\log p(x)$ (Fisher's identity), so the two differ only in how
            long a posterior is kept. `"published"` lets the gradient run through the posterior too, as the published
            code does, and so climbs $\log p(x) - H(z \mid x)$.
        learning_rate: of Adam.
        num_epochs: most epochs of a stage.
        batch_size: most sentences of a step.
        weight_decay: L2, added to the gradient.
        patience: epochs without a better score after which a stage ends.
        selection: what the epochs are compared by on the validation text: `"likelihood"` per token, which needs no
            gold labels, or `"f1"` of entities against gold labels, as in the published results.
        smoothing: scores of how many epochs are averaged before they are compared.
        pretrain_epochs: epochs of fitting the matrices to the statistics of the observations.
        pretrain_learning_rate: of Adam in these.
        max_padding: largest share of padding in a bucket.

    Example:
        >>> TrainOptions(num_epochs=3).objective
        'likelihood'
    """

    objective: Objective = "likelihood"
    learning_rate: float = 1e-3
    num_epochs: int = 50
    batch_size: int = 128
    weight_decay: float = 1e-5
    patience: int = 10
    selection: Selection = "likelihood"
    smoothing: int = 1
    pretrain_epochs: int = 5
    pretrain_learning_rate: float = 5e-3
    max_padding: float = 0.2


DEFAULT_OPTIONS = TrainOptions()


def check_options(options: TrainOptions) -> None:
    """Refuse what cannot be meant."""
    for name, value, kind in (("objective", options.objective, Objective), ("selection", options.selection, Selection)):
        if value not in get_args(kind):
            raise ValueError(f"{name} is {value!r}; expected one of {', '.join(get_args(kind))}")
    if min(options.batch_size, options.smoothing) < 1 or min(options.num_epochs, options.pretrain_epochs) < 0:
        raise ValueError(
            f"batch_size is {options.batch_size}, smoothing {options.smoothing}, num_epochs {options.num_epochs} and "
            f"pretrain_epochs {options.pretrain_epochs}; expected the first two at least 1, the others at least 0"
        )


class Linear(NamedTuple):
    """A linear layer.

    Attributes:
        weight: `[output, width]`; in this order the gradient is a product of contiguous rows.
        bias: `[output]`.
    """

    weight: Float[Array, "output width"]
    bias: Float[Array, " output"]

    def __call__(self, inputs: Float[Array, "... width"]) -> Float[Array, "... output"]:
        """The outputs."""
        rows = inputs.reshape(-1, inputs.shape[-1])
        outputs = rows @ self.weight.T + self.bias[None]
        return outputs.reshape(*inputs.shape[:-1], -1)


def make_linear(rng_key: Key[Array, ""], width: int, bias: Float[Array, "..."], scale: float = 1.0) -> Linear:
    """Glorot-uniform weights times `scale`; the bias as given."""
    bias = jnp.ravel(bias)
    limit = scale * (6.0 / (width + bias.size)) ** 0.5
    return Linear(jax.random.uniform(rng_key, (bias.size, width), minval=-limit, maxval=limit), bias)


# What of a model the training needs: the chain of a batch, and how far its matrices are from the statistics.
ChainOf = Callable[[Params, Bucket, Key[Array, ""] | None], ContextChain]
RowLoss = Callable[[Params, Params, Bucket, Key[Array, ""]], Float[Array, " row"]]


def chain_loss(chain_of: ChainOf, objective: Objective) -> RowLoss:
    """Minus the objective of each sentence."""

    def loss(params: Params, old: Params, batch: Bucket, rng_key: Key[Array, ""]) -> Float[Array, " row"]:
        chain = chain_of(params, batch, rng_key)
        if objective == "published":
            return -published_objective(chain)
        # Outside training the emissions are means, not draws: so in the E-step with parameters that are kept.
        before = chain_of(old, batch, None) if objective == "em" else chain
        expected = jax.lax.stop_gradient(posterior(jax.lax.stop_gradient(before)))
        joint = expected_log_joint(chain, expected)
        # the value is the log-likelihood, the gradient that of Q
        return -(jax.lax.stop_gradient(expected.log_likelihood - joint) + joint)

    return loss


@partial(jax.jit, static_argnums=(0, 1), donate_argnums=(3,))
def _step(loss, trainable, params, optimiser, old, bucket, rows, weights, rates, rng_key):
    learning_rate, weight_decay = rates

    def mean_loss(chosen):
        values = loss(params._replace(**chosen), old, bucket.take(rows), rng_key)
        return jnp.sum(values * weights) / jnp.sum(weights)

    chosen = {name: getattr(params, name) for name in trainable}
    value, gradient = jax.value_and_grad(mean_loss)(chosen)
    gradient = jax.tree.map(lambda g, p: g + weight_decay * p, gradient, chosen)
    with jax.numpy_dtype_promotion("standard"):  # Optax's own code relies on it
        direction, optimiser = optax.scale_by_adam().update(gradient, optimiser)
    chosen = jax.tree.map(lambda p, d: p - learning_rate * d, chosen, direction)
    return params._replace(**chosen), optimiser, value


def _epoch_batches(text: Bucketed, batch_size: int, rng: np.random.Generator):
    """All rows once, in batches of one bucket each, in random order; equal shapes within a bucket."""
    batches = []
    for bucket, rows in zip(text.buckets, text.rows):
        count = -(-len(rows) // batch_size)
        size = -(-len(rows) // count)
        order = rng.permutation(len(rows))
        padded = np.zeros(count * size, np.int32)
        weights = np.zeros(count * size, np.float32)
        padded[: len(rows)], weights[: len(rows)] = order, 1.0
        batches += [(bucket, padded[i : i + size], weights[i : i + size]) for i in range(0, count * size, size)]
    rng.shuffle(batches)  # type: ignore[arg-type]
    return batches


def train(
    rng_key: Key[Array, ""],
    loss: RowLoss,
    trainable: tuple[str, ...],
    params: Params,
    text: Bucketed,
    options: TrainOptions,
    *,
    learning_rate: float,
    num_epochs: int,
    patience: int | None = None,
    score: Callable[[Params], float] | None = None,
) -> NeuralFitted:
    """Adam on some fields of the parameters; with `score`, the parameters that scored best, the start included."""
    rng = np.random.default_rng(np.asarray(jax.random.key_data(rng_key)).ravel())
    optimiser = optax.scale_by_adam().init({name: getattr(params, name) for name in trainable})
    rates = jnp.float32(learning_rate), jnp.float32(options.weight_decay)
    patience = options.patience if patience is None else patience
    best, best_score, waited, step = params, -np.inf if score is None else score(params), 0, 0
    objectives, scores, seconds = [], [], []
    for _ in range(num_epochs):
        began, old, values, sizes = time.perf_counter(), params, [], []
        for bucket, rows, weights in _epoch_batches(text, options.batch_size, rng):
            key = jax.random.fold_in(rng_key, step)
            params, optimiser, value = _step(
                loss, trainable, params, optimiser, old, bucket, jnp.asarray(rows), jnp.asarray(weights), rates, key
            )
            values.append(value)
            sizes.append(weights.sum())
            step += 1
        objectives.append(-np.average(jax.device_get(values), weights=sizes))
        seconds.append(time.perf_counter() - began)
        if score is None:
            best = params
            continue
        scores.append(score(params))
        smoothed = float(np.mean(scores[-options.smoothing :])) if len(scores) >= options.smoothing else -np.inf
        if smoothed >= best_score and smoothed > -np.inf:
            best, best_score, waited = params, smoothed, 0
        else:
            waited += 1
            if waited > patience:
                break
    history = (np.array(values, np.float32) for values in (objectives, scores, seconds))
    return NeuralFitted(best, *history)


@partial(jax.jit, static_argnums=0)
def _paths(chain_of, params, bucket):
    return viterbi(*engine_arguments(chain_of(params, bucket, None))).paths[:, 0]


@partial(jax.jit, static_argnums=0)
def _marginals(chain_of, params, bucket):
    return smoothed_marginals(*engine_arguments(chain_of(params, bucket, None)))


@partial(jax.jit, static_argnums=0)
def _log_likelihoods(chain_of, params, bucket):
    return posterior(chain_of(params, bucket, None)).log_likelihood


def _chunks(function, text: Bucketed, batch_size: int) -> list[np.ndarray]:
    """A function of a bucket, a few sentences at a time, on the host."""
    outputs = []
    for bucket in text.buckets:
        rows = bucket.lengths.shape[0]
        size = -(-rows // -(-rows // batch_size))
        order = np.minimum(np.arange(-(-rows // size) * size), rows - 1).astype(np.int32)
        parts = [function(bucket.take(jnp.asarray(order[i : i + size]))) for i in range(0, len(order), size)]
        outputs.append(np.concatenate([np.asarray(part) for part in parts])[:rows])
    return outputs


def decode(chain_of: ChainOf, params: Params, text: Bucketed, data: WeakLabels, batch_size: int) -> np.ndarray:
    """The most probable label path of each sentence, -1 in padding."""
    paths = _chunks(partial(_paths, chain_of, params), text, batch_size)
    return scattered(text, paths, data.observations.shape[:2], -1, np.int32)


def forecast_chains(
    chain_of: ChainOf, params: Params, text: Bucketed, data: WeakLabels, batch_size: int, num_labels: int
) -> LabelForecast:
    """Most probable paths and smoothed marginals."""
    marginals = _chunks(partial(_marginals, chain_of, params), text, batch_size)
    shape = (*data.observations.shape[:2], num_labels)
    return LabelForecast(
        decode(chain_of, params, text, data, batch_size),  # type: ignore[arg-type]
        scattered(text, marginals, shape, 0.0, np.float32),  # type: ignore[arg-type]
    )


def make_score(chain_of: ChainOf, text: Bucketed, data: WeakLabels, options: TrainOptions) -> Callable[[Params], float]:
    """What epochs are compared by."""
    if options.selection == "likelihood":
        tokens = float(data.lengths.sum())

        def score(params: Params) -> float:
            values = _chunks(partial(_log_likelihoods, chain_of, params), text, options.batch_size)
            return float(sum(value.sum() for value in values)) / tokens

        return score
    if data.labels is None:
        raise ValueError("selection is 'f1' and the validation text has no gold labels; use selection='likelihood'")
    gold = data.tags(data.labels)

    def score_f1(params: Params) -> float:
        return entity_scores(data.tags(decode(chain_of, params, text, data, options.batch_size)), gold).f1

    return score_f1


def silence(observations: Int[np.ndarray, "batch time function"], num_labels: int, votes: OutsideVotes) -> np.ndarray:
    """Mark with the index `num_labels` who says `O` at a token where another function marks an entity."""
    if votes == "votes":
        return observations
    marked = (observations > 0).any(-1, keepdims=True)
    return np.where(marked & (observations == 0), -1 if votes == "abstain" else num_labels, observations)


def with_silence_column(log_emission: Float[Array, "... label"]) -> Float[Array, "... labels"]:
    r"""A last column for the soft observation $[0.01, 0.99/L, \dots]$, published code's stand-in for such an `O`."""
    labels = log_emission.shape[-1]
    emission = jnp.exp(log_emission)
    soft = 0.01 * emission[..., :1] + 0.99 / labels * jnp.sum(emission[..., 1:], axis=-1, keepdims=True)
    return jnp.concatenate([log_emission, jnp.log(soft)], axis=-1)


def prepare(text: EmbeddedText, observations: np.ndarray, scaling: Scaling, options: TrainOptions) -> Bucketed:
    """Check and bucket a text with changed observations."""
    check_embeddings(text.labels, text.embeddings, width=scaling.shift.shape[0])
    changed = text.labels._replace(observations=observations)
    return bucketed(changed, text.embeddings, scaling, max_padding=options.max_padding)


def transition_head(head: Linear, vectors: Float[Array, "row time width"], scheme: str) -> Array:
    """Log-transitions of each token; minus infinity where an `I-` would continue nothing."""
    states = round(head.bias.shape[0] ** 0.5)
    logits = head(vectors).reshape(*vectors.shape[:2], states, states)
    if scheme == "bio":
        allowed = jnp.asarray(allowed_transitions(states))
        logits = jnp.where(jnp.broadcast_to(allowed, logits.shape), logits, -jnp.inf)
    return jax.nn.log_softmax(logits, axis=-1)


def allowed_transitions(states: int) -> np.ndarray:
    """Which labels may follow which in the BIO scheme."""
    label = np.arange(states)
    continues = (label % 2 == 0) & (label > 0)
    return ~continues[None, :] | ((label[:, None] + 1) // 2 == (label[None, :] + 1) // 2)
