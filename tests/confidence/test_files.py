"""Answers that other programs wrote: recognised, measured as by loops, calibrated, and what cannot be read counted."""

import csv
import gzip
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


def test_a_part_of_the_answers_is_read_where_a_limit_is_given(tmp_path):
    path = write_lines(tmp_path / "samples_gsm8k_2026.jsonl", harness_text())
    whole = by_id(measured(path))
    part = by_id(measure_file(c.StudyConfiguration(measures=("all",), responses=path, limit=7), path, kind_of(path)))
    assert len(part) == 7 and all(whole[name]["measures"].keys() >= {"agreement"} for name in part)


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


@pytest.mark.parametrize("form", ["csv", "parquet", "json"])
def test_a_data_frame_with_numbers_and_nested_lists_is_one_in_every_form(tmp_path, form):
    told = [[{"token": "4", "logprob": np.float64(-0.1)}], [{"token": "7", "logprob": -math.inf}]]
    frame = pd.DataFrame({
        "prompt": ["2 + 2?", "3 + 3?"], "response": [4, 7], "sampled_responses": [["4", "5"], ["7", "inf, np.x(1)"]],
        "logprob": told, "sampled_logprob": [[told[0], told[0]], [told[0], told[0]]], "answer": [4, 6],
    })  # fmt: skip
    path = tmp_path / f"frame.{form}"
    if form == "parquet":
        pytest.importorskip("pyarrow")
        frame.to_parquet(path)
    else:
        frame.to_csv(path) if form == "csv" else path.write_text(frame.to_json())
    found = read_answers(path, kind_of(path))
    if form == "json":  # which has no infinity
        assert "a log-probability is None" in found.rejected[0].reason
    else:
        assert found.answers[1].log_probs == (-math.inf,) and found.answers[1].samples[1].text == "inf, np.x(1)"
    one = found.answers[0]
    assert one.text == "4" and one.truth == ("4",) and one.log_probs == (-0.1,)
    assert [sample.log_prob for sample in one.samples] == [-0.1, -0.1]


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


def _document(number, responses, **more):
    texts = {f"gen_args_{k}": {"arg_0": "Which?", "arg_1": f" {name}"} for k, name in enumerate("abc")}
    return {"doc_id": number, "doc": {}, "target": "0", "arguments": texts, "resps": responses,
            "filtered_resps": responses, "filter": "none", "metrics": ["acc"], **more}  # fmt: skip


def test_choices_of_the_harness_of_every_kind(tmp_path):
    told = [[["-3", "False"]], [["-2", "False"]], [["-4", "False"]]]
    alone = [[["-1", "False"]]] * 3
    contexts = {f"gen_args_{k}": {"arg_0": "" if k > 2 else "Which?", "arg_1": f" {'abc'[k % 3]}"} for k in range(6)}
    lines = [
        _document(0, told, acc=0.0),
        _document(
            1, told + alone, arguments=contexts, metrics=["acc", "acc_mutual_info"], acc=0.0, acc_mutual_info=1.0
        ),
        _document(2, told, metrics=["acc_norm"], acc_norm=1.0),  # of the choice that is likeliest for its length
        _document(3, told, acc=0.87),  # several choices are right
        _document(4, told[:1], target=" a", metrics=["perplexity", "acc"], perplexity=-3.0, acc=0.0),
        _document(5, [["-123.4"]], metrics=["word_perplexity"], word_perplexity=[-123.4, 30]),
        _document(6, [[["-inf", "False"]]] * 3, acc=0.0),
    ]
    path = write_lines(tmp_path / "samples_x.jsonl", lines)
    found = read_answers(path, kind_of(path))
    shares = np.exp([-3.0, -2.0, -4.0]) / np.exp([-3.0, -2.0, -4.0]).sum()
    assert [one.id for one in found.answers] == ["0", "1", "2"]
    for one in found.answers:
        assert one.text == "b" and one.truth == ("a",) and one.correct is False
        assert one.log_probs[0] == pytest.approx(math.log(shares[1]))
        assert one.entropies[0] == pytest.approx(-(shares * np.log(shares)).sum())
    said = ["a share of several right choices", "one continuation", "a whole text", "a probability above 0"]
    assert [one.place[-1] for one in found.rejected] == ["4", "5", "6", "7"]
    assert all(part in one.reason for part, one in zip(said, found.rejected))


def test_numbers_that_are_no_grades_grade_nothing(tmp_path):
    lines = [
        _document(0, [["yes", "no"]], target="yes", metrics=["wer"], wer=0.0, filter="a"),
        _document(1, [["yes", "no"]], target="['yes', 'aye']", metrics=["f1"], f1=0.0, filter="a"),
        _document(2, [["aye", "no"]], target="['yes', 'aye']", metrics=["bleu_acc"], bleu_acc=0.0, filter="a"),
        _document(3, [["The answer is 4", "5"]], filtered_resps=[""], target="4", metrics=["f1"], filter="a"),
    ]
    found = by_id(measured(write_lines(tmp_path / "samples_y.jsonl", lines)))
    assert [found[name]["correct"] for name in "0123"] == [True, True, False, True]
    assert found["3"]["answer"] == "4"


