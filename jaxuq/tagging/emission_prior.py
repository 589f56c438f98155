r"""How Sparse-CHMM makes emission matrices: reliabilities, their expansion, the add-on, the Dirichlet.

$\Omega = \nu^{expan} (\Lambda + \Delta) + \nu^{base}$, $\Phi_{k,l} \sim \mathrm{Dir}(\Omega_{k,l})$
"""

import numbers

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jaxuq._arrays import widened
from jaxuq._shapes import checked

_TINY = 1e-7  # keeps powers below one away from where their slope is infinite


@checked
@widened
def scale_reliability(
    shares: Float[Array, "..."], *, split: float, power: float = 2.0, root: float = 2.0
) -> Float[Array, "..."]:
    r"""Stretch shares of a softmax over labelling functions into reliabilities ($h_{n,s,r}$).

    $h(a) = r^{1-n} a'^n$ for $a' < r$, else $1 - (1-r)^{1-n} (1 - a')^n$, with $a' = a^{1/s}$

    A softmax over $K$ functions has only one unit to give; the root lifts all shares, the power pushes them apart at
    the split. The dissertation's first branch, $a / r^{n-1}$, lacks the exponents, so that it would jump at the split;
    this is the continuous form, which the published code has too.

    Args:
        shares: $\hat A$, in [0, 1].
        split: $r$, in (0, 1), such as one over the number of functions.
        power: $n$, above 0.
        root: $s$, above 0.

    Returns:
        $\tilde A$, in [0, 1]; increasing, 0 at 0 and 1 at 1.

    Raises:
        ValueError: if an option is out of range.

    Example:
        >>> import jax.numpy as jnp
        >>> scale_reliability(jnp.array([0.0, 0.25, 0.5, 1.0]), split=0.5, root=1.0)
        Array([0.   , 0.125, 0.5  , 1.   ], dtype=float32)

    References:
        Li. Uncertainty-Aware and Data-Efficient Fine-Tuning and Application of Foundation Models. Georgia Institute of
        Technology, 2025, Eq. 4.3.
    """
    if not (0 < split < 1 and power > 0 and root > 0):
        raise ValueError(
            f"split is {split}, power {power} and root {root}; expected a split in (0, 1), others positive"
        )
    rooted = jnp.clip(shares, _TINY, 1.0) ** (1 / root)
    low = split ** (1 - power) * rooted**power
    high = 1 - (1 - split) ** (1 - power) * jnp.maximum(1 - rooted, _TINY) ** power
    scaled = jnp.where(rooted < split, low, high)
    return jnp.where(shares <= _TINY, 0.0, jnp.where(shares >= 1 - _TINY, 1.0, scaled))


@checked
@widened
def silence_probability(
    reliability: Float[Array, "..."], *, num_labels: int, split: int | float | Float[Array, ""], power: float = 4.0
) -> Float[Array, "..."]:
    r"""How likely a labelling function of a given reliability is to say `O` of an entity ($g_{n,r}$).

    $g(a) = \frac{2-L}{(n-1)r^n - n r^{n-1}} a^n + (1-L) a + 1$ for $a \le r$, else $g(r) \frac{1-a}{1-r}$

    An unreliable function is mostly silent; what is left goes evenly to the other labels, as much as to the right one.
    From the split on it errs less and less. Value and slope are continuous at the split.

    Args:
        reliability: $\tilde A$, in [0, 1].
        num_labels: $L$, at least 3.
        split: $r$, in (0, 1).
        power: $n$, at least 1.

    Returns:
        Probabilities; 1 at 0 and 0 at 1, and never above one minus the reliability.

    Raises:
        ValueError: if an option is out of range.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> print(jax.device_get(silence_probability(jnp.array([0.0, 0.1, 1.0]), num_labels=5, split=0.1)).round(3))
        [1.    0.681 0.   ]

    References:
        Li. Uncertainty-Aware and Data-Efficient Fine-Tuning and Application of Foundation Models. Georgia Institute of
        Technology, 2025, Eq. 4.5.
    """
    if (isinstance(split, numbers.Real) and not 0 < split < 1) or power < 1 or num_labels < 3:
        raise ValueError(
            f"num_labels is {num_labels}, split {split} and power {power}; expected at least 3, in (0, 1), at least 1"
        )
    denominator = (power - 1) * split**power - power * split ** (power - 1)

    def low(a):
        return (2 - num_labels) / denominator * a**power + (1 - num_labels) * a + 1

    return jnp.where(
        reliability <= split, low(jnp.minimum(reliability, split)), low(split) * (1 - reliability) / (1 - split)
    )


