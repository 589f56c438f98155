"""Measures and question sets from outside the package, and runs that compute only what is asked for."""

import csv
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxuq import confidence, questions
from jaxuq._entries import Entry
from jaxuq._errors import OptionError
from jaxuq.cli import generate
from jaxuq.cli.main import main
from jaxuq.confidence import measure
from jaxuq.confidence.study import run as study_run
from jaxuq.confidence.text import assess
from jaxuq.confidence.text.samples import same_answers
from jaxuq.language import model_digest
from jaxuq.networks import as_model
from jaxuq.reporting import write_report
from jaxuq.study import StudyWarning, read_sealed
from tests.confidence.tiny_text import PROMPTS, RESPONSES, model

GIVEN = [
    {"id": str(number), "question": prompt, "answer": answer, "kind": "text", "response": response}
    for number, (prompt, response, answer) in enumerate(zip(PROMPTS, RESPONSES, ("bird", "red", "oak")))
]


def least(seen):
    """A stranger's measure: the least log-probability of the response but for the answer."""
    return jnp.min(jnp.where(seen.response & ~seen.answer, seen.log_probs, jnp.inf))


SPREAD = Entry(
    "spread", "Spread of the logits", {"score": lambda seen: jnp.max(jnp.where(seen.response, seen.values, 0.0)),
                                       "token": lambda logits, tokens: logits.max(-1) - logits.min(-1)},
    needs=("tokens",), about={"higher": "uncertain", "group": "response"},
)  # fmt: skip


@pytest.fixture
def outside(monkeypatch):
    """A set, a layout and two measures as another package would add them."""
    monkeypatch.setattr(generate, "load_named_model", lambda name: model())
    added = [(questions.SETS, "mine", lambda: GIVEN), (questions.LAYOUTS, "bare", lambda one: one.question + "?")]
    added += [(confidence.MEASURES, "least", least), (confidence.MEASURES, "spread", SPREAD)]
    for table, name, one in added:
        table[name] = one
    yield
    for table, name, _ in added:
        del table[name]


def lines(folder):
    return {line["id"]: line for line in read_sealed(folder / "predictions.jsonl")}


def configured(folder, data="mine", **options):
    return confidence.StudyConfiguration(model="tiny", data=str(data), output=folder, batch_size=2, **options)


def test_a_measure_and_a_set_of_ones_own_run_like_those_of_the_package(tmp_path, outside):
    """From the command line and from Python, with their rows, directions and page."""
    command = ["confidence", "--model", "tiny", "--data", "mine", "--layout", "bare", "--batch-size", "2"]
    main([*command, "--measures", "least,rauq", "spread", "--output", str(tmp_path / "command")])
    found = lines(tmp_path / "command")
    assert {line["id"]: line["correct"] for line in found.values()} == {"0": True, "1": False, "2": True}
    assert all(list(line["measures"]) == ["rauq", "least", "spread"] for line in found.values())
    with (tmp_path / "command" / "summary.csv").open() as file:
        assert {row["method"] for row in csv.DictReader(file)} == {"rauq", "least", "spread"}

    options = {"layout": "bare", "measures": ("rauq",)}
    confidence.run_study(configured(tmp_path / "python", **options), model=model(),
                         measures={"mine": least, "wide": SPREAD})  # fmt: skip
    for name, line in lines(tmp_path / "python").items():
        there = found[name]["measures"]
        assert line["measures"] == {"rauq": there["rauq"], "mine": there["least"], "wide": there["spread"]}
    whole = confidence.uqac(model(), [f"{one}?" for one in PROMPTS], list(RESPONSES), kind="text", measures=["rauq"],
                            own={"mine": least, "wide": SPREAD})  # fmt: skip
    for number, one in enumerate(whole):
        tokens = ~one.answer
        assert one.measures["mine"] == pytest.approx(float(one.log_probs[tokens].min()), rel=1e-5)
        assert list(found[str(number)]["measures"].values()) == pytest.approx(list(one.measures.values()), rel=1e-5)


