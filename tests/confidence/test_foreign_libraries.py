"""Files that other libraries made by themselves: kept ones, and where the library is there, ones that it makes now."""

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest

from jaxuq import confidence as c
from jaxuq.confidence.files.frames import listed, read_frame, rows_of
from jaxuq.confidence.files.harness import grading_metrics
from jaxuq.confidence.files.reading import kind_of, read_answers
from jaxuq.confidence.files.records import Unusable
from jaxuq.confidence.study.files import measure_file
from jaxuq.questions import QuestionError
from jaxuq.questions.reading import read_entries
from tests.confidence.foreign import write_lines
from tests.confidence.golden import make_completions, make_frames, make_harness

GOLDEN = Path(__file__).parent / "golden"
SOURCES = ["golden", pytest.param("library", marks=pytest.mark.oracle)]


def kept(folder, prefix=""):
    (found,) = GOLDEN.glob(folder)
    return {path.stem.removeprefix(prefix) if prefix else path.name: path for path in sorted(found.iterdir())}


@pytest.fixture(scope="module", params=SOURCES)
def harness(request, tmp_path_factory):
    """Samples of lm-evaluation-harness, by task."""
    if request.param == "golden":
        return kept("lm_eval-*", "samples_")
    pytest.importorskip("lm_eval")
    return make_harness.write(tmp_path_factory.mktemp("harness"))


@pytest.fixture(scope="module", params=SOURCES)
def completions(request, tmp_path_factory):
    """Completions that OpenAI's client received, by file."""
    if request.param == "golden":
        return kept("openai-*")
    pytest.importorskip("openai")
    return make_completions.write(tmp_path_factory.mktemp("completions"))


@pytest.fixture(scope="module", params=SOURCES)
def frames(request, tmp_path_factory):
    """Data frames of uqlm, by file."""
    if request.param == "golden":
        pytest.importorskip("pyarrow")
        return kept("uqlm-*")
    pytest.importorskip("uqlm")
    return make_frames.write(tmp_path_factory.mktemp("frames"))


def read(path):
    return read_answers(path, kind_of(path))


def measured(path, *measures, data="facts"):
    configuration = c.StudyConfiguration(data=str(data), measures=measures or ("all",), responses=path)
    return measure_file(configuration, path, kind_of(path))


@pytest.mark.parametrize("task", ["choice", "greedy_choice", "normal_choice", "information", "several_right"])
def test_a_choice_is_the_likeliest_and_graded_as_such(harness, task):
    """Whatever else the task computes: by length, from the choices alone, or whether greedy decoding says it."""
    found = measured(harness[task], "answer_probability", "predictive_entropy", "trace_confidence")
    assert len(found.lines) == len(make_harness.KNOWN) and not found.given.rejected
    for line, (told, _, right) in zip(found.lines, make_harness.KNOWN):
        shares = np.exp(told) / np.exp(told).sum()
        likeliest = int(np.argmax(told))
        gold = {right, 1} if task == "several_right" else {right}
        assert line["answer"] == line["response"] == make_harness.COLOURS[likeliest]
        assert line["correct"] == (likeliest in gold) and line["truth"] == make_harness.COLOURS[min(gold)]
        assert line["question"] == f"Colour {line['id']}?"
        assert line["measures"]["answer_probability"] == pytest.approx(shares.max(), rel=1e-5)
        assert line["measures"]["predictive_entropy"] == pytest.approx(-(shares * np.log(shares)).sum(), rel=1e-5)
        assert line["measures"]["trace_confidence"] == pytest.approx(-np.log(shares).mean(), rel=1e-5)


def test_choices_that_stand_in_the_question_are_told_apart_by_it(harness):
    answers = read(harness["inputs"]).answers
    assert [one.text for one in answers] == ["A"] * 4 and [one.correct for one in answers] == [True, False] * 2
    assert {one.question for one in answers} == {"won."} and answers[0].truth == ("A",) and answers[1].truth == ()
    assert answers[0].log_probs[0] == pytest.approx(-math.log1p(math.exp(-0.5)))


