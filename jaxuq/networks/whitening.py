"""Layer normalisation of vectors that turns with them: TorchMD-NET's whitening, correct and as published."""

from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxuq._arrays import as_float
from jaxuq._errors import OptionError
from jaxuq._shapes import checked

Whitening = Literal["isotropic", "published", "none"]
_EPSILON = 1e-5


@jax.custom_jvp
def inverse_square_root(matrix: Float[Array, "*batch n n"]) -> Float[Array, "*batch n n"]:
    r"""$A^{-1/2}$ of a symmetric positive definite matrix, with a gradient that equal eigenvalues do not disturb.

    With $A = U \Lambda U^\top$ the derivative is $U (K \circ U^\top \dot A U) U^\top$,
    $K_{ij} = -1 / (\sqrt{\lambda_i \lambda_j} (\sqrt{\lambda_i} + \sqrt{\lambda_j}))$, which has no difference of
    eigenvalues in a denominator, as the derivative of an eigendecomposition would.

    Args:
        matrix: symmetric, positive definite; meant for small n.

    Returns:
        The inverse square root.

    Example:
        >>> import jax.numpy as jnp
        >>> inverse_square_root(jnp.diag(jnp.array([4.0, 0.25])))
        Array([[0.5, 0. ],
               [0. , 2. ]], dtype=float32)

    References:
        R. Bhatia. Matrix analysis. Springer 1997, theorem V.3.3 (the Daleckii-Krein formula).
    """
    return _spectral(matrix)[0]


def _spectral(matrix: Array) -> tuple[Array, Array, Array]:
    """The result, eigenvectors, and square roots of the eigenvalues."""
    values, vectors = jnp.linalg.eigh(matrix, symmetrize_input=True)
    roots = jnp.sqrt(values)
    return _product(vectors / roots[..., None, :], vectors.mT), vectors, roots


def _product(left: Array, right: Array) -> Array:
    return jnp.matmul(left, right, precision=jax.lax.Precision.HIGHEST)


@inverse_square_root.defjvp
def _inverse_square_root_jvp(primals, tangents):
    (matrix,), (change,) = primals, tangents
    result, vectors, roots = _spectral(matrix)
    rows, columns = roots[..., :, None], roots[..., None, :]
    rotated = _product(_product(vectors.mT, 0.5 * (change + change.mT)), vectors)
    inner = -rotated / (rows * columns * (rows + columns))
    return result, _product(_product(vectors, inner), vectors.mT)


@checked
def whiten_vectors(
    vectors: Float[Array, "*batch xyz channels"], *, form: Whitening = "isotropic"
) -> Float[Array, "*batch xyz channels"]:
    r"""Centre vectors over their channels and give them the identity as covariance: $(S + E)^{-1/2} \bar V$.

    $\bar V = V - \mathrm{mean}_c V$, $S = \bar V \bar V^\top / C$. In the correct form $E = 3 \cdot 10^{-5} I$, so that
    a rotation $R$ of the input rotates the output: $(R S R^\top + E)^{-1/2} R \bar V = R (S + E)^{-1/2} \bar V$. The
    published form has $E = 10^{-5} (I + \mathrm{diag}(1, 2, 3))$, which keeps its eigenvalues apart but singles out the
    axes of space: small vectors and flat molecules are then not treated alike in every orientation. It is for
    comparisons with published numbers; both forms take the same weights.

    Args:
        vectors: axes of space second-last.
        form: `"isotropic"`, `"published"`, or `"none"`, which returns the vectors as they are.

    Returns:
        The whitened vectors, of the type of `vectors`.

    Raises:
        ValueError: another form.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> white = whiten_vectors(jax.random.normal(jax.random.key(0), (3, 64)))
        >>> (white @ white.T / 64).round(2) + 0.0
        Array([[1., 0., 0.],
               [0., 1., 0.],
               [0., 0., 1.]], dtype=float32)

    References:
        S. Zaidi et al. Pre-training via denoising for molecular property prediction. ICLR 2023, appendix.
    """
    if form == "none":
        return vectors
    if form not in ("isotropic", "published"):
        raise OptionError(f"form is {form!r}; expected isotropic, published or none")
    wide = as_float(vectors)
    centred = wide - wide.mean(-1, keepdims=True)
    covariance = _product(centred, centred.mT) / vectors.shape[-1]
    diagonal = jnp.full((3,), 3.0) if form == "isotropic" else jnp.array([2.0, 3.0, 4.0])
    ridge = jnp.diag(_EPSILON * diagonal).astype(wide.dtype)
    covariance = covariance + jnp.broadcast_to(ridge, covariance.shape)
    return _product(inverse_square_root(covariance), centred).astype(vectors.dtype)
