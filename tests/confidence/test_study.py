"""Questions, a study that is killed and goes on, scores that are said to be undefined, and the page."""

import contextlib
import contextvars
import functools
import json
import os
import pathlib
import signal

import jax
import numpy as np
import pytest

from jaxuq import confidence
from jaxuq.cli.main import main
from jaxuq.confidence.measures import stored_facts
from jaxuq.confidence.study.scores import evaluated, score_measures, write_scores
from jaxuq.questions import add_responses
from jaxuq.reporting import write_report
from jaxuq.study import Listener, Log, read_sealed, sealed_lines
from tests.confidence.tiny_text import model

WORDS = ("cat", "dog", "fish", "bird", "tree")


def questions(path, answer="b"):
    rows = [
        {"id": f"q{n}", "question": f"what is a {w}", "answer": answer, "kind": "text"} for n, w in enumerate(WORDS)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + "no json\n" + '{"question": "x"}\n')
    return path


def configured(folder, data, **options):
    defaults = {"max_new_tokens": 6, "samples": 2, "batch_size": 2}
    return confidence.StudyConfiguration(model="tiny", data=str(data), output=folder, **(defaults | options))


def numbers(folder):
    lines = read_sealed(folder / "predictions.jsonl")
    return sorted(({**line, "seconds": None} for line in lines), key=lambda line: line["id"])


@pytest.mark.long
def test_a_killed_run_continues_to_the_same_numbers(tmp_path):
    data = questions(tmp_path / "mine.jsonl")
    whole = confidence.run_study(configured(tmp_path / "whole", data), model=model())
    assert len(whole.record["rejected"]) == 2  # the bad lines cost themselves, and are named
    assert whole.record["status"] == "complete"

    class Killed(BaseException):
        pass

    def kill(step, done, total, said):
        if done >= 2:
            raise Killed

    broken = configured(tmp_path / "broken", data)
    with pytest.raises(Killed):
        confidence.run_study(broken, model=model(), listener=Listener(progress=kill))
    path = broken.output / "predictions.jsonl"
    kept = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(kept[0] + kept[1][:40])  # killed while writing: half a line, and half a batch
    again = confidence.run_study(broken, model=model())
    assert again.record["status"] == "complete"
    assert numbers(broken.output) == numbers(tmp_path / "whole")
    for name in ("results.csv",):
        assert (broken.output / name).read_text() == (tmp_path / "whole" / name).read_text()
    with pytest.raises(ValueError, match="another configuration"):
        confidence.run_study(configured(tmp_path / "whole", data, seed=1), model=model())


