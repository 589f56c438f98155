"""A run asks of a model what its measures need, and nothing else."""

import json

import numpy as np
import pytest

from jaxuq import confidence
from jaxuq.confidence import StudyConfiguration, chosen_measures, run_study
from jaxuq.networks import CapabilityError, as_model
from jaxuq.questions import QuestionError
from tests.confidence.tiny_text import PROMPTS, RESPONSES, model

LESS = {
    "without attention": {"attention": None},
    "without rows": {"rows": None},
    "with neither": {"attention": None, "rows": None},
}
EVERY = [one for one in chosen_measures(["all"]) if "score" in one.functions]


def _lacking(fields):
    """The measures that a model without some fields cannot have."""
    needs = {"attention": {"attention", "chain", "substitutions", "judge_attention"}, "rows": {"substitutions"}}
    return {one.name for one in EVERY for field in fields if needs[field] & set(one.needs)}


def _model(fields):
    whole = model()
    made = as_model(whole.decoder)
    less = made._replace(
        **fields, read=lambda *given, **options: (*made.read(*given, **options)[:2], None)
    ) if "attention" in fields else made._replace(**fields)  # fmt: skip
    return whole._replace(decoder=less, params=whole.variables)


OPTIONS = {"kind": "text", "max_new_tokens": 24, "num_samples": 3, "ask": True}


@pytest.fixture(scope="module")
def whole():
    """Of responses that are there, and of the model's own."""
    return [
        confidence.uqac(model(), list(PROMPTS), responses, measures=["all"], **OPTIONS)
        for responses in (list(RESPONSES), None)
    ]


@pytest.mark.parametrize("less", LESS)
def test_a_model_has_every_measure_for_which_it_can_do_enough(less, whole):
    fields = LESS[less]
    lacking = _lacking(fields)
    rest = [one.name for one in EVERY if one.name not in lacking]
    assert len(rest) > 35 and lacking
    for responses, expected in zip((list(RESPONSES), None), whole):
        options = OPTIONS | {"num_samples": 0, "ask": False}  # which would name all measures of samples and of asking
        found = confidence.uqac(_model(fields), list(PROMPTS), responses, measures=rest, **options)
        for one, other in zip(found, expected):
            assert one.text == other.text and set(one.measures) == set(rest)
            several = [name for name in rest if confidence.MEASURES[name].about["group"] == "samples"]
            for name in set(rest) - set(several):
                np.testing.assert_allclose(one.measures[name], other.measures[name], rtol=2e-4, atol=2e-5, err_msg=name)


@pytest.mark.parametrize("less", LESS)
def test_what_a_model_cannot_do_is_said_before_it_answers(less, tmp_path, monkeypatch):
    monkeypatch.setattr("jaxuq.confidence.text.assess.generate_greedy", None)
    fields = LESS[less]
    lacking = sorted(_lacking(fields))
    with pytest.raises(
        CapabilityError, match=r"this model has no `(attention|rows)`, .*: uqac.*ask for others only: \["
    ):
        confidence.uqac(_model(fields), PROMPTS[0], measures=["uqac", "perplexity"])
    for name in lacking:
        with pytest.raises(CapabilityError, match=rf"which these measures need: .*\b{name}\b"):
            confidence.uqac(_model(fields), PROMPTS[0], measures=[name])
    with pytest.raises(CapabilityError, match="uqac"):
        run_study(_configuration(tmp_path, measures=("single",)), model=_model(fields))
    assert not (tmp_path / "run").exists()


def _configuration(tmp_path, **options):
    data = tmp_path / "data.jsonl"
    rows = [
        {"id": str(at), "question": prompt, "answer": "oak", "kind": "text", "response": response}
        for at, (prompt, response) in enumerate(zip(PROMPTS, RESPONSES))
    ]
    data.write_text("\n".join(map(json.dumps, rows)))
    return StudyConfiguration(data=str(data), output=tmp_path / "run", **options)


def test_no_samples_are_asked_for_where_no_measure_needs_them(tmp_path):
    run = run_study(_configuration(tmp_path, samples=0, measures=("single", "p_true")), model=model())
    lines = [json.loads(line) for line in (run.path / "predictions.jsonl").read_text().splitlines()]
    assert len(lines) == 3
    assert all(line["samples"] == [] and len(line["measures"]) > 10 for line in lines)


@pytest.mark.parametrize("measures", [("all",), ("samples",), ("perplexity", "agreement"), ("words",)])
def test_measures_of_several_answers_are_refused_by_name_without_any(measures, tmp_path):
    with pytest.raises(
        QuestionError, match=r"--samples is 0, and .* need further answers: leave them out \(--measures"
    ):
        run_study(_configuration(tmp_path, samples=0, measures=measures), model=model())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"num_samples": -1}, "num_samples is -1"),
        ({"max_new_tokens": 0}, "max_new_tokens is 0"),
        ({"temperature": 0.0}, r"temperature is 0.0; expected a finite number in \(0"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"measures": "uqac"}, r"write \[measures\]"),
        ({"questions": None}, "questions is None"),
        ({"options": None}, "options is None; expected a `jaxuq.confidence.ChainOptions`"),
        ({"own": {"a": 3}}, r"own\['a'\] is 3 \(int\); expected a `jaxuq.Entry` or a function"),
        ({"questions": ["a", None]}, r"questions\[1\] is None; expected .*text"),
    ],
)
def test_options_out_of_range_are_named(options, said):
    given = {"model": model(), "questions": list(PROMPTS)} | options
    with pytest.raises((ValueError, TypeError), match=said):
        confidence.uqac(**given)


def test_no_questions_have_no_assessments():
    assert confidence.uqac(model(), []) == []
