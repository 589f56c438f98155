"""Somebody else's package: a measure, a set, a layout, a loss and a rule of routing, found by its metadata alone.

All are plain functions, as a first try of a user's would be, and are named on the command line.
"""

import csv
import json

import pytest

from jaxuq.cli.main import main
from jaxuq.study import read_sealed
from tests.language.tiny_checkpoints import write_folder

CODE = """
import jax
import jax.numpy as jnp

SAYS = ("dog", "arf"), ("cat", "mew"), ("cow", "moo"), ("pig", "oink"), ("hen", "cluck"), ("owl", "hoot")


def least(seen):
    return jnp.min(jnp.where(seen.response, seen.log_probs, jnp.inf))


def squared(logits, tokens, examples):
    return jnp.take_along_axis(jax.nn.log_softmax(logits), tokens[..., None], -1)[..., 0] ** 2


def nearest(features, centroids):
    cluster = jnp.argmax(features @ centroids.T, axis=1)
    return jnp.concatenate([jnp.zeros((len(features), 1)), jax.nn.one_hot(cluster, len(centroids))], axis=1)


def pets():
    return [{"question": one, "answer": says, "category": "pets"} for one, says in SAYS]


def bare(question):
    return question.question + "?"


NUMBER = 3
"""
POINTS = """
[jaxuq.measures]
least = visitor:least
[jaxuq.token_losses]
squared = visitor:squared
number = visitor:NUMBER
[jaxuq.routings]
nearest = visitor:nearest
[jaxuq.questions]
pets = visitor:pets
[jaxuq.layouts]
bare = visitor:bare
"""


@pytest.fixture
def visitor(tmp_path, monkeypatch):
    """Installed, and a model's folder."""
    info = tmp_path / "site" / "visitor-1.0.dist-info"
    info.mkdir(parents=True)
    (info.parent / "visitor.py").write_text(CODE)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: visitor\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(POINTS)
    monkeypatch.syspath_prepend(info.parent)
    from jaxuq import confidence, questions, tuning
    from jaxuq.experts import ROUTINGS

    tables = (confidence.MEASURES, questions.SETS, questions.LAYOUTS, tuning.LOSSES, ROUTINGS)
    before = [dict(table._entries) for table in tables]
    yield str(write_folder(tmp_path / "model"))
    for table, kept in zip(tables, before):
        table._entries = kept


def _methods(file):
    with file.open() as rows:
        return {row["method"] for row in csv.DictReader(rows)}


def test_a_measure_a_set_and_a_layout_are_named_on_the_command_line(visitor, tmp_path):
    folder = tmp_path / "run"
    main(["confidence", "--model", visitor, "--data", "pets", "--layout", "bare", "--measures", "least,perplexity",
          "--max-new-tokens", "4", "--output", str(folder)])  # fmt: skip
    lines = read_sealed(folder / "predictions.jsonl")
    assert sorted(line["truth"] for line in lines) == ["arf", "cluck", "hoot", "mew", "moo", "oink"]
    for line in lines:
        assert set(line["measures"]) == {"least", "perplexity"} and line["measures"]["least"] < 0


@pytest.mark.long
def test_a_loss_is_named_on_the_command_line(visitor, tmp_path, capsys):
    folder = tmp_path / "run"
    command = ["tune", "--model", visitor, "--data", "pets", "--layout", "bare", "--loss", "plain,squared", "--epochs",
               "1", "--max-length", "32", "--rank", "2", "--options", "3", "--posterior", "none"]  # fmt: skip
    main([*command, "--output", str(folder)])
    assert {"plain", "squared"} <= _methods(folder / "summary.csv")
    command[command.index("plain,squared")] = "number"
    with pytest.raises(SystemExit) as ended:
        main([*command, "--output", str(tmp_path / "none")])
    assert ended.value.code == 2
    assert "the loss 'number' is 3; expected an Entry or a function" in capsys.readouterr().err


def test_a_rule_of_routing_is_a_row_of_its_name(visitor, tmp_path, capsys):
    from jaxuq.experts.pipeline.configuration import EvaluateConfiguration, run_options
    from jaxuq.experts.pipeline.methods import methods_of

    options = EvaluateConfiguration((), baselines="none", routing=("nearest,elrea",))
    assert [row.name for row in methods_of(options)] == ["elrea", "nearest"]
    assert json.loads(json.dumps(methods_of(options)[1].identity))[1][0] == "nearest"
    assert run_options(options).free == run_options(EvaluateConfiguration((), baselines="none")).free
    with pytest.raises(SystemExit) as ended:
        main(["experts", "evaluate", str(tmp_path), "--routing", "nearer", "--output", str(tmp_path / "e")])
    assert ended.value.code == 2
    assert "there is no routing rule 'nearer'; did you mean 'nearest'?" in capsys.readouterr().err
