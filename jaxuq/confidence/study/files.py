"""A study of answers that another program has written down: no model, the measures that its file allows."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxuq._entries import Entry
from jaxuq.confidence._measure import GROUPS, Seen
from jaxuq.confidence.files.measuring import fields_of, final_answer
from jaxuq.confidence.files.reading import GivenAnswers, Kind, read_answers
from jaxuq.confidence.files.records import GivenAnswer
from jaxuq.confidence.measures import MeasureFacts, chosen_measures, facts_of
from jaxuq.confidence.study.configuration import StudyConfiguration, options_of
from jaxuq.confidence.study.kept import KeptConfidence, write_kept
from jaxuq.confidence.study.lines import Lines
from jaxuq.confidence.study.scores import write_answers, write_scores
from jaxuq.confidence.text.measuring import measurable, measured
from jaxuq.questions import FoundAnswer, Question, QuestionError, judge_answer, load_questions, spread
from jaxuq.questions.grading import with_unit
from jaxuq.questions.kinds import kind_of as kind_of_answers
from jaxuq.study import Listener, RunFolder, check_folder, digest, open_run, write_table

_FORMULA = 1
_RISKS = (0.05, 0.1, 0.2)
"""Shares of wrong answers among those given that `abstention.csv` promises."""


class MeasuredFile(NamedTuple):
    """A file's answers with their measures.

    Attributes:
        given: what was read.
        questions: of the answers.
        lines: as a study keeps them.
        about: the measures.
    """

    given: GivenAnswers
    questions: list[Question]
    lines: list[dict[str, Any]]
    about: dict[str, MeasureFacts]

    @property
    def said(self) -> str:
        """What was taken for what, in one line."""
        left = f"; {len(self.given.rejected)} lines left out" if self.given.rejected else ""
        return f"Taken for {self.given.kind}: {len(self.given.answers)} answers {_told(self.given)}{left}."


def measure_file(
    configuration: StudyConfiguration,
    path: Path,
    kind: Kind,
    measures: Mapping[str, Entry | Callable[[Seen], Any]] | None = None,
) -> MeasuredFile:
    """Read, grade and measure the answers of a file of another program.

    Args:
        configuration: of the study: its measures; its data, where the file does not tell what is right.
        path: of the file.
        kind: of the file.
        measures: of the user's, by name.

    Returns:
        `MeasuredFile`.

    Raises:
        QuestionError: nothing can be read, graded or measured, or not a measure that was named.
    """
    chosen = chosen_measures(configuration.measures, measures)
    given = _graded(read_answers(path, kind), configuration, path)
    given = given._replace(answers=spread(given.answers, configuration.limit, configuration.seed))
    questions = [_question(one) for one in given.answers]
    found = [_final(one, question) for one, question in zip(given.answers, questions)]
    values = _values(given.answers, questions, found, chosen)
    names = dict.fromkeys(name for row in values for name, value in row.items() if math.isfinite(value))
    theirs = dict.fromkeys(name for one in given.answers for name in one.scores)
    named = {part for one in configuration.measures for part in one.split(",")} | set(measures or {})
    lacking = [one.name for one in chosen if one.name in named - set(names)]
    if lacking or not (names or theirs):
        wanted = f"the measure {lacking[0]!r}" if lacking else "any measure"
        raise QuestionError(f"{path} ({given.kind}) has not what {wanted} needs: {_told(given)}")
    about = {one.name: facts_of(one)._replace(seconds=()) for one in chosen if one.name in names}
    about |= {
        name: MeasureFacts(f"{name} (of the file)", "response", 1, True, ()) for name in theirs if name not in about
    }
    lines = [
        _line(one, question, answer, dict(one.scores) | row)
        for one, question, answer, row in zip(given.answers, questions, found, values)
    ]
    return MeasuredFile(given, questions, lines, about)


def run_files(
    configuration: StudyConfiguration,
    path: Path,
    kind: Kind,
    *,
    measures: Mapping[str, Entry | Callable[[Seen], Any]] | None = None,
    listener: Listener,
) -> RunFolder:
    """Score the answers of a file of another program, see `run_study`.

    Args:
        configuration: of the study; its model is not loaded.
        path: of the file.
        kind: of the file.
        measures: of the user's, by name.
        listener: is told what was taken for what.

    Returns:
        The result folder, with `abstention.csv` beside what a study writes.

    Raises:
        QuestionError: see `measure_file`.
        RunFolderError: the folder holds another run.
    """
    options = options_of(configuration, True)
    check_folder(configuration.output, system="confidence", options=options, resume=configuration.resume)
    found = measure_file(configuration, path, kind, measures)
    listener.message(found.said)
    content = digest(found.lines)
    with open_run(
        configuration.output, system="confidence", options=options, content={"data": content},
        resume=configuration.resume, digests={path.name: content},
        measures={name: one._asdict() for name, one in found.about.items()},
    ) as folder:  # fmt: skip
        rejected = [list(one) for one in found.given.rejected]
        folder.write_record(rejected=rejected, questions=len(found.lines), notes=[found.said], answers_of=path.name)
        lines = Lines(folder.log("predictions.jsonl", formula=_FORMULA, rows=len(found.lines), lines=content))
        if lines.of(found.questions) is None:
            lines.add(found.questions, found.lines)
        done = lines.settle(found.questions, [found.questions])
        right = sum(line["correct"] is True for line in done)
        listener.progress("answers", len(done), len(done), f"{right} right")
        notes = write_scores(folder.path, done, path.name, configuration.seed, found.about)
        write_answers(folder.path, done, found.about)
        write_kept(folder.path, done, found.about, "", groups=GROUPS)
        write_table(folder.path / "abstention.csv", promises(done, found.about), ("method", "risk"))
        folder.write_record(notes=[found.said, *notes])
        for note in notes:
            listener.message(note)
    return folder


def _told(given: GivenAnswers) -> str:
    first = given.answers
    facts = {
        "log-probabilities of tokens": any(one.log_probs for one in first),
        "likeliest tokens": any(one.likeliest for one in first),
        "further answers": any(one.samples for one in first),
        "scores": any(one.scores for one in first),
    }
    there = [name for name, known in facts.items() if known]
    missing = [name for name, known in facts.items() if not known]
    return f"with {', '.join(there) or 'texts alone'}" + (f"; without {', '.join(missing)}" if missing else "")


def _graded(given: GivenAnswers, configuration: StudyConfiguration, path: Path) -> GivenAnswers:
    """With what is right from the data of the run, where the file does not tell."""
    if any(one.correct is not None or one.truth for one in given.answers):
        return given
    known = load_questions(configuration.data, folder=configuration.folder)
    truths = {one.id: one for one in known.questions}
    answers = [
        one._replace(truth=truths[one.id].answers, question=one.question or truths[one.id].question)
        if one.id in truths else one
        for one in given.answers
    ]  # fmt: skip
    if not any(one.truth for one in answers):
        raise QuestionError(
            f"no line of {path} says what is right, and none has the id of a question of {known.name}: add `answer` or "
            "`correct` to its lines, or name with --data a file with the `id`, `question` and `answer` of each"
        )
    return given._replace(answers=answers)


def _question(one: GivenAnswer) -> Question:
    kind = "number" if one.truth and kind_of_answers(list(one.truth)) == "number" else "text"
    return Question(one.id, one.question or one.id, one.truth, kind, response=one.text)


def _final(one: GivenAnswer, question: Question) -> FoundAnswer | None:
    if one.extracted is not None:
        start = one.text.rfind(one.extracted)
        if start < 0:  # it was rewritten, and no part of the text is it
            return FoundAnswer(one.extracted, len(one.text), len(one.text))
        return FoundAnswer(one.extracted, start, start + len(one.extracted))
    return final_answer(one.text, question)


def _values(
    answers: Sequence[GivenAnswer],
    questions: Sequence[Question],
    found: Sequence[FoundAnswer | None],
    measures: Sequence[Entry],
) -> list[dict[str, float]]:
    """The measures of each answer, made for all with the same kinds of facts together."""
    groups: dict[Any, list[int]] = {}
    for place, one in enumerate(answers):
        facts = bool(one.log_probs), bool(one.entropies), bool(one.likeliest), len(one.samples)
        groups.setdefault(facts, []).append(place)
    values: list[dict[str, float]] = [{} for _ in answers]
    for places in groups.values():
        own = [answers[place] for place in places]
        read = [found[place] for place in places]
        fields = fields_of(own, [questions[place] for place in places], read, measures)
        texts = [
            {"text": one.text, "answer_text": answer and answer.text, "question": one.question, "reply": None,
             "sample_texts": [sample.text for sample in one.samples]}
            for one, answer in zip(own, read)
        ]  # fmt: skip
        usable = [one for one in measures if measurable(one, fields, texts[0])]
        for place, row in zip(places, measured(usable, fields, texts)):
            values[place] = row
    return values


def _line(
    one: GivenAnswer, question: Question, found: FoundAnswer | None, values: Mapping[str, float]
) -> dict[str, Any]:  # fmt: skip
    right = one.correct
    if right is None and found is not None and one.truth:
        right = judge_answer(with_unit(one.text, found, question), question).equal
    return {
        "id": one.id, "category": "", "kind": question.kind, "question": question.question,
        "truth": one.truth[0] if one.truth else None, "response": one.text,
        "answer": None if found is None else found.text, "correct": right, "tokens": len(one.log_probs), "chain": [],
        "samples": [{"text": sample.text, "answer": None} for sample in one.samples], "reply": None,
        "seconds": {}, "state": "",
        "measures": {name: float(f"{value:.7g}") if math.isfinite(value) else None for name, value in values.items()},
    }  # fmt: skip


def promises(lines: Sequence[Mapping[str, Any]], about: Mapping[str, MeasureFacts]) -> list[dict[str, Any]]:
    """From which value of a measure on to answer, for each risk; each promise is of a measure chosen beforehand."""
    rows = []
    graded = [line for line in lines if line["correct"] is not None]
    for name, one in about.items():
        scores = np.array([line["measures"].get(name) for line in graded], float)
        there = np.isfinite(scores)
        correct = np.array([line["correct"] for line in graded], bool)[there]
        try:
            kept = KeptConfidence(name, one.sign * scores[there], correct, sign=one.sign)
        except QuestionError:
            continue
        for risk in _RISKS:
            threshold = kept.threshold(risk)
            rows.append(
                {"method": name, "risk": risk, "delta": 0.1, "value": one.sign * threshold,
                 "answered": float((kept.scores >= threshold).mean()), "labelled": len(kept.scores)}
            )  # fmt: skip
    return rows