def test_the_first_filter_grades_and_repeats_are_further_answers(harness):
    found = measured(harness["sums"], "agreement", "number_of_sets")
    assert [line["correct"] for line in found.lines] == [True, False, False, True, False]
    assert [line["answer"] for line in found.lines] == ["5", "9", "12", "1,100", "10"]
    assert [line["measures"]["agreement"] for line in found.lines] == [0.5, 0.0, 1.0, 0.5, 1.0]
    assert [line["measures"]["number_of_sets"] for line in found.lines] == [2, 1, 1, 2, 1]
    for line, (_, texts) in zip(found.lines, make_harness.SUMS):
        assert [line["response"], *(one["text"] for one in line["samples"])] == list(texts)
    assert {one.reason for one in found.given.rejected} == {
        "it is of the filter 'flexible-extract'; 'strict-match', the first, is read"
    } and len(found.given.rejected) == 5


def test_a_vote_is_the_answer_of_who_gave_it(harness):
    found = measured(harness["voted"], "agreement")
    assert [line["correct"] for line in found.lines] == [True, True, True, True, False]
    assert [line["measures"]["agreement"] for line in found.lines] == [0.5, 0.5, 1.0, 0.5, 1.0]
    for line, (_, texts) in zip(found.lines, make_harness.SUMS):
        assert line["response"].endswith(line["answer"])
        assert sorted([line["response"], *(one["text"] for one in line["samples"])]) == sorted(texts)


def test_texts_without_a_filter_are_graded_as_the_harness_grades_them(harness):
    answers = read(harness["plain"]).answers  # it compares the whole text, and says that none is right
    assert [one.correct for one in answers] == [False] * 5 and {one.extracted for one in answers} == {None}


def test_a_metric_of_degrees_grades_nothing(harness):
    shares = [json.loads(line)["overlap"] for line in harness["degrees"].read_text().splitlines()]
    assert {0.0, 1.0} < set(shares)
    found = measured(harness["degrees"], "read_hedges")
    assert [line["correct"] for line in found.lines] == [True, False, True, True, False]


def test_an_error_is_no_grade():
    lines = [{"metrics": ["wer", "own", "share"], "wer": 0.0, "own": 1, "share": share} for share in (0.0, 0.25)]
    assert [one for one in grading_metrics(lines) if one in lines[0]] == ["own"]
    assert [one for one in grading_metrics(lines[:1]) if one in lines[0]] == ["own", "share"]


@pytest.mark.parametrize(("task", "said"), [("places", "one continuation"), ("texts", "a whole text")])
def test_a_likelihood_of_what_was_given_is_no_answer(harness, task, said):
    with pytest.raises(QuestionError, match=f"has no answer; the first: it has the likelihood of {said}"):
        read(harness[task])


@pytest.mark.parametrize("form", ["chat", "text"])
@pytest.mark.parametrize("written", [".jsonl", "_dumped.jsonl", "_indented.json", "_list.json"])
def test_completions_are_read_however_the_client_writes_them(completions, tmp_path, form, written):
    name = {"chat": "chatcmpl", "text": "cmpl"}[form]
    truths = make_completions.TRUTHS
    lines = [{"id": f"{name}-{number}", "question": "?", "answer": one} for number, one in enumerate(truths)]
    data = write_lines(tmp_path / "asked.jsonl", lines)
    found = measured(completions[f"{form}{written}"], data=data)
    assert len(found.lines) == 4 and not found.given.rejected
    for line, said, truth in zip(found.lines, make_completions.SAID, truths):
        own, *others = ("".join(piece for piece, _ in pieces) for pieces in said)
        values = [np.array([value for _, value in pieces]) for pieces in said]
        assert line["response"] == own and [one["text"] for one in line["samples"]] == others
        assert line["correct"] == (own == truth)
        about = line["measures"]
        assert about["sequence_log_probability"] == pytest.approx(values[0].sum(), rel=1e-5)
        assert about["minimum_probability"] == pytest.approx(math.exp(values[0].min()), rel=1e-5)
        assert about["perplexity"] == pytest.approx(math.exp(-values[0].mean()), rel=1e-5)
        places = [[value for _, value in make_completions.likeliest(*one)] for one in said[0]]
        assert about["trace_confidence"] == pytest.approx(-np.mean(places), rel=1e-5)
        assert about["sequence_entropy"] == pytest.approx(-np.mean([one.sum() for one in values[1:]]), rel=1e-5)
        assert about["agreement"] == np.mean([one == own for one in others])
        assert about["number_of_sets"] == len(set(others))