def test_the_page_knows_the_measures_of_its_run(tmp_path, outside):
    """... when the program that adds them is not there any more."""
    own = {"theirs": measure("theirs", "Their own", least, higher="uncertain")}
    folder = confidence.run_study(configured(tmp_path / "run", measures=("perplexity",)), model=model(), measures=own)
    page = write_report(folder.path).read_text()
    assert "Their own" in page and "could not be drawn" not in page and "Perplexity" in page
    assert folder.record["measures"]["theirs"]["sign"] == -1


@pytest.mark.long
def test_only_what_is_asked_for_is_computed(monkeypatch):
    """No pass, no chain and no states that no measure needs."""
    made = []
    for name in ("substituted_log_probs", "sample_answers", "ask_true", "ask_confidence", "_unprompted"):
        whole = getattr(assess, name)
        monkeypatch.setattr(assess, name, lambda *a, name=name, whole=whole, **k: made.append(name) or whole(*a, **k))
    reads = []
    whole = assess.read_pass
    monkeypatch.setattr(assess, "read_pass", lambda *a, **k: reads.append(whole(*a, **k)) or reads[-1])

    def asked(*names, **options):
        made.clear()
        given = {"kind": "text", "measures": names, "max_new_tokens": 4, **options}
        found = confidence.uqac(model(), PROMPTS[0], None if options else RESPONSES[0], **given)[0]
        parts = {
            name for name, value in reads[-1]._asdict().items() if value is not None and not isinstance(value, dict)
        }
        return set(made), parts - {"log_probs", "said", "entropies", "state"}, found

    assert asked("perplexity")[:2] == (set(), set())
    done, parts, found = asked("rauq,attention_score")
    assert (done, parts) == (set(), {"back", "itself"}) and list(found.measures) == ["attention_score", "rauq"]
    assert np.isnan(found.confidence) and found.chain == []
    done, parts, found = asked("uqac")
    assert (done, parts) == ({"substituted_log_probs"}, {"chain", "filtered", "confidence", "changes"})
    assert found.confidence == found.measures["uqac"] and found.chain
    assert asked("p_true")[0] == {"ask_true"} and asked("stated_confidence")[0] == {"ask_confidence"}
    assert asked("pointwise_mutual_information")[0] == {"_unprompted"}
    done, parts, found = asked("degree_uncertainty", num_samples=0, temperature=1.0)
    assert (done, parts) == ({"sample_answers"}, set()) and list(found.measures) == ["degree_uncertainty"]


def test_names_and_groups_of_measures():
    def names(*given):
        return [one.name for one in confidence.chosen_measures(given)]

    assert names("rauq,cocoa") == names("cocoa", "rauq") == ["rauq", "cocoa"]
    whole = names("all")
    assert set(names("single")) | set(names("samples")) | set(names("asking")) == set(whole) and "focus" not in whole
    assert names("attention") == ["attention_score", "rauq"] and "uqac" in names("chain")
    assert set(names("response")) < set(names("single"))
    for given, said in (
        (("cocao",), "did you mean 'cocoa'"),
        (("focus",), "it needs word frequencies of a corpus .* call jaxuq.confidence.focus yourself"),
        ((), "names none"),
    ):
        with pytest.raises(questions.QuestionError, match=said):
            names(*given)


def test_a_measure_that_asks_for_what_it_does_not_need_is_told_so():
    def told(score, error=OptionError, **options):
        own = {"mine": measure("mine", "Mine", score, **options) if options else score}
        with pytest.raises(error) as raised:
            confidence.uqac(model(), PROMPTS[0], RESPONSES[0], kind="text", measures=(), own=own)
        return str(raised.value)

    assert "asks for `rouge`, which it does not need: declare it, measure('mine'" in told(lambda seen: seen.rouge)
    assert "needs=('tokens', 'words'))" in told(lambda seen: seen.rouge)
    assert "asks for `logits`, which there is not; response, inner" in told(lambda seen: seen.logits)
    assert "asks for `values`, which its entry's function `token` gives" in told(lambda seen: seen.values)
    assert "gives an array of shape (" in told(lambda seen: seen.log_probs, questions.QuestionError)
    said = told(lambda seen: 0.0, questions.QuestionError, needs=("a telescope",))
    assert "needs a telescope, which a run does not have" in said
    with pytest.raises(OptionError, match="there is a measure 'rauq' already"):
        confidence.chosen_measures((), {"rauq": least})
    with pytest.raises(OptionError, match="expected a group of uqac, answer"):
        measure("mine", "Mine", least, group="theirs")


