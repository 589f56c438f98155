"""Answers that other programs wrote: recognised, measured as by loops, calibrated, and what cannot be read counted."""

import csv
import json
import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from jaxuq import confidence as c
from jaxuq.cli.main import main
from jaxuq.confidence.files.reading import kind_of, read_answers
from jaxuq.confidence.study.files import measure_file, promises
from jaxuq.confidence.study.kept import write_kept
from jaxuq.questions import QuestionError
from jaxuq.study import read_sealed
from tests.confidence.foreign import (
    batch_line,
    chat_completion,
    colours,
    harness_choice,
    harness_text,
    text_completion,
    write_lines,
)


def measured(path, *measures, data="facts"):
    configuration = c.StudyConfiguration(data=str(data), measures=measures or ("all",), responses=path)
    return measure_file(configuration, path, kind_of(path))


def by_id(found):
    return {line["id"]: line for line in found.lines}


def test_samples_of_the_harness_are_measured(tmp_path):
    lines = harness_text()
    path = tmp_path / "samples_gsm8k_2026.jsonl"
    path.write_text("no json\n" + "".join(json.dumps(one) + "\n" for one in lines) + '{"doc_id": 3}\n')
    found = measured(path)
    assert len(found.lines) == 40 and sum(line["correct"] for line in found.lines) == 30
    assert "Taken for samples of lm-evaluation-harness: 40 answers with further answers;" in found.said
    assert "42 lines left out" in found.said  # the other filter's, and two that are none
    assert {"agreement", "number_of_sets", "eigenvalue_uncertainty"} <= found.about.keys()
    for line in found.lines:
        texts = [re.search(r"#### (\d+)", one["text"])[1] for one in line["samples"]]
        own = line["answer"]
        assert own in line["response"]
        assert line["measures"]["agreement"] == pytest.approx(np.mean([one == own for one in texts]))
        assert line["measures"]["number_of_sets"] == len(set(texts))
        assert "semantic_entropy" not in line["measures"]  # it asks for probabilities


def test_choices_of_the_harness_are_a_token_of_a_vocabulary_of_choices(tmp_path):
    lines, names = harness_choice()
    path = write_lines(tmp_path / "samples_arc.jsonl", lines)
    answers = read_answers(path, kind_of(path)).answers
    for one, line in zip(answers, lines):
        told = np.array([float(request[0][0]) for request in line["resps"]])
        shares = np.exp(told) / np.exp(told).sum()
        assert one.text == names[int(told.argmax())] and one.correct == bool(line["acc"])
        assert one.log_probs[0] == pytest.approx(math.log(shares.max()))
        assert one.entropies[0] == pytest.approx(-sum(p * math.log(p) for p in shares))
        assert one.truth == (names[int(line["target"])],)


@pytest.mark.parametrize("form", ["chat", "text", "batch"])
def test_completions_are_measured_as_by_their_loops(tmp_path, form):
    lines, truths = [], {}
    for number, pieces, told, right in colours():
        if form == "text":
            lines.append(text_completion(number, pieces, told, answer="red"))
            name = f"cmpl-{number}"
        else:
            whole = chat_completion(number, pieces, told, **({} if form == "batch" else {"answer": "red"}))
            lines.append(batch_line(number, whole) if form == "batch" else whole)
            name = f"q{number}" if form == "batch" else f"chatcmpl-{number}"
        truths[name] = right, told
    if form == "batch":
        lines.append({**batch_line(99, None), "response": None, "error": {"code": "x", "message": "too long"}})
    path = write_lines(tmp_path / "answers.jsonl", lines)
    data = write_lines(tmp_path / "asked.jsonl",
                       [{"id": name, "question": "which colour?", "answer": "red"} for name in truths])  # fmt: skip
    named = "sequence_log_probability,mean_response_probability,minimum_answer_probability,trace_confidence"
    whole = measured(path, *([] if form == "chat" else [named]), data=data if form == "batch" else "facts")
    found = by_id(whole)
    assert len(found) == 40
    for name, (right, told) in truths.items():
        line = found[name]
        assert line["correct"] == right
        values = line["measures"]
        assert values["sequence_log_probability"] == pytest.approx(sum(told), rel=1e-5)
        assert values["mean_response_probability"] == pytest.approx(np.mean(np.exp(told)), rel=1e-5)
        assert values["minimum_answer_probability"] == pytest.approx(math.exp(told[2]), rel=1e-5)
        peaks = []
        for value in told:
            row = (
                [value, value - 1.0]
                if form == "text"
                else [value] + [math.log1p(-min(math.exp(value), 0.999)) - math.log(2)] * 2
            )
            peaks.append(-np.mean(row))
        assert values["trace_confidence"] == pytest.approx(np.mean(peaks), rel=1e-5)
        assert "predictive_entropy" not in values and "rauq" not in values  # no distribution, no attention
    said = "completions of the OpenAI protocol: 40 answers with log-probabilities of tokens, likeliest tokens"
    assert said in whole.said
    assert ("1 lines left out" in whole.said) == (form == "batch")