def close(one, other):
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(close(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(close, one, other))
    return one == pytest.approx(other, abs=1e-4) if isinstance(one, float) else one == other


@pytest.mark.long
def test_a_mesh_gives_the_numbers_of_one_device_and_goes_on_with_its_folder(tmp_path):
    data = questions(tmp_path / "mine.jsonl")
    own = {"measures": ("single", "samples")}
    confidence.run_study(configured(tmp_path / "one", data, **own), model=model())
    confidence.run_study(configured(tmp_path / "eight", data, mesh="data=4,tensor=2", **own), model=model())
    assert close(numbers(tmp_path / "eight"), numbers(tmp_path / "one"))
    again = confidence.run_study(configured(tmp_path / "eight", data, **own), model=model())  # nothing is left to do
    assert again.record["status"] == "complete"
    with pytest.raises(ValueError, match="such as data=2,tensor=4"):
        confidence.run_study(configured(tmp_path / "none", data, mesh="data"), model=model())


@pytest.mark.long
def test_workers_of_a_cluster_answer_as_one_process_does(tmp_path, monkeypatch):
    """As Ray calls them, but one after the other and here."""
    data = questions(tmp_path / "mine.jsonl")

    def called(function, calls, *, started, finished, **rest):
        for name, arguments in calls.items():
            started(name, 0)
            finished(name, contextvars.copy_context().run(function, *arguments))

    monkeypatch.setattr("jaxuq.study.engine.run_on_cluster", called)
    own = {"measures": ("single",)}
    confidence.run_study(configured(tmp_path / "whole", data, **own), model=model())
    confidence.run_study(configured(tmp_path / "shared", data, cluster="local", **own), model=model())
    assert numbers(tmp_path / "shared") == numbers(tmp_path / "whole")


def dying_model(name):
    """The tiny model; the first worker that loads it is killed as soon as it has answered a batch."""
    leader, folder = os.environ["JAXUQ_TEST_LEADER"].split(":", 1)
    if os.getpid() != int(leader):
        with contextlib.suppress(FileExistsError):
            pathlib.Path(folder, "dies").touch(exist_ok=False)
            append = Log.append

            def last_words(self, records):
                append(self, records)
                os.kill(os.getpid(), signal.SIGKILL)

            Log.append = last_words
    return model()


@pytest.mark.long
def test_of_two_workers_one_is_killed_and_the_total_is_the_same(tmp_path, monkeypatch):
    """What the dead one has answered is kept, and its share goes on in another process while the other one works."""
    data = questions(tmp_path / "mine.jsonl")
    own = {"measures": ("single",), "batch_size": 1}
    confidence.run_study(configured(tmp_path / "whole", data, **own), model=model())
    monkeypatch.setenv("JAXUQ_TEST_LEADER", f"{os.getpid()}:{tmp_path}")
    told = []
    shared = configured(tmp_path / "shared", data, cluster="local", workers=2, **own)
    confidence.run_study(shared, model=dying_model, listener=Listener(message=told.append))
    assert (tmp_path / "dies").exists()
    assert sum("its last one died" in one for one in told) == 1
    assert numbers(tmp_path / "shared") == numbers(tmp_path / "whole")


@pytest.mark.long
def test_given_responses_are_scored_and_wrong_files_are_told(tmp_path):
    data = questions(tmp_path / "mine.jsonl")
    found = confidence.load_questions(str(data))
    file = tmp_path / "responses.jsonl"
    given = [
        {"id": "q0", "response": "the answer is b"},
        {"id": "q3", "response": "the answer is c."},
        {"id": "zz", "response": "x"},
    ]
    file.write_text("".join(json.dumps(one) + "\n" for one in given))
    kept = add_responses(found, file)
    assert [one.response for one in kept.questions] == ["the answer is b", "the answer is c."]
    assert len(kept.rejected) == 2 + 1 + 3
    folder = confidence.run_study(
        configured(tmp_path / "out", data, responses=file, measures=("single",)), model=model()
    )
    lines = read_sealed(folder.path / "predictions.jsonl")
    assert {line["id"]: line["correct"] for line in lines} == {"q0": True, "q3": False}
    for text, reason in (('{"id": "other", "response": "x"}\n', "no response to any"), ("", "no response to any")):
        file.write_text(text)
        with pytest.raises(confidence.QuestionError, match=reason):
            add_responses(found, file)


def _lines(count=60, correct=None, seed=0):
    rng = np.random.default_rng(seed)
    found = []
    for number in range(count):
        right = bool(rng.random() < 0.5) if correct is None else correct
        sure = float(np.clip(0.5 + (0.25 if right else -0.25) + 0.2 * rng.normal(), 0, 1))
        measures = {"uqac": sure, "perplexity": 3.0 - sure, "p_true": float(rng.random())}
        measures |= {"agreement": 1.0, "stated_confidence": None if number % 2 else 0.5}
        found.append(
            {"id": str(number), "correct": right, "answer": "x", "question": "<i>q</i>", "truth": "y",
             "response": "<script>r</script>", "measures": measures, "tokens": 9, "chain": [[0, "a", 1, 0.5, 3, True]],
             "samples": [], "seconds": {"generate": 1.0, "read": 0.1}, "category": "", "kind": "text", "reply": "",
             "state": "AAA="}
        )  # fmt: skip
    return found


@functools.cache
def scored():
    found = evaluated(_lines(), 0)
    return found, {row["method"]: row for row in score_measures(found, 0, "mine")[1]}


@pytest.mark.long
def test_scores_tell_measures_apart():
    found, rows = scored()
    right = found.correct > 0
    sure = found.scores["uqac"]
    pairs = sure[right][:, None] - sure[~right][None]
    assert rows["uqac"]["auroc_all"] == pytest.approx(np.mean(pairs > 0), abs=1e-5)
    assert rows["perplexity"]["auroc_all"] == pytest.approx(rows["uqac"]["auroc_all"])  # turned: lower is surer
    assert np.isnan(rows["perplexity"]["ece_mean"]) and np.isfinite(rows["perplexity"]["ece_platt"])
    assert rows["agreement"]["auroc_mean"] == 0.5 and rows["agreement"]["auroc_std"] == 0  # all equal: no information
    assert rows["stated_confidence"]["n"] == 30 and rows["stated_confidence"]["undefined"] == 30
    assert rows["uqac"]["n"] == 60  # ... which does not take answers from the others
    assert rows["uqac"]["auroc_all_lower"] < rows["uqac"]["auroc_all"] < rows["uqac"]["auroc_all_upper"]
    assert rows["logistic_all"]["auroc_all"] > 0.7
    assert rows["uqac"]["ece_isotonic"] < 0.25


def test_a_measure_that_is_often_undefined_is_scored_where_it_is_even_alone():
    lines = [line | {"measures": {"stated_confidence": line["measures"]["stated_confidence"]}} for line in _lines()]
    found = evaluated(lines, 0, {"stated_confidence": stored_facts({})["stated_confidence"]})
    (row,) = score_measures(found, 0, "mine")[1]
    assert row["n"] == 30 and row["undefined"] == 30 and row["auroc_all"] == 0.5


@pytest.mark.parametrize("right", [True, False])
def test_one_class_is_said_and_nothing_invented(tmp_path, right):
    notes = write_scores(tmp_path, _lines(12, correct=right), "mine", 0)
    assert any(("right" if right else "wrong") in note and "undefined" in note for note in notes)
    rows = (tmp_path / "summary.csv").read_text().splitlines()
    header, first = rows[0].split(","), rows[1].split(",")
    assert first[header.index("auroc_mean")] == "" and first[header.index("method")] == "uqac"


def test_no_answer_anywhere_is_said(tmp_path):
    lines = [line | {"correct": None, "answer": None} for line in _lines(3)]
    assert any("nothing to score" in note for note in write_scores(tmp_path, lines, "mine", 0))


@pytest.mark.parametrize(
    ("answer", "truth", "kind", "said"),
    [
        ("The capital of Norway is Oslo", "oslo", "text", True),
        ("The capital of Norway is Oslofjord", "oslo", "text", False),
        ("it is C++ then", "C++", "text", True),
        ("about 12 days", "12", "number", False),
    ],
)
def test_right_answers_in_longer_texts_are_said(tmp_path, answer, truth, kind, said):
    changed = {"correct": False, "answer": answer, "truth": truth, "kind": kind}
    lines = [line | changed if number < 3 else line for number, line in enumerate(_lines(12))]
    notes = write_scores(tmp_path, lines, "mine", 0)
    assert any("In 3 of 12 answers" in note and "--layout short" in note for note in notes) == said


def test_page_has_every_measure_and_escapes_texts(tmp_path):
    lines = _lines()
    (tmp_path / "predictions.jsonl").write_text(sealed_lines(lines))
    (tmp_path / "run.json").write_text(json.dumps({"system": "confidence", "configuration": {"model": "m"}}))
    write_scores(tmp_path, lines, "mine", 0)
    page = write_report(tmp_path).read_text()
    assert "<script>r" not in page and "&lt;script&gt;" in page
    for title in ("UQAC: P̃", "Perplexity", "P(True)", "Verbalised confidence", "Logistic: all measures"):
        assert title in page
    assert "could not be drawn" not in page and page.count("<figure>") == 6
    assert "30 answers only" in page
    assert len(list((tmp_path / "figures").glob("*.png"))) == 6


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--data", "nosuch"], "neither a file nor a known set"),
        (["--samples", "0"], "--samples is 0"),
        (["--measures", "some"], "expected all, single"),
        (["--temperature", "-1"], "positive"),
        (["ask", " "], "empty"),
        (["ask", "q", "--answer", "x"], "part of --response"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(capsys, tmp_path, options, message):
    extra = [] if options[0] == "ask" else ["--output", str(tmp_path / "out")]
    with pytest.raises(SystemExit) as ended:
        main(["confidence", *options, *extra])
    assert ended.value.code == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert message in said[-1] and len(said) == 1
    assert not (tmp_path / "out").exists()
    assert jax.devices()
