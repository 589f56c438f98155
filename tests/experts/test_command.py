"""`jaxuq experts`: the answers to mistakes are one line and exit code 2."""

import json

import pytest

from jaxuq.cli.main import main
from tests.experts.tiny_run import configuration, write_data


def said(capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        main(["experts", *map(str, arguments)])
    error = capsys.readouterr().err
    assert ended.value.code == 2, error
    assert error.startswith("jaxuq: ") and error.count("\n") == 1, error
    return error


def test_mistakes_are_one_line_and_two(capsys, tmp_path):
    nowhere = tmp_path / "nothing"
    assert "neither a file nor a known set; known are facts, families" in said(
        capsys, "train", "--data", nowhere, "--output", nowhere
    )
    assert "--rank is 0" in said(capsys, "train", "--rank", 0, "--output", nowhere)
    assert "--projection is 'fourier'" in said(capsys, "train", "--projection", "fourier", "--output", nowhere)
    assert "no run.json" in said(capsys, "evaluate", nowhere, "--output", tmp_path / "e")
    assert "--baselines moel" in said(capsys, "evaluate", nowhere, "--baselines", "moel", "--output", tmp_path / "e")
    assert "--top-k is 0" in said(capsys, "route", nowhere, "How many?", "--top-k", 0)
    assert "no question" in said(capsys, "generate", nowhere)
    assert "--mix is 'gate'" in said(capsys, "generate", nowhere, "How many?", "--mix", "gate")
    assert not nowhere.exists()


def test_a_folder_of_another_configuration_is_refused(capsys, tmp_path):
    from jaxuq.experts.pipeline.configuration import run_options
    from jaxuq.study import open_run

    data, output = write_data(tmp_path / "mix.jsonl"), tmp_path / "run"
    with open_run(output, system="experts", options=run_options(configuration(data, output)), content={}, device="cpu"):
        pass
    error = said(capsys, "train", "--data", data, "--output", output, "--rank", 4)
    assert "rank: 3 there, 4 here" in error


def test_published_problems_are_combined_for_training(capsys, tmp_path):
    files = {
        "gsm8k": {"question": "How many?", "answer": "Count. #### 7"},
        "svamp": {"Body": "Ann has 3 pens.", "Question": "How many has she?", "Equation": "3", "Answer": 3.0},
    }
    for name, problem in files.items():
        (tmp_path / f"{name}.json").write_text(json.dumps([problem, {"nothing": 0}]))
    mix = tmp_path / "mix.jsonl"
    main(["experts", "combine", str(mix), *(f"--{name}={tmp_path / name}.json" for name in files)])
    told = capsys.readouterr().err
    assert (
        "gsm8k: 1 problems left out; the first, gsm8k.json, entry 2:" in told
        and f"2 instructions written to {mix}" in told
    )
    assert [json.loads(line)["source"] for line in mix.read_text().splitlines()] == ["gsm8k", "svamp"]
    assert "name at least one of --math" in said(capsys, "combine", mix)


def test_names_of_all_methods_are_listed(capsys):
    main(["experts", "evaluate", "--list"])
    names = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert names[-1] == "elrea" and len(names) == 12 and "mole" in names