@checked
@widened
def emission_base_prior(
    reliability: Float[Array, "... function state"],
    *,
    split: int | float | Float[Array, ""],
    power: float = 4.0,
    naive: bool = False,
) -> Float[Array, "... function state label"]:
    r"""Expand reliabilities into whole emission matrices ($\Lambda$).

    $\Lambda_{ii} = a_i$; $\Lambda_{1j} = \frac{1 - a_1}{L - 1}$; $\Lambda_{i1} = g(a_i)$;
    $\Lambda_{ij} = \frac{1 - a_i - g(a_i)}{L - 2}$

    for the state `O` (1), other states $i$ and other labels $j$. Rows sum to one.

    Args:
        reliability: $\tilde A$, in [0, 1], the state `O` first; at least three states.
        split: $r$ of `silence_probability`.
        power: $n$ of `silence_probability`.
        naive: spread $1 - a_i$ evenly over all other labels instead, without the emphasis on `O`: the first ablation.

    Returns:
        The matrices.

    Raises:
        ValueError: if there are fewer than three states or an option is out of range.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> print(jax.device_get(emission_base_prior(jnp.array([[0.9, 0.5, 0.0]]), split=0.1)[0]).round(2))
        [[0.9  0.05 0.05]
         [0.46 0.5  0.04]
         [1.   0.   0.  ]]

    References:
        Li. Uncertainty-Aware and Data-Efficient Fine-Tuning and Application of Foundation Models. Georgia Institute of
        Technology, 2025, Eq. 4.4 and section 4.6.3.
    """
    states = reliability.shape[-1]
    if states < 3:
        raise ValueError(f"reliability has {states} states; expected at least 3, O and B- and I- of one type")
    own = jnp.eye(states, dtype=bool)
    state, label = jnp.arange(states)[:, None], jnp.arange(states)[None, :]
    shape = (*reliability.shape, states)
    a = reliability[..., None]
    if naive:
        rest = jnp.broadcast_to((1 - a) / (states - 1), shape)
        return jnp.where(_lift(own, rest), a, rest)
    silent = silence_probability(a, num_labels=states, split=split, power=power)
    outside = jnp.broadcast_to((1 - a) / (states - 1), shape)
    other = jnp.broadcast_to((1 - a - silent) / (states - 2), shape)
    rest = jnp.where(_lift(state == 0, other), outside, jnp.where(_lift(label == 0, other), silent, other))
    return jnp.where(_lift(own, rest), a, rest)


def _lift(mask: Array, like: Array) -> Array:
    return jnp.broadcast_to(mask, like.shape)


@checked
@widened
def emission_addon_prior(
    scale: Float[Array, "... function query"], scores: Float[Array, "function query target"]
) -> Float[Array, "... function state label"]:
    r"""Add the mistakes that the other functions testify to ($\Delta$).

    $\Delta_{k,:,l} = C_{k,l} \tilde W_{k,l,:}$, so $\Delta_{k,i,j} = C_{k,j} \tilde W_{k,j,i}$

    for the state $i$ and the label $j$ that function $k$ says. The query of a score is what the function says, its
    target the state; both $C$ and the first label axis of $\tilde W$ belong to the query, which is the column of
    $\Delta$: one factor for all states in which a function may say the same wrong thing.

    Args:
        scale: $C$, in (0, 1), for each label that a function says.
        scores: $\tilde W$, from `wxor_scores`.

    Returns:
        The addition to the base prior.

    Example:
        >>> import jax.numpy as jnp
        >>> scores = jnp.zeros((1, 3, 3)).at[0, 2, 1].set(1.0)  # says label 2 where others say 1
        >>> emission_addon_prior(jnp.array([[0.5, 0.4, 0.3]]), scores)[0]
        Array([[0. , 0. , 0. ],
               [0. , 0. , 0.3],
               [0. , 0. , 0. ]], dtype=float32)

    References:
        Li. Uncertainty-Aware and Data-Efficient Fine-Tuning and Application of Foundation Models. Georgia Institute of
        Technology, 2025, Eq. 4.9.
    """
    by_query = jnp.broadcast_to(scores, (*scale.shape, scores.shape[-1]))
    return jnp.swapaxes(scale[..., None] * by_query, -1, -2)


@checked
@widened
def emission_concentration(
    prior: Float[Array, "... label"], *, base: float = 1.0, expansion: float = 99.0
) -> Float[Array, "... label"]:
    r"""Concentrations of the Dirichlet distribution of each row of the emissions.

    $\Omega = \nu^{expan} (\Lambda + \Delta) + \nu^{base}$

    Args:
        prior: $\Lambda + \Delta$, at least 0.
        base: $\nu^{base}$, above 0.
        expansion: $\nu^{expan}$, above 0; the published code names the sum of the two instead (`dirichlet_conc_max`).

    Returns:
        $\Omega$, above 0.

    Raises:
        ValueError: if an option is not positive.

    Example:
        >>> import jax.numpy as jnp
        >>> emission_concentration(jnp.array([0.5, 0.5, 0.0]), expansion=10.0)
        Array([6., 6., 1.], dtype=float32)

    References:
        Li. Uncertainty-Aware and Data-Efficient Fine-Tuning and Application of Foundation Models. Georgia Institute of
        Technology, 2025, Eq. 4.10.
    """
    if base <= 0 or expansion <= 0:
        raise ValueError(f"base is {base} and expansion {expansion}; expected two positive numbers")
    return expansion * prior + base


