"""MMLU and BIG-Bench Hard from folders in their published layouts, and what is said of other folders."""

import json

import pytest

from jaxuq import tuning
from jaxuq.questions import QuestionError


@pytest.fixture
def mmlu(tmp_path):
    for part, rows in {
        "dev": ['"Two, and two?",3,4,5,6,B'],
        "val": ["One and one?,2,3,4,5,A", "broken,2,3"],
        "test": ["Three and one?,2,3,4,5,C", "Zero?,0,1,2,3,E", "What is red?,a colour,a car,a cat,a cow,A"],
    }.items():
        (tmp_path / part).mkdir()
        (tmp_path / part / f"elementary_mathematics_{part}.csv").write_text("\n".join(rows) + "\n")
    return tmp_path


def test_mmlu_is_divided_as_published(mmlu):
    split = tuning.load_split(f"mmlu:{mmlu}")
    assert (split.name, len(split.train), len(split.test)) == ("mmlu", 2, 2)
    assert [one.reply for one in split.train] == [" A", " B"] and [one.reply for one in split.test] == [" C", " A"]
    two = split.train[1]
    assert two.prompt == "Q: Two, and two?\nA. 3\nB. 4\nC. 5\nD. 6\nA:" and two.wrong == (" A", " C", " D")
    assert {one.category for one in split.train + split.test} == {"elementary_mathematics"}
    assert [place for place, _ in split.rejected] == [
        "elementary_mathematics_val.csv, line 2", "elementary_mathematics_test.csv, line 2"
    ]  # fmt: skip
    own = mmlu / "own.jsonl"
    own.write_text(json.dumps({"question": "x?", "answer": "y"}))
    assert len(tuning.load_split(f"mmlu:{mmlu}", test=own).test) == 1


def test_bbh_has_letters_or_targets_of_its_task(tmp_path):
    (tmp_path / "bbh").mkdir()
    dates = [
        {"input": f"Day {number}?\nOptions:\n(A) 1\n(B) 2\n(C) 3", "target": f"({letter})"}
        for number, letter in enumerate("ABCZ")
    ]
    (tmp_path / "bbh/dates.json").write_text(json.dumps({"canary": "x", "examples": dates}))
    yes = [{"input": f"not {number} is", "target": "True"} for number in range(4)] + [{"input": "x"}]
    (tmp_path / "bbh/boolean.json").write_text(json.dumps({"examples": yes}))
    (tmp_path / "bbh/broken.json").write_text("{")
    split = tuning.load_split(f"bbh:{tmp_path}")
    found = {one.id: one for one in split.train + split.test}
    assert len(found) == 7 and split.name == "bbh" and not split.shifted
    second = found["bbh.dates.1"]
    assert second.prompt.endswith("(C) 3\nA: (") and second.reply == "B" and second.wrong == ("A", "C")
    assert found["bbh.boolean.0"].reply == " True" and found["bbh.boolean.0"].category == "boolean"
    reasons = dict(split.rejected)
    assert set(reasons) == {"boolean.json, entry 5", "broken.json", "bbh.dates.3"}
    assert "(Z) is none of the options A, B, C" in reasons["bbh.dates.3"]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("mmlu", "not on this machine. Fetch it from https://github.com/hendrycks.* mmlu:/path"),
        ("bbh:{}/none", "there is no .*none; bbh is published at"),
        ("mmlu:{}", "holds no mmlu: expected test or val or dev, as published at"),
        ("bbh:{}", "holds no bbh: expected bbh"),
    ],
)
def test_other_folders_are_refused_in_a_sentence(data, said, tmp_path, monkeypatch):
    monkeypatch.delenv("JAXUQ_DATA", raising=False)
    monkeypatch.setenv("JAXUQ_CACHE", str(tmp_path / "nothing"))
    with pytest.raises(QuestionError, match=said):
        tuning.load_split(data.format(tmp_path))