def test_measures_of_texts_are_called_once_an_answer_on_the_host():
    calls = []

    def hedges(seen):
        calls.append(seen.text)
        return -float(len(seen.sample_texts)) if "maybe" in seen.text else float(seen.response.sum())

    own = {"hedges": measure("hedges", "Hedges", hedges, needs=("text",))}
    responses = [RESPONSES[0], "maybe. the answer is oak"]
    found = confidence.uqac(model(), list(PROMPTS[:2]), responses, kind="text", measures=("perplexity",), own=own)
    assert calls == responses
    assert [one.measures["hedges"] for one in found] == [len(found[0].pieces), 0.0]


def test_a_finished_run_goes_on_unless_a_measure_changed(tmp_path, outside, monkeypatch):
    """A function alone is known by its code, an entry by the version of its formula; what was set aside comes back."""
    asked, whole = [], study_run.assess

    def assess_and_count(model, batch, *args, **options):
        asked.extend(batch)
        return whole(model, batch, *args, **options)

    monkeypatch.setattr(study_run, "assess", assess_and_count)

    def run(one):
        """How many questions were asked."""
        asked.clear()
        configuration = configured(tmp_path / "run", measures=("perplexity",))
        confidence.run_study(configuration, model=model(), measures={"own": one})
        assert len(lines(tmp_path / "run")) == 3
        return len(asked)

    def times(factor):
        return lambda seen: seen.log_probs[0] * factor

    assert [run(times(2.0)), run(times(2.0))] == [3, 0]
    for factor, expected in ((3.0, 3), (2.0, 0)):
        with pytest.warns(StudyWarning, match="measures changed"):
            assert run(times(factor)) == expected
    with pytest.warns(StudyWarning, match="measures changed"):
        assert run(measure("own", "Own", times(2.0))) == 3
    assert run(measure("own", "Own", times(3.0))) == 0
    with pytest.warns(StudyWarning, match="measures changed"):
        assert run(measure("own", "Own", times(3.0), formula=2)) == 3


def test_answers_of_samples_are_compared_pair_by_pair():
    """As by two loops over all pairs, each different pair read once."""
    texts = ["1/2", "0.5", "", "3", "0.5", "$\\frac12$", ""]
    found = [questions.FoundAnswer(text, 0, len(text)) if text else None for text in texts]
    asked, judged = questions.Question("", "?", kind="number"), questions.FoundAnswer("50 %", 0, 4)
    equal, like = same_answers(found, asked, judged)
    for row, first in enumerate(texts):
        for column, second in enumerate(texts):
            same = bool(first and second) and questions.equivalent_answers(first, second)
            assert equal[row, column] == (row == column or same)
        assert like[row] == (bool(first) and questions.equivalent_answers(first, "50 %"))
    assert not same_answers(found, asked)[1].any()