def test_log_probabilities_that_are_not_told(tmp_path):
    whole = chat_completion(0, ("Par", "is"), (-0.1, -0.2), answer="Paris")
    lines = [json.loads(json.dumps(whole)) for _ in range(6)]
    for line, told in zip(lines, (None, {"content": None}, {"content": []}, {}, {"tokens": None})):
        line["choices"][0]["logprobs"] = told
    lines[5]["choices"][0]["logprobs"]["content"][1]["logprob"] = -9999.0  # "very unlikely", of the protocol
    path = write_lines(tmp_path / "a.jsonl", lines)
    answers = read_answers(path, kind_of(path)).answers
    assert [one.log_probs for one in answers] == [(), (), (), (), (), (-0.1, -math.inf)]
    values = measured(path).lines[5]["measures"]
    assert values["minimum_probability"] == 0 and values["mean_log_probability"] is None


def test_tokens_within_a_character_are_told_by_their_bytes(tmp_path):
    line = chat_completion(0, ("The answer is caf", "\\xc3", "\\xa9", "."), (-0.1, -0.2, -0.5, -3.0), answer="café")
    line["choices"][0]["message"]["content"] = "The answer is café."
    for token, held in zip(line["choices"][0]["logprobs"]["content"], (b"The answer is caf", b"\xc3", b"\xa9", b".")):
        token["bytes"] = list(held)
    (found,) = measured(write_lines(tmp_path / "a.jsonl", [line])).lines
    assert found["correct"] and found["measures"]["minimum_answer_probability"] == pytest.approx(math.exp(-0.5), 1e-5)


def test_what_means_the_same_on_all_lines_alone_is_compared(tmp_path):
    """Means over as many likeliest tokens; columns that are confidences on every line; names that are of one answer."""
    lines = [text_completion(number, ("a", "b"), (-0.1, -0.2), correct=True) for number in range(3)]
    lines[1]["choices"][0]["logprobs"]["top_logprobs"][0] = {"a": -0.1}  # two tokens of one text
    found = measured(write_lines(tmp_path / "a.jsonl", lines)).lines
    assert ["trace_confidence" in line["measures"] for line in found] == [True, False, True]
    rows = [{"prompt": "a?", "response": "b", "sampled_responses": ["b", "c"], "sure": 0.5, "length": value,
             "correct": True} for value in (0.2, 3.0)]  # fmt: skip
    found = measured(write_lines(tmp_path / "b.jsonl", rows))
    assert "sure" in found.about and "length" not in found.about
    lines = [text_completion(0, ("a",), (-0.1 * at,), correct=True) | {"id": name}
             for at, name in enumerate(("a", "a", "a (2)", "a"), 1)]  # fmt: skip
    found = by_id(measured(write_lines(tmp_path / "c.jsonl", lines), "sequence_log_probability"))
    values = [line["measures"]["sequence_log_probability"] for line in found.values()]
    assert len(found) == 4 and values == pytest.approx([-0.1, -0.2, -0.3, -0.4])


def test_a_further_answer_that_says_nothing_agrees_with_none(tmp_path):
    line = chat_completion(0, ("red",), (-0.1,), further=[(("",), (-0.2,)), (("red",), (-0.3,))], correct=True)
    (found,) = measured(write_lines(tmp_path / "a.jsonl", [line]), "agreement").lines
    assert found["measures"]["agreement"] == 0.5


def test_files_as_consoles_and_editors_save_them(tmp_path):
    line = chat_completion(0, ("Par", "is"), (-0.1, -0.2), answer="Paris")
    text = json.dumps(line)
    for name, content in (
        ("wide.jsonl", (text + "\r\n").encode("utf-16")),
        ("bom.jsonl", b"\xef\xbb\xbf" + text.encode()),
        ("indented.json", json.dumps(line, indent=2).encode()),
        ("PACKED.JSONL.GZ", gzip.compress(text.encode())),
    ):
        (tmp_path / name).write_bytes(content)
        (found,) = measured(tmp_path / name, "minimum_probability").lines
        assert found["measures"]["minimum_probability"] == pytest.approx(math.exp(-0.2), rel=1e-5)
    chunk = {"id": "a", "object": "chat.completion.chunk", "choices": [{"delta": {"content": "Par"}}]}
    for lines, said in (([], "it is empty"), ([chunk], "an object with `id`, `object`, `choices`"), ([3], "line 1: 3")):
        with pytest.raises(
            QuestionError, match=f"no answer in a form that is known .*{said}.*; expected lines with `id`"
        ):
            kind_of(write_lines(tmp_path / "none.jsonl", lines))


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
        for value in (-3.0, -0.5, 0.2, 1.1, 1.8, math.nan, math.inf, *map(float, kept.sign * kept.scores[:5])):
            expected = kept.calibrated(value)
            np.testing.assert_allclose(probability(value), expected, atol=2e-5)
    content = json.loads((tmp_path / "confidence.json").read_text())
    (tmp_path / "confidence.json").write_text(json.dumps(content | {"correct": [1] * 60}))
    for load in (names["calibrator"], c.load_kept):
        with pytest.raises(ValueError, match=r"has 60 .* both right and wrong ones"):
            load(tmp_path, "perplexity")


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