def test_further_choices_are_samples(tmp_path):
    lines = []
    for number, pieces, told, right in colours(24):
        other = ("The answer is", " ", "red"), (-0.1, -0.2, -0.3)
        lines.append(chat_completion(number, pieces, told, further=[other, other], correct=right))
    for line in measured(write_lines(tmp_path / "n.jsonl", lines), "sequence_entropy,agreement").lines:
        assert line["measures"]["sequence_entropy"] == pytest.approx(0.6, rel=1e-5)
        assert line["measures"]["agreement"] == float(line["answer"] == "red")


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_data_frame_of_uqlm_is_measured(tmp_path, form):
    rows = []
    for number, pieces, told, right in colours():
        rows.append({
            "prompt": f"colour {number}?", "response": "".join(pieces),
            "sampled_responses": ["The answer is red", "'blue'"],
            "logprob": [{"token": piece, "logprob": one, "top_logprobs": []} for piece, one in zip(pieces, told)],
            "noncontradiction": math.exp(told[2]), "exact_match": 0.5, "correct": right,
        })  # fmt: skip
    frame = pd.DataFrame(rows)
    path = tmp_path / f"frame.{form}"
    frame.to_csv(path) if form == "csv" else pytest.importorskip("pyarrow") and frame.to_parquet(path)
    found = measured(path, "minimum_probability,number_of_sets")
    assert "a data frame of uqlm: 40 answers" in found.said and found.about["noncontradiction"].bounded
    for row, line in zip(rows, found.lines):
        assert line["correct"] == row["correct"] and len(line["samples"]) == 2
        assert line["measures"]["noncontradiction"] == pytest.approx(row["noncontradiction"], rel=1e-5)
        assert line["measures"]["minimum_probability"] == pytest.approx(row["noncontradiction"], rel=1e-5)
        assert line["measures"]["number_of_sets"] == 2


def test_nothing_of_a_cell_is_executed(tmp_path):
    mark = tmp_path / "made"
    evil = f"[__import__('pathlib').Path({str(mark)!r}).touch()]"
    frame = pd.DataFrame({"prompt": ["a"] * 2, "response": ["b", "c"], "sampled_responses": [evil, "['x']"]})
    frame.to_csv(tmp_path / "frame.csv")
    kind = kind_of(tmp_path / "frame.csv")
    found = read_answers(tmp_path / "frame.csv", kind)
    assert len(found.answers) == 1 and "is no list" in found.rejected[0].reason and not mark.exists()


def test_malformed_lines_cost_themselves(tmp_path):
    good = [chat_completion(number, pieces, told, correct=right) for number, pieces, told, right in colours(22)]
    broken = [
        "{", "[]", "null", '{"choices": []}', '{"choices": [{"message": {"content": null}}]}',
        json.dumps(chat_completion(1, ("a",), (0.5,))), json.dumps({**good[0], "choices": [{"message": 3}]}),
        json.dumps(chat_completion(1, ("a",), (math.nan,))),
        '{"choices": [{"text": "x", "logprobs": {"tokens": [1]}}]}',
        '{"choices": [{"text": "x", "logprobs": {"content": [4]}}]}', "\ud800".encode("utf-8", "surrogatepass").decode(
            "utf-8", "replace"),
    ]  # fmt: skip
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in good) + "\n".join(broken) + "\n")
    found = read_answers(path, kind_of(path))
    assert len(found.answers) == 22 and len(found.rejected) == len(broken)
    assert all(one.reason for one in found.rejected)


