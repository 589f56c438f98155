"""The beginning of every run: its folder, the model, and encoded questions."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from jaxuq.language import model_digest
from jaxuq.parallel import mesh_of
from jaxuq.study import Listener, RunFolder, check_folder, digest, open_run
from jaxuq.tuning.choices import Choices
from jaxuq.tuning.configuration import TuneConfiguration, run_options
from jaxuq.tuning.errors import TuningError
from jaxuq.tuning.preparation import Prepared, prepare, read_texts
from jaxuq.tuning.split import load_split

if TYPE_CHECKING:
    from jaxuq.language import LanguageModel


class Opened(NamedTuple):
    """An open run.

    Attributes:
        folder: of its results.
        prepared: model and questions.
    """

    folder: RunFolder
    prepared: Prepared


@contextlib.contextmanager
def open_tuning(
    configuration: TuneConfiguration,
    methods: Sequence[str],
    *,
    model: "LanguageModel | None",
    listener: Listener,
    choices: Choices,
    again: Callable[..., RunFolder],
    labels: int = 0,
) -> Iterator[Opened]:
    """Load the model, hold the folder, encode the questions, and note what was found.

    Args:
        configuration: normalised.
        methods: rows of the result tables, in order.
        model: a loaded model without adapters; None loads `configuration.model`.
        listener: is told the notes.
        choices: that the configuration was normalised with.
        again: what a worker of a cluster calls with the configuration.
        labels: how many questions to tune on there must be; fewer are refused before anything is written.

    Yields:
        `Opened`.

    Raises:
        TuningError: data that cannot be used.
        RunFolderError: the folder holds another run.
        CheckpointError: the model cannot be loaded.
    """
    split = load_split(
        configuration.data, test=configuration.test, shifted=configuration.shifted, layout=configuration.layout
    )
    texts = read_texts(configuration)
    count = min(len(split.train), configuration.limit or len(split.train))
    if labels > count:
        raise TuningError(too_few_labels(labels, count, configuration))
    options = run_options(configuration)
    check_folder(configuration.output, system="tune", options=options, resume=configuration.resume)
    if model is None:
        from jaxuq.language import load_model

        model = load_model(configuration.model, scan=True)
    if configuration.mesh:
        model = model.on_mesh(mesh_of(configuration.mesh))
    weights = model_digest(model)
    with open_run(
        configuration.output,
        system="tune",
        options=options,
        content={"data": digest(split.train, split.test, split.shifted), "texts": digest(texts), "weights": weights},
        resume=configuration.resume,
        crew=configuration.crew(again, configuration),
    ) as folder:
        prepared = prepare(configuration, split, folder, model=model, weights=weights, texts=texts, choices=choices)
        questions = {name: len(one.labels) for name, one in prepared.parts.items()}
        folder.write_record(
            rejected=[list(one) for one in prepared.rejected], notes=prepared.notes,
            tuned_on=len(prepared.examples), questions=questions, methods=list(methods),
            digests={name: digest(asked, split.train) for name, asked in prepared.asked.items()}, **prepared.record,
        )  # fmt: skip
        for note in prepared.notes:
            listener.message(note)
        yield Opened(folder, prepared)


def too_few_labels(labels: int, count: int, configuration: TuneConfiguration) -> str:
    """What is said when rounds of labelling want more questions than there are.

    Args:
        labels: wanted.
        count: of the questions.
        configuration: of the run.

    Returns:
        A sentence.
    """
    return (
        f"--start {configuration.start} and --rounds {configuration.rounds} of --label {configuration.label} are "
        f"{labels} labels; there are {count} questions to tune on"
    )
