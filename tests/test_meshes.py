"""Every command that runs a language model takes a mesh, and every function of one; what does not has a reason here."""

import dataclasses
import importlib
import inspect
import typing

import pytest

from jaxuq.cli.main import _COMMANDS

COMMANDS = {
    "muben": "small models: members and seeds go over the devices, --strategy",
    "molecules fit": "small models: members go over the devices",
    "molecules search": "fingerprints, on the host",
    "molecules predict": "small models, one after another",
    "molecules choose": "small models, one after another",
    "molecules fingerprint": "on the host",
    "tag": "label models of a few thousand numbers; seeds are cells of --cluster",
    "experts combine": "files",
    "launch": "the command that it runs has one",
    "plan": "its mesh is pretended",
    "models list": "files",
    "models info": "headers of files",
    "models fetch": "files",
    "models convert": "reads, casts and writes; nothing is computed",
    "data": "files",
    "report": "files",
}
FUNCTIONS = {
    "language.model_digest": "reads what it is given, wherever it lies",
    "language.save_model": "reads what it is given, wherever it lies",
    "extraction.local_chat": "asks by `generate`: the model lies on a mesh, `LanguageModel.on_mesh`",
    "tuning.last_states": "the model lies on a mesh; rows are divided over it",
    "tuning.sample_answers": "asks by `generate`",
    "tuning.written_answers": "asks by `generate`",
    "tuning.graded_answers": "asks by `generate`",
    "tuning.asked_confidence": "asks by `score`",
    "tuning.disagreement_uncertainty": "asks by `generate`",
    "tuning.perplexity_uncertainty": "asks by `score`",
    "tuning.response_scores": "asks by `score`",
}
"""Functions of a language model without `mesh=`."""
THE_MODEL_LIES_ON_IT = {
    "fit_adapter_laplace", "forecast_answers", "head_confidence", "laplace_draws", "text_loss",
}  # fmt: skip
"""Functions of the tuning room that take adapters beside the model, which are placed where it lies."""
OPTIONS_SAY_IT = {"run_study", "run_evaluation", "run_training", "run_labelling", "run_teaching", "run_tuning"}


def _commands():
    places = {name: place[:2] for name, place in _COMMANDS.items()} | {
        "confidence ask": ("jaxuq.cli.confidence", "AskCommand")
    }
    for name, (module, kind) in places.items():
        options = getattr(importlib.import_module(module), kind)
        yield from _leaves(name, options)


def _leaves(name, options):
    """A command, or its subcommands."""
    hints = typing.get_type_hints(options, include_extras=True)
    if "action" not in hints:
        yield name, options
        return
    union = typing.get_args(hints["action"])[0] if typing.get_args(hints["action"]) else hints["action"]
    for part in typing.get_args(union):
        one, *about = typing.get_args(part) if hasattr(part, "__metadata__") else (part,)
        given = [note.name for note in about if getattr(note, "name", None)]
        yield f"{name} {given[0] if given else one.__name__}", one


def test_every_command_takes_a_mesh_or_says_why_not():
    found = dict(_commands())
    without = {name for name, one in found.items() if "mesh" not in {field.name for field in dataclasses.fields(one)}}
    assert without - set(COMMANDS) == set()
    assert set(COMMANDS) <= set(found)
    assert {name for name in COMMANDS if name not in without} == {"plan"}
    assert {"generate", "serve", "extract", "confidence", "confidence ask", "tune"} <= set(found) - without
    assert {f"experts {name}" for name in ("train", "route", "generate", "evaluate")} <= set(found) - without


ROOMS = ("language", "questions", "confidence", "extraction", "experts", "tuning", "serving")


def _functions():
    for room in ROOMS:
        module = importlib.import_module(f"jaxuq.{room}")
        for name in module.__all__:
            one = getattr(module, name)
            if inspect.isfunction(one):
                parameters = inspect.signature(one).parameters
                if any("LanguageModel" in str(part.annotation) for part in parameters.values()):
                    yield f"{room}.{name}", parameters


def test_every_function_of_a_language_model_takes_a_mesh_or_says_why_not():
    without = {name for name, parameters in _functions() if "mesh" not in parameters}
    known = set(FUNCTIONS) | {f"tuning.{name}" for name in THE_MODEL_LIES_ON_IT}
    assert {name for name in without if name.split(".")[1] not in OPTIONS_SAY_IT} == known


@pytest.mark.parametrize("name", sorted(OPTIONS_SAY_IT))
def test_the_options_of_a_run_have_a_mesh(name):
    rooms = [importlib.import_module(f"jaxuq.{room}") for room in ROOMS]
    run = next(getattr(room, name) for room in rooms if hasattr(room, name))
    options = next(iter(inspect.signature(run).parameters.values())).annotation
    assert "mesh" in {field.name for field in dataclasses.fields(options)}
