"""`jaxuq models`: what its users see."""

import pytest

from jaxuq.cli import main
from jaxuq.language import load_model
from tests.language.tiny_checkpoints import write_folder, write_gguf


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXUQ_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("JAXUQ_DATA", raising=False)


def test_list_names_the_models_and_how_to_get_them(capsys):
    main(["models", "list"])
    shown = capsys.readouterr().out
    assert "smollm2" in shown and "Apache-2.0" in shown and "jaxuq models fetch smollm2" in shown


def test_info_describes_a_checkpoint(capsys, tmp_path):
    main(["models", "info", str(write_folder(tmp_path / "model", "gemma2"))])
    shown = {
        parts[1].strip(): parts[2].strip()
        for parts in (line.split("│") for line in capsys.readouterr().out.splitlines())
        if len(parts) == 4
    }
    assert shown["family"] == "gemma2"
    assert shown["layers"] == "2"
    assert shown["heads"] == "4 of 8, 2 for keys and values"
    assert shown["vocabulary"] == "40, tied"
    assert shown["windows"] == "4"
    assert shown["chat template"] == "yes"


def test_convert_makes_a_folder_of_safetensors(capsys, tmp_path):
    source = write_gguf(tmp_path / "model.gguf")
    main(["models", "convert", str(source), str(tmp_path / "folder"), "--dtype", "bfloat16"])
    assert "parameters as bfloat16" in capsys.readouterr().out
    assert load_model(tmp_path / "folder").decoder.config == load_model(source).decoder.config


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["info", "nothing"], "no model is called 'nothing'"),
        (["info", "{folder}"], "config.json is missing"),
        (["fetch", "smolm2"], "did you mean smollm2?"),
        (["convert", "{file}", "{folder}"], "exists already; name a new folder"),
        (["convert", "{file}", "{folder}/new", "--dtype", "int8"], "--dtype is 'int8'"),
    ],
)
def test_a_mistake_is_one_line_and_code_two(arguments, message, capsys, tmp_path):
    file = write_gguf(tmp_path / "model.gguf")
    with pytest.raises(SystemExit) as stopped:
        main(["models", *(argument.format(file=file, folder=tmp_path) for argument in arguments)])
    error = capsys.readouterr().err
    assert stopped.value.code == 2, error
    assert error.startswith("jaxuq: ") and error.count("\n") == 1 and message in error