@checked
@widened
def log_dirichlet_sample(
    rng_key: Key[Array, ""], concentration: Float[Array, "... label"]
) -> Float[Array, "... label"]:
    r"""Draw from a Dirichlet distribution in log space, with pathwise gradients.

    $\log \phi_j = \log G_j - \log \sum_m G_m$, $G_j \sim \mathrm{Gamma}(\omega_j, 1)$

    The gradient with respect to the concentrations follows the draw. A gamma variable is made of one with a shape eight
    higher and eight uniform ones, $G_\omega = G_{\omega+8} \prod_{i<8} U_i^{1/(\omega+i)}$; the first is a transformed
    normal (Marsaglia and Tsang), of which 99 in 100 are accepted, so that the gradient may go through the
    transformation: the acceptance would correct it by less than one part in a thousand. That is twelve times faster
    than the gradient of `jax.random.loggamma`. In log space a label of low concentration gets a very small probability
    and never the logarithm of 0. Holds some twenty arrays of the size of the concentrations.

    Args:
        rng_key: a key.
        concentration: above 0.

    Returns:
        Log-probabilities.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> draw = log_dirichlet_sample(jax.random.key(0), jnp.array([1e6, 3e6]))
        >>> print(jax.device_get(jnp.exp(draw)).round(2))
        [0.25 0.75]

    References:
        Marsaglia, Tsang. A simple method for generating gamma variables. ACM Transactions on Mathematical Software,
        2000. Naesseth, Ruiz, Linderman, Blei. Reparameterization gradients through acceptance-rejection sampling
        algorithms. AISTATS 2017, section 5.
        Li. Uncertainty-Aware and Data-Efficient Fine-Tuning and Application of Foundation Models. Georgia Institute of
        Technology, 2025, Eq. 4.11.
    """
    return jax.nn.log_softmax(_log_gamma(rng_key, concentration), axis=-1)


_RAISE = 8  # by how much the shape is raised
_TRIES = 3  # proposals; all are rejected once in a million times, and then the last is taken


def _log_gamma(rng_key: Key[Array, ""], shape: Float[Array, "..."]) -> Float[Array, "..."]:
    normal_key, uniform_key = jax.random.split(rng_key)
    scale = shape + _RAISE - 1 / 3
    slope = 1 / jnp.sqrt(9 * scale)
    normal = jax.random.normal(normal_key, (_TRIES, *shape.shape), shape.dtype)
    smallest = jnp.finfo(shape.dtype).tiny
    uniform = jax.random.uniform(uniform_key, (_TRIES + _RAISE, *shape.shape), shape.dtype, minval=smallest)
    logs = jnp.log(uniform)
    fixed_scale, fixed_slope = jax.lax.stop_gradient((scale[None], slope[None]))
    root = jnp.maximum(1 + fixed_slope * normal, 1e-3)
    accepted = logs[:_TRIES] < 0.5 * normal**2 + fixed_scale * (1 - root**3 + 3 * jnp.log(root))
    chosen = normal[-1]
    for attempt in range(_TRIES - 2, -1, -1):
        chosen = jnp.where(accepted[attempt], normal[attempt], chosen)
    raised = jnp.log(scale) + 3 * jnp.log(jnp.maximum(1 + slope * chosen, 1e-3))
    steps = jnp.arange(_RAISE, dtype=shape.dtype).reshape(_RAISE, *(1,) * shape.ndim)
    return raised + jnp.sum(logs[_TRIES:] / (shape[None] + steps), axis=0)


@checked
@widened
def log_dirichlet_mean(concentration: Float[Array, "... label"]) -> Float[Array, "... label"]:
    r"""Logarithm of the mean of a Dirichlet distribution, which stands for the draws outside training.

    $\log \omega_j - \log \sum_m \omega_m$

    Args:
        concentration: above 0.

    Returns:
        Log-probabilities.

    Example:
        >>> import jax.numpy as jnp
        >>> jnp.exp(log_dirichlet_mean(jnp.array([1.0, 3.0])))
        Array([0.25, 0.75], dtype=float32)

    References:
        Li. Uncertainty-Aware and Data-Efficient Fine-Tuning and Application of Foundation Models. Georgia Institute of
        Technology, 2025, section 4.3.4.
    """
    return jnp.log(concentration) - jnp.log(jnp.sum(concentration, axis=-1, keepdims=True))
