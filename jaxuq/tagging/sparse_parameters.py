"""Options and parameters of Sparse-CHMM."""

from typing import Literal, NamedTuple

from jaxtyping import Array, Float

from jaxuq.tagging.embedded import Scaling
from jaxuq.tagging.neural_layers import Linear
from jaxuq.tagging.wxor import Convention

Stages = Literal["1", "1-2", "1-2-3", "1-3", "1-23"]
Level = Literal["label", "entity"]


class SparseOptions(NamedTuple):
    r"""How Sparse-CHMM builds and trains its emissions; one switch for each row of the published ablation.

    Attributes:
        level: a reliability for each `"label"`, or one for `B-` and `I-` of an `"entity"` type together.
        root: $s$ of `scale_reliability`; its split is one over the number of functions.
        power: $n$ of `scale_reliability`.
        scaling: False leaves the shares as they are ("w/o h").
        softmax: False takes the sigmoid of each logit instead of shares over the functions ("w/o SoftMax").
        naive: even off-diagonal emissions ("naive emiss").
        split: times one over the number of labels, $r$ of `silence_probability`.
        split_decay: what that split is multiplied by after the first stage.
        silence_power: $n$ of `silence_probability`.
        base: $\nu^{base}$.
        expansion: $\nu^{expan}$; base + expansion is `dirichlet_conc_max` of the published code.
        dirichlet: False takes the normalised priors instead of draws and means ("w/o Dirichlet"). The published code
            then also leaves out the add-on prior; here it stays.
        stages: which are run: `"1"` (S1), `"1-2"` (S2), `"1-3"` (w/o S2), `"1-23"` (merge S2 & S3).
        extra_majority: adds the majority vote as a labelling function while the emissions are trained.
        wxor: normalisation of the WXOR scores.
        second_rate: what the learning rate is multiplied by in stage 2.
        third_rate: what the learning rate is multiplied by in stage 3.
        second_patience: patience of stage 2.
        old_weight: $\lambda$, the weight of the statistics in what stage 2 is first fitted to.

    Example:
        >>> SparseOptions(naive=True).stages
        '1-2-3'
    """

    level: Level = "label"
    root: float = 2.0
    power: float = 1.2
    scaling: bool = True
    softmax: bool = True
    naive: bool = False
    split: float = 0.05
    split_decay: float = 1.0
    silence_power: float = 4.0
    base: float = 2.0
    expansion: float = 998.0
    dirichlet: bool = True
    stages: Stages = "1-2-3"
    extra_majority: bool = False
    wxor: Convention = "dissertation"
    second_rate: float = 0.2
    third_rate: float = 1.0
    second_patience: int = 5
    old_weight: float = 0.2


DEFAULT_SPARSE = SparseOptions()


class SparseCHMMParams(NamedTuple):
    """Parameters of `sparse_chmm`.

    Attributes:
        transition: from a word vector to `state x state` logits.
        outside: from a sentence vector to a logit of each function's reliability at `O`.
        entity: from a sentence vector to `function x label` or `function x type` logits of the others.
        addon: from a sentence vector to `function x label` logits of the scale of the add-on prior, without `O`.
        wxor: `[function, query, target]` scores; zero before stage 2, and then there is no add-on prior.
        split: the split of `silence_probability`, which may decay after stage 1.
        statistics: `[state, state]` and `[function, state, label]`, what the heads are fitted to first.
        scaling: what vectors are shifted by and divided by first.
    """

    transition: Linear
    outside: Linear
    entity: Linear
    addon: Linear
    wxor: Float[Array, "function query target"]
    split: Float[Array, ""]
    statistics: tuple[Float[Array, "state state"], Float[Array, "function state label"]]
    scaling: Scaling
