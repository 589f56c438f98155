"""Iterated prompting: does hearing an answer make the model likelier to give it again?

A model that knows the distribution of answers gives a second one independently of the first, however many answers are
right; one that does not know copies what it is shown. So the mutual information between rounds is near 0 for "many
answers are right", where every entropy is high, and high for "I do not know".
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxuq._arrays import counted, masked, number_of, select, undefined_unless, widened
from jaxuq._options import check_count, check_number
from jaxuq._shapes import checked
from jaxuq.confidence._measure import measure

_LOW = -1e30


class IteratedAnswers(NamedTuple):
    """Two rounds of answers. Entries stand at the first answer of each cluster, and are 0 elsewhere.

    Attributes:
        mutual_information: between the rounds, nats; higher is more uncertain, of the epistemic kind alone.
        entropy: of the first round, nats, which mixes both kinds.
        first: distribution over clusters when asked once.
        second: distribution when asked again; its likeliest is the answer to give.
    """

    mutual_information: Float[Array, ""]
    entropy: Float[Array, ""]
    first: Float[Array, " answers"]
    second: Float[Array, " answers"]


@checked
@widened
def iterated_mutual_information(
    log_probs: Float[Array, " answers"],
    repeated: Float[Array, "answers answers"],
    clusters: Int[Array, " answers"] | None = None,
    *,
    joint_floor: float = 0.0,
    product_floor: float | None = None,
    where: Bool[Array, " answers"] | None = None,
) -> IteratedAnswers:
    r"""Mutual information between a first answer and one given after it was shown: epistemic uncertainty alone.

    $$\hat I = \sum_{i,t} \mu_1(i) \mu_2(t \mid i) \log \frac{\mu_1(i) \mu_2(t \mid i) + \gamma_1}
      {\mu_1(i) \sum_j \mu_1(j) \mu_2(t \mid j) + \gamma_2}$$

    with $\mu_1(i)$ the probability of cluster $i$ among the answers seen, and $\mu_2(t \mid i)$ that of cluster $t$
    after the prompt that shows the first answer of cluster $i$. The second round scores answers that are there already:
    $k$ prompts that share their beginning, and no new sampling.

    Not an entropy: it is 0 when there is one cluster, and when the model keeps to several answers whatever it is shown.
    Abstain where it is above a threshold that was set on graded questions, see
    `jaxuq.calibration.abstention_threshold`; `iterated_bound` says how little ten samples prove.

    Args:
        log_probs: of the unique answers, their stop tokens included.
        repeated: `repeated[i, j]`: log-probability of answer j after a prompt that shows answer i.
        clusters: which answers mean the same, see `greedy_clusters`; None: each is its own. -1: does not count.
        joint_floor: $\gamma_1 \ge 0$; 0 as in the paper's experiments, $1 / (k \cdot \mathrm{support})$ in its theorem.
        product_floor: $\gamma_2$; None: as `joint_floor`. The theorem has $\gamma_1 + n (1 - Z)$.
        where: True for the answers that count; None counts all.

    Returns:
        `IteratedAnswers`; NaN if no answer counts.

    Raises:
        ValueError: a negative floor.

    Example:
        >>> import jax.numpy as jnp
        >>> once = jnp.log(jnp.array([0.3, 0.2, 0.1]))
        >>> again = jnp.log(jnp.array([[0.5, 0.1, 0.05], [0.25, 0.2, 0.05], [0.3, 0.1, 0.2]]))
        >>> round(float(iterated_mutual_information(once, again).mutual_information), 4)
        0.0661

    References:
        Abbasi Yadkori, Kuzborskij, Gyorgy and Szepesvari. To Believe or Not to Believe Your LLM: Iterative Prompting
        for Estimating Epistemic Uncertainty. NeurIPS 2024, Algorithm 3 and Theorem 4.6.
    """
    joint_floor = check_number("joint_floor", joint_floor, 0.0)
    product_floor = joint_floor if product_floor is None else check_number("product_floor", product_floor, 0.0)
    size = log_probs.shape[0]
    valid = counted(where, (size,))
    own = jnp.arange(size, dtype=jnp.int32)
    numbers = own if clusters is None else clusters
    valid &= numbers >= 0
    same = (numbers[:, None] == numbers[None]) & valid[:, None] & valid[None]
    founder = jnp.min(jnp.where(same, own[None], size), axis=1, initial=size)
    members = valid[None] & (founder[None] == own[:, None])  # [cluster, answer], clusters called by their first
    filled = jnp.any(members, axis=1)
    once = select(log_probs, valid)
    scores = jax.nn.logsumexp(jnp.where(members, once[None], _LOW), axis=1)
    first = select(jax.nn.softmax(jnp.where(filled, scores, _LOW)), filled)
    shown = jnp.where(filled[:, None] & valid[None], repeated, 0.0)
    again = jax.nn.logsumexp(jnp.where(members[None], shown[:, None], _LOW), axis=2)  # [shown, cluster]
    given = jax.nn.softmax(jnp.where(filled[None], again, _LOW), axis=1)
    joint = first[:, None] * jnp.where(filled[:, None] & filled[None], given, 0.0)
    second = jnp.sum(joint, axis=0)
    product = _logarithm(first)[:, None] + _logarithm(second)[None]
    information = _information(joint, product, joint_floor, product_floor)
    some = jnp.any(valid)
    entropy = jnp.sum(jax.scipy.special.entr(first))
    return IteratedAnswers(*(undefined_unless(some, one) for one in (information, entropy, first, second)))


def _logarithm(probabilities: Array) -> Array:
    """Of what is above 0; 0 elsewhere."""
    return jnp.log(jnp.where(probabilities > 0, probabilities, 1.0))


def _information(joint: Array, log_product: Array, joint_floor: float, product_floor: float) -> Array:
    """From the logarithms of the product, which itself underflows where the joint probability does not."""
    some = joint > 0
    logs = _logarithm(joint), jnp.where(some, log_product, 0.0)
    above, below = (
        one if floor == 0 else jnp.logaddexp(one, math.log(floor))
        for one, floor in zip(logs, (joint_floor, product_floor))
    )
    return jnp.sum(jnp.where(some, joint * (above - below), 0.0))


@checked
@widened
def tuple_mutual_information(
    log_probs: Float[Array, " tuples"],
    answers: Int[Array, "tuples rounds"],
    *,
    joint_floor: float = 0.0,
    product_floor: float | None = None,
    where: Bool[Array, " tuples"] | None = None,
) -> Float[Array, ""]:
    r"""Mutual information of sampled tuples of answers, $\hat I = \sum \hat\mu \log (\hat\mu + \gamma_1) /
    (\prod_t \hat\mu_t + \gamma_2)$, of any number of rounds.

    $\hat\mu$ is the pseudo-joint probability of the *unique* tuples that were drawn, renormalised by their mass, and
    $\hat\mu_t$ its marginal of round $t$. It needs n samplings a tuple; `iterated_mutual_information` needs one round.

    Args:
        log_probs: of each tuple under the pseudo-joint, $\sum_t \log Q(y_t \mid F_{t-1}(x, y_{<t}))$.
        answers: numbers of the answers (or their clusters) in each tuple; a tuple drawn twice counts once.
        joint_floor: $\gamma_1 \ge 0$.
        product_floor: $\gamma_2$; None: as `joint_floor`.
        where: True for the tuples that count; None counts all.

    Returns:
        A scalar in nats; NaN if no tuple counts.

    Raises:
        ValueError: a negative floor.

    Example:
        >>> import jax.numpy as jnp
        >>> tuples = jnp.array([[0, 0], [0, 1], [0, 0], [1, 1], [2, 0]])
        >>> probabilities = jnp.array([0.24, 0.08, 0.24, 0.06, 0.02])
        >>> round(float(tuple_mutual_information(jnp.log(probabilities), tuples)), 4)
        0.1976

    References:
        Abbasi Yadkori et al. To Believe or Not to Believe Your LLM. NeurIPS 2024, Algorithms 1 and 2.
    """
    joint_floor = check_number("joint_floor", joint_floor, 0.0)
    product_floor = joint_floor if product_floor is None else check_number("product_floor", product_floor, 0.0)
    size = log_probs.shape[0]
    valid, log_probs = masked(where, log_probs=log_probs)
    equal = (answers[:, None] == answers[None]) & valid[:, None, None] & valid[None, :, None]  # [tuple, tuple, round]
    earlier = jnp.arange(size)[None] < jnp.arange(size)[:, None]
    unique = valid & ~jnp.any(jnp.all(equal, axis=2) & earlier, axis=1)
    joint = select(jax.nn.softmax(jnp.where(unique, log_probs, _LOW)), unique)
    marginals = jnp.sum(jnp.where(equal, joint[None, :, None], 0.0), axis=1)
    product = jnp.sum(jnp.where(valid[:, None], _logarithm(marginals), 0.0), axis=1)
    return undefined_unless(jnp.any(valid), _information(joint, product, joint_floor, product_floor))


@checked
@widened
def missing_mass(answers: Int[Array, " samples"], *, where: Bool[Array, " samples"] | None = None) -> Float[Array, ""]:
    r"""Good-Turing's estimate of the probability of all answers that no sample has, $n_1 / k$.

    $n_1$ is the number of answers that were drawn once. With ten samples of an open question it is rarely small.

    Args:
        answers: numbers of the answers that were drawn.
        where: True for the samples that count; None counts all.

    Returns:
        In [0, 1]; NaN if no sample counts.

    Example:
        >>> import jax.numpy as jnp
        >>> round(float(missing_mass(jnp.array([0, 1, 0, 2, 3]))), 4)
        0.6

    References:
        Good. The Population Frequencies of Species and the Estimation of Population Parameters. Biometrika 40, 1953.
    """
    valid = counted(where, answers.shape)
    same = (answers[:, None] == answers[None]) & valid[None] & valid[:, None]
    once = jnp.sum(jnp.sum(same, axis=1) == 1).astype(jnp.result_type(float))
    return undefined_unless(jnp.any(valid), once / number_of(valid, once))


@checked
@widened
def iterated_bound(
    mutual_information: Float[Array, "*batch"], *, samples: int, support: int, miss: float = 0.05
) -> Float[Array, "*batch"]:
    r"""What the estimate proves of the mutual information of the model's own distribution.

    $$I \ge (1 - \varepsilon) \hat I - \tfrac1k - (1 + \log(1 + k S)) \varepsilon, \qquad
      \varepsilon = \mathbb{E}[U_k] + \sqrt{\log(1 / \delta) / k}$$

    with probability $1 - \delta$, where $\mathbb{E}[U_k]$, the mass that is not drawn, is at most $S / (e k)$, or
    $e^{-k / S}$ below $k = S$. Empty (negative) at the ten samples of the paper's experiments: rank by the estimate,
    and take the bound for what it is.

    Args:
        mutual_information: $\hat I$ with $\gamma_1 = 1 / (k S)$ and $\gamma_2 \ge \gamma_1 + n (1 - Z)$.
        samples: $k$.
        support: $S$, how many tuples there may be: answers to the power of rounds.
        miss: $\delta$ in (0, 1).

    Returns:
        Of the shape of the estimate, in nats.

    Raises:
        ValueError: a count below 1, or `miss` outside (0, 1).

    Example:
        >>> import jax.numpy as jnp
        >>> [round(float(iterated_bound(jnp.array(1.0), samples=k, support=9)), 3) for k in (10, 1000)]
        [-4.819, 0.354]

    References:
        Abbasi Yadkori et al. To Believe or Not to Believe Your LLM. NeurIPS 2024, Theorem 4.6.
        Berend and Kontorovich. The Missing Mass Problem. Statistics and Probability Letters 82, 2012.
    """
    samples, support = check_count("samples", samples), check_count("support", support)
    miss = check_number("miss", miss, 0.0, 1.0, open_low=True, open_high=True)
    many = samples >= support
    unseen = support / (math.e * samples) if many else math.exp(-samples / support)
    slack = unseen + math.sqrt(math.log(1.0 / miss) / samples)
    return (1.0 - slack) * mutual_information - 1.0 / samples - (1.0 + math.log1p(samples * support)) * slack


ENTRIES = (
    measure("iterated_mutual_information", "Iterated prompting",
            needs=("answers scored again after being shown each other",), higher="uncertain",
            citation=("iterated-prompting",)),
)  # fmt: skip
"""Iterated prompting as a measure of an answer, see `jaxuq.confidence.MEASURES`."""
