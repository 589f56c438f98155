"""What the neural label models have in common: their text, their three functions, their options."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from jaxtyping import Array, Float, Key

from jaxuq.tagging.embedded import Embeddings
from jaxuq.tagging.label_model import LabelForecast
from jaxuq.tagging.records import WeakLabels

Params = Any
Objective = Literal["em", "likelihood", "published"]
Selection = Literal["likelihood", "f1"]
OutsideVotes = Literal["votes", "abstain", "published"]


class EmbeddedText(NamedTuple):
    """Weakly labelled text with the vectors of its words: what the neural label models take; see `embed_text`.

    Attributes:
        labels: the sentences and what the labelling functions say of them.
        embeddings: for each sentence `[token, width]`, any sequence of host arrays.
        sentences: `[sentence, width]` the vectors of the sentences ($e^{(0)}$), such as those of `[CLS]`; None for the
            means of their words' vectors.

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
    sentences: Float[np.ndarray, "sentence width"] | None = None


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
