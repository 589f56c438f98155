"""`jaxuq generate` from the command line to the terminal."""

import json

import pytest

from jaxuq.cli import main
from jaxuq.language import GREEDY, generate, save_model
from tests.language.test_answers import model  # noqa: F401


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):  # noqa: F811
    path = tmp_path_factory.mktemp("models") / "tiny"
    save_model(path, model)
    return path


@pytest.fixture(autouse=True)
def _compiled_programs_of_the_tests(monkeypatch):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "kept")


def test_an_answer_is_streamed_and_json_tells_every_token(folder, model, capsys):  # noqa: F811
    (expected,) = generate(model, "hello", max_new_tokens=6, sampling=GREEDY)
    main(["generate", "hello", "--model", str(folder), "--max-new-tokens", "6"])
    assert capsys.readouterr().out == expected.text + "\n"
    main(["generate", "hello", "--model", str(folder), "--max-new-tokens", "6", "--json"])
    record = json.loads(capsys.readouterr().out)
    assert (record["text"], record["finish"], record["sample"]) == (expected.text, expected.finish, 0)
    assert [token["id"] for token in record["tokens"]] == expected.tokens.tolist()
    for token, log_prob in zip(record["tokens"], expected.log_probs):
        assert token["log_prob"] == pytest.approx(float(log_prob), abs=1e-4)
        assert token["alternatives"][0]["id"] == token["id"] and len(token["alternatives"]) == 5  # greedy


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--temperature", "-1"], "temperature is -1"),
        (["--temperature", "1", "--top-p", "2"], "top_p is 2"),
        (["--num-samples", "2"], "add --temperature"),
        (["--raw", "--system", "be brief"], "no place for --system"),
        (["--max-new-tokens", "0"], "start at 1"),
        (["--max-new-tokens", "64"], "leave no room"),
        (["--model", "no/such/model.gguf"], "no/such/model.gguf"),
    ],
)
def test_mistakes_are_one_line(folder, capsys, arguments, said):
    with pytest.raises(SystemExit) as ended:
        main(["generate", "hello", "--model", str(folder), *arguments])
    error = capsys.readouterr().err
    assert ended.value.code == 2
    assert said in error and error.count("\n") == 1 and error.startswith("jaxuq: ")


def test_an_empty_prompt_is_refused(folder, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["generate", " ", "--model", str(folder), "--max-new-tokens", "6"])
    assert ended.value.code == 2
    assert "empty" in capsys.readouterr().err


def test_a_mesh_changes_no_answer(folder, model, capsys):  # noqa: F811
    (expected,) = generate(model, "hello", max_new_tokens=6, sampling=GREEDY)
    main(["generate", "hello", "--model", str(folder), "--max-new-tokens", "6", "--mesh", "data=2,tensor=2"])
    assert capsys.readouterr().out == expected.text + "\n"
    with pytest.raises(SystemExit) as stopped:
        main(["generate", "hello", "--model", str(folder), "--mesh", "rows=2"])
    assert stopped.value.code == 2
    assert "such as data=2,tensor=4" in capsys.readouterr().err