WHITE = ["white_box.csv", "numbered.csv", "columns.json", "records.json", "lines.jsonl", "white_box.parquet"]


def table(place):
    """What was said to each question the `place`-th time: its text and log-probabilities."""
    said = [of_question[place] for of_question in make_frames.SAID.values()]
    return [("".join(piece for piece, _ in pieces), np.array([value for _, value in pieces])) for pieces in said]


@pytest.mark.parametrize("name", WHITE)
def test_a_frame_is_the_same_however_pandas_writes_it(frames, name):
    found = measured(frames[name])
    assert [line["question"] for line in found.lines] == list(make_frames.SAID) and not found.given.rejected
    theirs = {"sequence_probability", "min_probability", "probability_margin", "monte_carlo_probability"}
    assert {one for one, about in found.about.items() if about.title.endswith("(of the file)")} == theirs
    for line, truth, *said in zip(found.lines, make_frames.TRUTHS, *map(table, range(4))):
        (own, values), *others = said
        assert line["response"] == own and line["correct"] == (own == truth)
        assert [one["text"] for one in line["samples"]] == [text for text, _ in others]
        about = line["measures"]
        assert about["sequence_probability"] == pytest.approx(math.exp(values.mean()), rel=1e-5)
        for measure in ("min_probability", "minimum_probability"):
            assert about[measure] == pytest.approx(math.exp(values.min()), rel=1e-5)
        everybody = [math.exp(told.mean()) for _, told in said]
        assert about["monte_carlo_probability"] == pytest.approx(np.mean(everybody), rel=1e-5)
        second = np.log1p(-np.exp(values)) - 0.25
        expected = np.mean(np.abs(np.exp(values) - np.exp(second)))
        assert about["probability_margin"] == pytest.approx(expected, rel=1e-5)
        assert about["sequence_log_probability"] == pytest.approx(values.sum(), rel=1e-5)
        assert about["trace_confidence"] == pytest.approx(-np.mean([values, second]), rel=1e-5)
        assert about["sequence_entropy"] == pytest.approx(-np.mean([told.sum() for _, told in others]), rel=1e-5)
        assert about["agreement"] == pytest.approx(np.mean([text == own for text, _ in others]), rel=1e-5)


@pytest.mark.parametrize("name", ["black_box.csv", "black_box.parquet", "messages.csv", "shortened.csv"])
def test_agreement_is_uqlms_exact_match(frames, name):
    found = measured(frames[name])
    asked = [line["id"] for line in found.lines] if name.endswith("parquet") else list(make_frames.SAID)
    assert [line["question"] for line in found.lines] == asked
    for line, (own, _), *others in zip(found.lines, *map(table, range(4))):
        assert line["response"] == (own.upper() if name == "shortened.csv" else own)
        assert line["measures"]["exact_match"] == pytest.approx(np.mean([text == own for text, _ in others]), rel=1e-5)
        assert line["measures"]["exact_match"] == line["measures"]["agreement"]
    assert [line["correct"] for line in found.lines] == [True, True, True, False]


def test_entropies_and_counts_are_no_confidences(frames):
    """Some of them lie between 0 and 1, on some lines."""
    found = read(frames["entropy.csv"])
    assert {"discrete_entropy_value", "num_semantic_set"} < set(
        frames["entropy.csv"].read_text().split("\n")[0].split(",")
    )
    expected = {"discrete_confidence_score", "tokenprob_confidence_score"}
    assert all(set(one.scores) == expected for one in found.answers)
    for one, *said in zip(found.answers, *map(table, range(4))):
        ends = [text[-3:] for text, _ in said]
        shares = np.array([ends.count(end) for end in set(ends)]) / 4
        entropy = -(shares * np.log(shares)).sum() / math.log(4)
        assert one.scores["discrete_confidence_score"] == pytest.approx(1 - entropy)