def test_what_cannot_be_graded_or_measured_is_said(tmp_path):
    ungraded = write_lines(tmp_path / "a.jsonl", [chat_completion(1, ("a",), (-0.1,))])
    with pytest.raises(QuestionError, match=r"no line of .* says what is right"):
        measured(ungraded)
    graded = write_lines(tmp_path / "b.jsonl", [chat_completion(1, ("a",), (-0.1,), answer="a")])
    with pytest.raises(QuestionError, match="has not what the measure 'rauq' needs: with log-probabilities"):
        measured(graded, "rauq")


def test_own_responses_are_what_they_were(tmp_path):
    assert kind_of(write_lines(tmp_path / "own.jsonl", [{"id": "a", "response": "b"}])) is None


def test_what_leaves_is_applied_by_numpy_alone(tmp_path):
    """The program of the guide, as it stands there, gives the probabilities of `load_kept`."""
    lines = [chat_completion(n, pieces, told, correct=right) for n, pieces, told, right in colours(60)]
    found = measured(write_lines(tmp_path / "a.jsonl", lines), "sequence_log_probability,perplexity")
    write_kept(tmp_path, found.lines, found.about, "")
    guide = (Path(__file__).parents[2] / "docs/pages/guides/confidence.md").read_text()
    (program,) = re.findall(r"```python\n(import json.*?)```", guide, re.S)
    assert len(program.splitlines()) <= 30
    names = {}
    exec(program, names)
    for measure in ("sequence_log_probability", "perplexity"):
        kept, probability = c.load_kept(tmp_path, measure), names["calibrator"](tmp_path, measure)
        for value in (-3.0, -0.5, 0.2, 1.1, 1.8):
            expected = kept.calibrated(value)
            np.testing.assert_allclose(probability(value), expected, atol=2e-5)


def test_promised_risks_are_those_of_a_fixed_sequence_of_binomial_tests(tmp_path):
    lines = [chat_completion(n, pieces, told, correct=right) for n, pieces, told, right in colours(400, seed=2)]
    found = measured(write_lines(tmp_path / "a.jsonl", lines), "minimum_probability")
    values = np.array([line["measures"]["minimum_probability"] for line in found.lines], np.float32)
    wrong = ~np.array([line["correct"] for line in found.lines])
    rows = promises(found.lines, found.about)
    assert [row["risk"] for row in rows] == [0.05, 0.1, 0.2]
    for row in rows:
        first = math.ceil(3 * math.log(0.1) / math.log1p(-row["risk"]))
        threshold = math.inf
        for count in np.linspace(first, 400, 20).round().astype(int):
            tried = np.sort(values)[::-1][count - 1]
            if scipy.stats.binom.cdf(wrong[values >= tried].sum(), (values >= tried).sum(), row["risk"]) > 0.1:
                break
            threshold = tried
        assert row["value"] == pytest.approx(threshold)
        assert row["answered"] == pytest.approx((values >= threshold).mean())
    assert 0.3 < rows[-1]["answered"] < 0.9


@pytest.mark.long
def test_the_command_makes_a_page_of_it(tmp_path):
    lines = [chat_completion(n, pieces, told, correct=right) for n, pieces, told, right in colours(60)]
    command = ["confidence", "--responses", str(write_lines(tmp_path / "a.jsonl", lines)), "--measures",
               "minimum_probability,perplexity,lowest_group_confidence", "--output", str(tmp_path / "run")]  # fmt: skip
    main(command)
    folder = tmp_path / "run"
    assert len(read_sealed(folder / "predictions.jsonl")) == 60
    with (folder / "summary.csv").open() as file:
        assert float({row["method"]: row for row in csv.DictReader(file)}["minimum_probability"]["auroc_all"]) > 0.6
    assert "Taken for completions" in json.loads((folder / "run.json").read_text())["notes"][0]
    page = (folder / "report.html").read_text()
    assert "Confidence of the answers in a.jsonl" in page and "When to answer" in page and "smollm2 on" not in page
    assert "Lowest group confidence" in page and "could not be drawn" not in page
    assert (folder / "abstention.csv").exists() and (folder / "confidence.json").exists()
    main(command)
