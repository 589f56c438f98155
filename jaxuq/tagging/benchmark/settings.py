"""Options of the neural models: the library's, or those published for each data set."""

from typing import Any, NamedTuple

from jaxuq.tagging.connet import CONNET_OPTIONS
from jaxuq.tagging.finetuning import EncoderTuning
from jaxuq.tagging.neural_model import OutsideVotes, TrainOptions
from jaxuq.tagging.sparse_parameters import SparseOptions
from jaxuq.tagging.tagger import TAGGER_OPTIONS


class Settings(NamedTuple):
    """Options of every neural model.

    Attributes:
        outside: what an `O` beside an entity means to models of votes.
        chmm: training of CHMM.
        chmm_outside: the same for CHMM; the published scripts have a rule of their own.
        sparse_options: training of Sparse-CHMM.
        sparse_outside: the same for Sparse-CHMM; a vote in the published scripts.
        sparse: emissions of Sparse-CHMM.
        connet: training of ConNet.
        tagger: training of the second stage.
        tuning: training of the second stage with its encoder.
        encoder: name or folder of the encoder where that starts.
    """

    outside: OutsideVotes = "abstain"
    chmm: TrainOptions = TrainOptions()
    chmm_outside: OutsideVotes = "abstain"
    sparse_options: TrainOptions = TrainOptions()
    sparse_outside: OutsideVotes = "abstain"
    sparse: SparseOptions = SparseOptions()
    connet: TrainOptions = CONNET_OPTIONS
    tagger: TrainOptions = TAGGER_OPTIONS
    tuning: EncoderTuning = EncoderTuning()
    encoder: str = ""


class _Published(NamedTuple):
    """A row of the published scripts: Sparse-CHMM's, and CHMM's learning rate and batch."""

    batch: int
    rate: float
    smoothing: int
    sparse: dict[str, Any]
    chmm_rate: float
    chmm_batch: int


def _sparse(level, base, top, split, decay, root, power, majority) -> dict[str, Any]:
    return {
        "level": level, "base": base, "expansion": top - base, "split": split, "split_decay": decay, "root": root,
        "power": power, "silence_power": 4.0, "extra_majority": majority, "second_rate": 0.2, "third_rate": 1.0,
    }  # fmt: skip


_PUBLISHED = {
    "bc5cdr": _Published(128, 1e-3, 5, _sparse("entity", 2.0, 1500.0, 0.1, 1.0, 1.1, 0.9, False), 1e-3, 64),
    "conll": _Published(256, 2e-4, 5, _sparse("entity", 10.0, 1000.0, 0.5, 0.1, 1.5, 1.2, False), 1e-5, 32),
    "laptopreview": _Published(256, 1e-4, 1, _sparse("label", 2.0, 1000.0, 0.05, 1.0, 1.5, 0.8, True), 1e-4, 128),
    "ncbi-disease": _Published(128, 1e-3, 1, _sparse("label", 2.0, 1500.0, 0.05, 1.0, 3.0, 1.2, True), 5e-4, 128),
    "ontonotes": _Published(32, 1e-4, 1, _sparse("entity", 2.0, 1000.0, 0.2, 1.0, 1.0, 1.1, False), 1e-4, 32),
}


def settings_for(
    dataset: str,
    kind: str,
    *,
    epochs: int | None = None,
    batch_size: int | None = None,
    selection: str = "f1",
    outside: OutsideVotes = "abstain",
    encoder: str = "",
) -> Settings:
    """Options for a data set.

    Args:
        dataset: name of its folder.
        kind: `"default"`, or `"published"`, which is the default where nothing is published for the data set.
        epochs: most epochs of a stage; None: what the options say.
        batch_size: sentences of a step; None: what the options say.
        selection: `"f1"` or `"likelihood"`.
        outside: what an `O` beside an entity means.
        encoder: name or folder of the encoder.

    Returns:
        `Settings`.

    Example:
        >>> settings_for("NCBI-Disease", "published").sparse.root
        3.0
    """
    settings = Settings(outside=outside, chmm_outside=outside, sparse_outside=outside, encoder=encoder)
    row = _PUBLISHED.get(dataset.lower()) if kind == "published" else None
    if row is not None:
        schedule = {"num_epochs": 100, "patience": 20, "pretrain_epochs": 5, "pretrain_learning_rate": 5e-4}
        sparse = TrainOptions(
            objective="likelihood",
            learning_rate=row.rate,
            batch_size=row.batch,
            smoothing=row.smoothing,
            **schedule,
        )
        chmm = sparse._replace(learning_rate=row.chmm_rate, batch_size=row.chmm_batch, smoothing=1)
        settings = settings._replace(
            chmm=chmm,
            chmm_outside="published" if dataset.lower() != "conll" else "votes",
            sparse_options=sparse,
            sparse_outside="votes",
            sparse=SparseOptions(**row.sparse),
        )
    asked = {"num_epochs": epochs, "batch_size": batch_size}
    changes: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
    return settings._replace(
        chmm=settings.chmm._replace(selection=selection, **changes),
        sparse_options=settings.sparse_options._replace(selection=selection, **changes),
        connet=settings.connet._replace(selection=selection, **changes),
        tagger=settings.tagger._replace(**changes),
        tuning=settings.tuning._replace(**changes),
    )


ABLATIONS: dict[str, dict[str, Any]] = {
    "sparse-chmm": {},
    "stage 1": {"stages": "1"},
    "stages 1-2": {"stages": "1-2"},
    "naive emissions": {"naive": True},
    "no scaling": {"scaling": False},
    "no softmax": {"softmax": False},
    "no dirichlet": {"dirichlet": False},
    "no stage 2": {"stages": "1-3"},
    "stages 2 and 3 merged": {"stages": "1-23"},
}
