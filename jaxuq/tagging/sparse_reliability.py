"""How reliable Sparse-CHMM takes each labelling function to be."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxuq.tagging.embedded import check_embeddings, scaled_sentences
from jaxuq.tagging.emission_prior import scale_reliability
from jaxuq.tagging.neural_model import EmbeddedText
from jaxuq.tagging.sparse_parameters import DEFAULT_SPARSE, SparseCHMMParams, SparseOptions


def reliability_head(
    params: SparseCHMMParams, vectors: Float[Array, "row width"], sparse: SparseOptions
) -> Float[Array, "row function state"]:
    """Reliabilities from sentence vectors, Eq. 4.1 to 4.3; `O` first."""
    outside = jax.nn.sigmoid(params.outside(vectors))
    rows, functions = outside.shape
    logits = params.entity(vectors).reshape(rows, functions, -1)
    shares = jax.nn.softmax(logits, axis=1) if sparse.softmax else jax.nn.sigmoid(logits)
    if sparse.scaling:
        shares = scale_reliability(shares, split=1 / max(functions, 2), power=sparse.power, root=sparse.root)
    if sparse.level == "entity":
        shares = jnp.repeat(shares, 2, axis=-1)
    return jnp.concatenate([outside[..., None], shares], axis=-1)


def logit(probabilities: Array) -> Array:
    """The inverse of the sigmoid."""
    return jnp.log(probabilities) - jnp.log1p(-probabilities)


def entity_logits(right: Float[Array, "function label"], sparse: SparseOptions) -> Float[Array, "function head"]:
    """Logits whose reliabilities are near the given ones; shares that would sum to more than one shrink."""
    functions = right.shape[0]
    if sparse.level == "entity":
        right = (right[:, ::2] + right[:, 1::2]) / 2
    if sparse.scaling:
        split, power = 1 / max(functions, 2), sparse.power
        low = (right * split ** (power - 1)) ** (1 / power)
        high = 1 - ((1 - right) * (1 - split) ** (power - 1)) ** (1 / power)
        right = jnp.where(right < split, low, high) ** sparse.root
    return jnp.log(right) if sparse.softmax else logit(right)


def sparse_reliabilities(
    params: SparseCHMMParams, text: EmbeddedText, sparse: SparseOptions = DEFAULT_SPARSE
) -> Float[np.ndarray, "batch function state"]:
    r"""How reliable a fitted Sparse-CHMM takes each labelling function to be in each sentence ($\tilde A$).

    Args:
        params: from `sparse_chmm(...).fit`.
        text: sentences.
        sparse: the options that the model was made with.

    Returns:
        Reliabilities in [0, 1], `O` first; with `extra_majority` the last function is the majority vote.

    Example:
        >>> import jax, numpy as np
        >>> from jaxuq.tagging import EmbeddedText, make_weak_labels, sparse_chmm
        >>> votes = [np.array([[1, 0], [2, 0]])]
        >>> data = make_weak_labels([["a", "b"]], votes, None, ("O", "B-x", "I-x"), ["f", "g"])
        >>> text = EmbeddedText(data, [np.ones((2, 4))])
        >>> sparse_reliabilities(sparse_chmm(3).init(jax.random.key(0), text), text).shape
        (1, 2, 3)

    References:
        Li. Uncertainty-Aware and Data-Efficient Fine-Tuning and Application of Foundation Models. Georgia Institute of
        Technology, 2025, Eq. 4.1 to 4.3 and Figure 4.11.
    """
    check_embeddings(*text, width=params.scaling.shift.shape[0])
    vectors = scaled_sentences(text.embeddings, text.sentences, params.scaling)
    return np.asarray(reliability_head(params, jnp.asarray(vectors), sparse))
