"""Answers that have ended and are to be judged, by what the running batch saw of them where it watched."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from jaxuq.serving.jobs import Asked
from jaxuq.serving.judging import Answered, Judge, Verdict
from jaxuq.serving.running_jobs import RunningJob
from jaxuq.serving.served import Served

if TYPE_CHECKING:
    from jaxuq.language import RunningBatch


def judged_answers(
    judge: Judge,
    served: Served,
    batch: "RunningBatch",
    jobs: Mapping[int, RunningJob],
    ended: Sequence[tuple[int, int]],
) -> Iterator[tuple[Sequence[tuple[int, int]], Sequence[Verdict] | Exception]]:
    """Verdicts on answers; those of one model are judged together.

    Args:
        judge: who judges.
        served: all models.
        batch: in which the answers have just grown for the last time.
        jobs: by ticket.
        ended: tickets and samples.

    Yields:
        Some of `ended` with their verdicts, or with what made them fail.
    """
    by_name: dict[str, list[tuple[int, int]]] = {}
    for ticket, sample in ended:
        by_name.setdefault(jobs[ticket].job.model or served.names[0], []).append((ticket, sample))
    for name, some in by_name.items():
        try:
            model = served.alone(name)
            assert model is not None  # a job that names no model by itself is refused before it runs
            own = judge if model is served.model else judge.of_model(model)
            yield some, own.judge([_answered(batch, jobs[ticket], sample) for ticket, sample in some])
        except Exception as error:
            yield some, error


def _answered(batch: "RunningBatch", running: RunningJob, sample: int) -> Answered:
    from jaxuq.confidence.text.given_tokens import SeenTokens

    job, seen = running.job, None
    if running.watched:
        log_probs, entropies = running.scores(sample)
        seen = SeenTokens(lambda width: batch.states(running.own, sample, width=width), log_probs, entropies)
    return Answered(job.prompt, running.texts[sample].tokens, job.confidence or Asked(), seen)