def test_an_answer_whose_model_told_no_probabilities_keeps_the_rest(frames):
    found = measured(frames["silent.csv"], "sequence_log_probability")
    assert not found.given.rejected and [line["correct"] for line in found.lines] == [True, True, True, False]
    known = ["sequence_log_probability" in line["measures"] for line in found.lines]
    assert known == ["min_probability" in line["measures"] for line in found.lines] == [True, False, True, True]
    assert len(read(frames["one_answer.csv"]).answers) == 4


@pytest.mark.parametrize("question", ["[INST] Who? [/INST]", "{name}", "[1, 2", "[Message(content=print('x'))]"])
def test_a_question_may_look_like_a_list(question):
    row = {"prompt": question, "response": "Ada", "sampled_responses": "['Ada', 'Bo']", "answer": "[0, 1)"}
    one = read_frame(row)
    assert one.question == question and one.truth == ("[0, 1)",) and len(one.samples) == 2


def test_what_uqlm_could_not_get_is_no_answer():
    with pytest.raises(Unusable, match="could not get a response"):
        read_frame({"prompt": "Who?", "response": "Unable to get response", "logprob": None})
    assert listed("[{'token': 'nan', 'logprob': nan}, {'logprob': -inf}]") == [
        {"token": "nan", "logprob": None},
        {"logprob": -math.inf},
    ]


def test_columns_are_rows_only_where_they_are_as_long():
    assert rows_of({"response": {"0": "a", "1": "b"}, "x": {"0": 1, "1": 2}}) == [
        {"response": "a", "x": 1},
        {"response": "b", "x": 2},
    ]
    assert rows_of({"response": {"0": "a"}, "x": {"1": 1}}) is None
    assert rows_of({"response": "a", "x": 1}) is None and rows_of({"x": {"0": 1}}) is None and rows_of([]) is None
    assert rows_of({"custom_id": "a", "response": {"body": {}}}) is None


def test_indented_objects_are_found_and_a_broken_one_costs_itself(tmp_path):
    good = [json.dumps({"id": str(number), "text": "a\n{"}, indent=2) for number in range(3)]
    path = tmp_path / "a.json"
    path.write_text("\n\n" + good[0] + "\n" + good[1][:-1] + "\n" + good[2])
    found = dict(read_entries(path))
    assert list(found) == ["a.json, line 3", "a.json, line 7", "a.json, line 11"]
    one, broken, other = found.values()
    assert one["id"] == "0" and other["id"] == "2" and isinstance(broken, ValueError)
    path.write_text("".join(itertools.chain.from_iterable(good)))
    assert [one["id"] for _, one in read_entries(path)] == ["0", "1", "2"]
    path.write_text('{"a": 1}\n{"a":\n2}\n')  # an object a line, as its first says
    assert [isinstance(one, ValueError) for _, one in read_entries(path)] == [False, True, True]


@pytest.mark.oracle
def test_what_openais_client_got_of_our_server_is_measured_as_the_server_said(tmp_path):
    openai = pytest.importorskip("openai")
    from tests.serving.scripted import serve_scripted

    with serve_scripted() as url, openai.OpenAI(base_url=url, api_key="none", max_retries=0) as client:
        asked = {"model": "ada", "messages": [{"role": "user", "content": "Who?"}], "n": 3}
        whole = client.chat.completions.create(logprobs=True, top_logprobs=1, **asked)
        text = client.completions.create(model="ada", prompt="Who?", n=3, logprobs=1)
    for name, one in (("chat", whole), ("text", text)):
        path = tmp_path / f"{name}.json"
        path.write_text(one.to_json())
        data = write_lines(tmp_path / f"{name}.jsonl", [{"id": one.id, "question": "Who?", "answer": "Ada met Bo"}])
        (line,) = measured(path, data=data).lines
        assert line["response"] == "Ada met Bo" and line["correct"] and len(line["samples"]) == 2
        assert line["measures"]["sequence_log_probability"] == pytest.approx(-1.5)
        assert line["measures"]["sequence_entropy"] == pytest.approx(1.5) and line["measures"]["agreement"] == 1