def test_similarities_of_words_are_those_of_every_pair(rng):
    texts = [" ".join(rng.choice(["a", "b", "c,", "D", "."], rng.integers(0, 8))) for _ in range(9)]
    rouge, jaccard = confidence.rouge_similarities(texts), confidence.jaccard_similarities(texts)
    for row, first in enumerate(texts):
        for column, second in enumerate(texts):
            one, other = (set(text.lower().split()) for text in (first, second))
            assert jaccard[row, column] == pytest.approx(len(one & other) / len(one | other) if one | other else 1)
            words = ["".join(c if c.isalnum() else " " for c in text.lower()).split() for text in (first, second)]
            table = np.zeros((len(words[0]) + 1, len(words[1]) + 1))
            for i, word in enumerate(words[0]):
                for j, twin in enumerate(words[1]):
                    table[i + 1, j + 1] = table[i, j] + 1 if word == twin else max(table[i, j + 1], table[i + 1, j])
            total = len(words[0]) + len(words[1])
            assert rouge[row, column] == pytest.approx(2 * table[-1, -1] / total if total else 1)


def test_a_file_of_measures_is_found_by_its_entries():
    """Each measure stands in the table once, from the file that its function is in."""
    import jaxuq.confidence.relevance as relevance

    assert [one.name for one in relevance.ENTRIES] == ["token_sar", "sentence_sar", "claim_conditioned_probability"]
    assert all(confidence.MEASURES[one.name] is one for one in relevance.ENTRIES)
    assert json.dumps(sorted(confidence.NEEDS))


def own_model():
    """The functions of a decoder, as if they were a stranger's, with its parameters and tokenizer."""
    decoder = model()
    functions = as_model(decoder.decoder)._replace(options=())
    return decoder._replace(decoder=functions, params={"params": decoder.params}, name="mine")


@pytest.mark.long
def test_a_model_of_ones_own_runs_like_a_decoder(tmp_path):
    data = tmp_path / "questions.jsonl"
    data.write_text("".join(json.dumps(one) + "\n" for one in GIVEN))
    for name, one in (("decoder", model()), ("mine", own_model())):
        options = {"measures": ("rauq", "mean_log_probability", "uqac")}
        confidence.run_study(configured(tmp_path / name, data, **options), model=one)
    expected, found = (lines(tmp_path / name) for name in ("decoder", "mine"))
    for name, line in found.items():
        assert len(line["measures"]) == 5 and list(line["measures"]) == list(expected[name]["measures"])
        np.testing.assert_allclose([*line["measures"].values()], [*expected[name]["measures"].values()], rtol=1e-5)


def test_other_functions_or_numbers_are_another_model():
    mine = own_model()
    changed = mine.decoder._replace(read=lambda *arguments: mine.decoder.read(*arguments))
    moved = jax.tree.map(lambda leaf: leaf + 1, mine.params)
    digests = [model_digest(one) for one in (mine, mine._replace(decoder=changed), mine._replace(params=moved))]
    assert len(set(digests)) == 3 and model_digest(mine._replace(name="renamed")) == digests[0]


def test_questions_from_python_stand_in_for_a_set_and_what_a_measure_ends_in_is_said_with_its_name(tmp_path):
    def mine():
        return GIVEN

    def run(folder, **given):
        options = configured(folder, measures=("rauq",), layout="line")
        return confidence.run_study(options, model=model(), questions=mine, **given)

    folder = run(tmp_path / "run", measures={"least": least})
    assert {name: line["correct"] for name, line in lines(folder.path).items()} == {"0": True, "1": False, "2": True}
    assert json.loads((folder.path / "run.json").read_text())["configuration"]["data"] == "mine"
    for number, (wrong, said) in enumerate(
        (
            (lambda seen: 1 / 0, "the measure 'bad' ends in ZeroDivisionError"),
            (lambda seen: None, "the measure 'bad' gives None; expected one number"),
            (lambda seen: "0.5", "the measure 'bad' gives '0.5'; expected one number"),
            (lambda seen, more: 1.0, "the measure 'bad' ends in TypeError"),
            (lambda seen: jnp.complex64(1.0), "type complex64; expected one"),
        )
    ):
        with pytest.raises(questions.QuestionError, match=said):
            run(tmp_path / f"wrong-{number}", measures={"bad": wrong})
    with pytest.raises(OptionError, match="has higher='confidnt'"):
        run(tmp_path / "entry", measures={"bad": Entry("bad", "Bad", {"score": least}, about={"higher": "confidnt"})})
