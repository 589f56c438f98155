"""The packaged facts, and published sets in the layouts of their authors."""

import json
import re

import pytest

from jaxuq import questions

SIZES = {"gsm8k": 7473, "math": 500, "svamp": 1000, "mathqa": 1000, "bbh": 6511, "mmlu": 14042}


def test_facts_are_many_and_consistent():
    found = questions.load_questions("facts")
    assert len(found.questions) >= 300 and not found.rejected
    assert len({one.question for one in found.questions}) >= 0.97 * len(found.questions)
    sums = re.compile(r"What is (\d+) ([-+*]) (\d+)\?")
    for one in found.questions:
        assert questions.find_answer(f"So it is. The answer is {one.answers[0]}.", one.kind).text == one.answers[0]
        if match := sums.fullmatch(one.question):
            a, sign, b = int(match[1]), match[2], int(match[3])
            assert int(one.answers[0]) == {"+": a + b, "-": a - b, "*": a * b}[sign]


def test_benchmarks_are_read_as_published(tmp_path, monkeypatch):
    monkeypatch.delenv("JAXUQ_DATA", raising=False)
    monkeypatch.setenv("JAXUQ_CACHE", str(tmp_path / "nothing"))
    with pytest.raises(questions.QuestionError, match="gsm8k is not on this machine"):
        questions.load_questions("gsm8k")

    def put(name, text):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    put("gsm8k/test.jsonl", json.dumps({"question": "q", "answer": "so\n#### 1,200"}) + "\n{broken\n")
    put(
        "math/math500.jsonl",
        json.dumps({"problem": "p", "solution": "thus \\boxed{\\frac12}", "type": "Algebra"}) + "\n",
    )
    put("svamp/SVAMP.json", json.dumps([{"Body": "He has 3", "Question": "How many?", "Answer": 3.0, "ID": "c"}, {}]))
    put("mmlu/test/law_test.csv", 'question,a,b,c,d,answer\n"Why, then?",x,y,z,w,2\nshort,1\n')
    put(
        "bbh/bbh/sums.json",
        json.dumps({"examples": [{"input": "1 + 1 =", "target": "2"}, {"input": "?", "target": "(B)"}]}),
    )
    put("bbh/cot-prompts/sums.txt", "canary\n-----\nAdd.\n\nQ: 1 =\nA: So the answer is 1.\n")
    expected = {"gsm8k": ("1200", 1), "math": ("\\frac12", 0), "svamp": ("3", 1), "mmlu": ("C", 1), "bbh": ("2", 0)}
    for name, (truth, bad) in expected.items():
        found = questions.load_questions(name, folder=tmp_path)
        assert found.questions[0].answers == (truth,) and len(found.rejected) == bad, name
    kinds = [one.kind for one in questions.load_questions("bbh", folder=tmp_path).questions]
    assert kinds == ["number", "choice"]
    assert "\\boxed{1}" in questions.load_questions("bbh", folder=tmp_path).questions[0].prompt


def test_mathqa_has_letters_for_its_options(tmp_path):
    entries = [
        {"problem": "p", "rationale": '"so 16 answer : b"', "options": "a ) 1 , 000 , b ) 16", "correct": "b"},
        {"Problem": "p", "Rationale": "r", "options": "['a ) a ) 4 inches', 'b ) b ) 6 inches']", "correct": "a"},
        {"problem": "p", "rationale": "r", "options": "a ) 1 , b ) 2", "correct": "e"},
        7,
    ]
    (tmp_path / "test.json").write_text(json.dumps(entries))
    rejected: list[questions.Rejected] = []
    first, second = questions.read_published("mathqa", tmp_path / "test.json", rejected)
    assert (first.answers, first.choices, first.solution) == (("B",), ("1 , 000", "16"), "so 16 answer : b")
    assert (second.answers, second.choices) == (("A",), ("4 inches", "6 inches"))
    assert rejected == [("test.json, entry 3", "there is no option 'e' among ['a', 'b']"),
                        ("test.json, entry 4", "no object with fields but int")]  # fmt: skip


def test_solutions_are_as_published_without_marks(tmp_path):
    file = tmp_path / "a.jsonl"
    file.write_text(
        json.dumps({"question": "q\u2028r", "answer": "48/2 = <<48/2=24>>24.\n#### 24"}, ensure_ascii=False)
    )
    (one,) = questions.read_published("gsm8k", file, [])
    assert (one.question, one.solution, one.answers) == ("q\u2028r", "48/2 = 24.", ("24",))
    file.write_text(json.dumps([{"Body": "b", "Question": "q", "Equation": "( 2.0 + 1e7 )", "Answer": 10000002.0}]))
    (one,) = questions.read_published("svamp", file, [])
    assert (one.answers, one.solution) == (("10000002",), "( 2 + 1e7 ) = 10000002.")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("gsm8k", None, r"cannot be read \(No such file"),
        ("gsm8k", "[1,", "is no JSON"),
        ("mmlu", "", "is no folder of MMLU"),
        ("aime", "", "none of the published sets gsm8k, math"),
    ],
)
def test_files_that_cannot_be_read_are_named(tmp_path, name, content, said):
    if content is not None:
        (tmp_path / "a").write_text(content)
    with pytest.raises(questions.QuestionError, match=said):
        questions.read_published(name, tmp_path / "a", [])


@pytest.mark.data
@pytest.mark.parametrize("name", SIZES)
def test_published_sets_have_their_published_sizes(name):
    rejected: list[questions.Rejected] = []
    found = questions.read_published(name, questions.find_published(name), rejected)
    assert (len(found), rejected) == (SIZES[name], []) and len({one.id for one in found}) == len(found)
    assert all(one.answers[0] and one.question for one in found)
    assert all("ABCDE".index(one.answers[0]) < len(one.choices) for one in found if one.choices)


@pytest.mark.parametrize("given", [None, "one question", {"question": "2 + 2?", "answer": 4}, 3])
def test_a_function_that_gives_no_questions_is_named(given):
    def mine():
        return given

    with pytest.raises(questions.QuestionError, match=r"the set mine gives .*; expected a list of questions"):
        questions.load_questions(mine)


def test_a_layout_that_gives_no_prompt_is_named():
    def silent(question):
        return None

    with pytest.raises(questions.QuestionError, match=r"the layout silent gives None; expected a text"):
        questions.load_questions([{"question": "2 + 2?", "answer": 4}], layout=silent)


def test_a_second_response_to_a_question_is_counted_and_the_first_kept(tmp_path):
    found = questions.load_questions([{"id": "a", "question": "2 + 2?", "answer": 4}])
    path = tmp_path / "said.jsonl"
    path.write_text("".join(json.dumps({"id": "a", "response": text}) + "\n" for text in ("4", "5")))
    answered = questions.add_responses(found, path)
    assert [one.response for one in answered.questions] == ["4"]
    assert "has a response already" in answered.rejected[0].reason


def test_brackets_are_compared_sign_by_sign():
    def right(said, truth):
        return questions.grade(said, questions.Question("a", "Close them.", (truth,), "text")).correct

    assert right(r"\boxed{] >}", "] >") and right(r"\boxed{]>}", "] >")
    for wrong in (r"\boxed{> ]}", r"\boxed{>}", r"\boxed{) ) >}"):
        assert not right(wrong, "] >")
    one = questions.Question("a", "3 * 5?", "15", "number")  # one text in the place of several
    assert questions.grade("It is 15.", one).correct and not questions.grade("It is 5.", one).correct
