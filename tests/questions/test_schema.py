"""One schema of questions for all commands: what a line may say, what is said of one that does not fit, and layouts."""

import csv
import gzip
import json

import pytest

from jaxuq import questions
from jaxuq._entries import Entry, UnknownEntryError
from jaxuq.experts.pipeline.configuration import TrainConfiguration
from jaxuq.experts.pipeline.records import load_records
from jaxuq.tuning import load_split

LINES = [
    {"id": "sum", "question": "2 + 2?", "answer": 4, "category": "sums", "weight": 2, "uncertainty": 0.5},
    {"id": "lord", "question": "Who?", "answer": ["Ann", "Bo"], "source": "people", "part": "test"},
    {"id": "pick", "question": "Which is red?", "choices": ["sky", "blood"], "answer": "blood"},
    {"id": "interval", "question": "Where?", "answer": "[0, 1)", "kind": "expression"},
    {"id": "told", "instruction": "Say yes.", "response": "Yes, I say.", "dataset": "talk", "task": "saying"},
]


def write(path, lines=LINES):
    """Lines in the form that the name of the file says."""
    if path.name.endswith(".csv"):
        names = list(dict.fromkeys(name for line in lines for name in line))
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            for line in lines:
                writer.writerow({k: json.dumps(v) if isinstance(v, list) else v for k, v in line.items()})
    elif path.name.endswith(".json"):
        path.write_text(json.dumps(lines))
    else:
        text = "\n".join(map(json.dumps, lines)).encode()
        path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else b"\xef\xbb\xbf" + text)
    return path


@pytest.mark.parametrize("name", ["q.jsonl", "q.json", "q.csv", "q.jsonl.gz"])
def test_files_of_every_form_hold_the_same_questions(tmp_path, name):
    found = questions.load_questions(write(tmp_path / name), part="")
    assert found.rejected == [] and found.name == "q" and found.layout == "boxed"
    assert [one._replace(prompt=None, reply="", wrong=()) for one in found.questions] == [
        questions.Question("sum", "2 + 2?", ("4",), "number", category="sums", weight=2.0, uncertainty=0.5),
        questions.Question("lord", "Who?", ("Ann", "Bo"), source="people", part="test"),
        questions.Question("pick", "Which is red?", ("B",), "choice", ("sky", "blood")),
        questions.Question("interval", "Where?", ("[0, 1)",), "expression"),
        questions.Question("told", "Say yes.", (), "whole", solution="Yes, I say.", category="saying", source="talk"),
    ]


def test_choices_may_be_columns(tmp_path):
    file = tmp_path / "q.csv"
    file.write_text('question,A,B,C,answer\n"Red, or?",sky,blood,,B\nTwo?,1,2,3,2\nWhich?,5,6,7,0\n')
    found = questions.load_questions(file)
    assert [(one.choices, one.answers) for one in found.questions] == [
        (("sky", "blood"), ("B",)), (("1", "2", "3"), ("B",)), (("5", "6", "7"), ("A",))
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "no JSON"),
        ("[1]", "it is a list of 1: expected an object with fields"),
        ('{"questoin": "x", "answer": 1}', '`question` is missing (there is `questoin`): give "question", a text'),
        ('{"question": " ", "answer": 1}', "`question` is empty: expected text"),
        ('{"instruction": 3, "response": "x"}', "`instruction` is a number: expected text"),
        ('{"question": "x"}', '`answer` is missing: give "answer", the right one, or "solution"'),
        ('{"question": "x", "anwser": 1}', "`answer` is missing (there is `anwser`)"),
        ('{"question": "x", "answer": true}', "`answer` is true or false: expected text, a number"),
        ('{"question": "x", "answer": NaN}', "`answer` is nan: expected"),
        ('{"question": "x", "answer": []}', "`answer` is missing: expected text"),
        ('{"question": "x", "answer": 1, "also": 2}', "`also` is a number: expected a list"),
        ('{"question": "x", "answer": 1, "kind": "sum"}', "`kind` is 'sum': expected one of number, expression"),
        ('{"question": "x", "answer": "C", "choices": ["1", "2"]}', "`answer` is 'C', none of the choices 1, 2: give"),
        ('{"question": "x", "answer": 1, "choices": ["1", "1"]}', "`choices` is a list of 2: expected a list of 2 to"),
        ('{"question": "x", "answer": 1, "choices": "1, 2"}', "`choices` is text: expected a list"),
        ('{"question": "x", "answer": 1, "weight": -1}', "`weight` is -1: expected a number >= 0"),
        ('{"question": "x", "answer": 1, "uncertainty": "high"}', "`uncertainty` is text: expected a number >= 0"),
        ('{"question": "x", "answer": 1, "part": "half"}', "`part` is 'half': expected train, valid"),
        ('{"question": "x", "answer": 1, "prompt": 7}', "`prompt` is a number: expected text, or a list of chat"),
        ('{"question": "x", "answer": 1, "response": ""}', "`response` is empty: expected text"),
        ('{"question": "\\ud800", "answer": 1}', "not valid Unicode"),
        (
            '{"id": "ok", "question": "x", "answer": 1}',
            "the `id` 'ok' occurs twice: give every question one of its own",
        ),
    ],
)
def test_what_is_wrong_with_a_line_is_said_with_file_line_field_and_remedy(tmp_path, line, said):
    """... in the same words by every command, and it costs that line alone."""
    file = tmp_path / "mine.jsonl"
    file.write_text('{"id": "ok", "question": "x", "answer": 1}\n\n' + line + '\n{"question": "y", "answer": 2}\n')
    whole = questions.load_questions(file)
    assert [one.id for one in whole.questions] == ["ok", "line-4"]
    ((place, reason),) = whole.rejected
    assert place == ("ok" if "twice" in said else "mine.jsonl, line 3") and said in reason
    assert load_split(str(file)).rejected == whole.rejected
    assert load_records(TrainConfiguration(data=str(file))).rejected == whole.rejected


def test_bytes_that_are_no_text_cost_their_line(tmp_path):
    file = tmp_path / "mine.jsonl"
    file.write_bytes(b'{"question": "x\xff", "answer": 1}\n{"question": "y", "answer": 2}\n')
    found = questions.load_questions(file)
    assert [one.question for one in found.questions] == ["y"] and "save it as UTF-8" in found.rejected[0].reason
    file = tmp_path / "mine.csv"
    file.write_text("question,answer\nx,1,2\ny,2\n")
    found = questions.load_questions(file)
    assert [one.question for one in found.questions] == ["y"]
    assert found.rejected == [("mine.csv, line 2", "3 cells under 2 headings: quote commas")]


def test_a_file_without_a_usable_line_names_the_first_problem(tmp_path):
    file = write(tmp_path / "mine.jsonl", [{"question": "x"}])
    with pytest.raises(questions.QuestionError, match=r"no usable question.*mine.jsonl, line 1: `answer` is missing"):
        questions.load_questions(file)
    with pytest.raises(questions.QuestionError, match="neither a file nor a known set; known are facts, families"):
        questions.load_questions("nosuch")


def test_parts_are_those_that_data_say(tmp_path):
    lines = [{"id": f"{part}-{n}", "question": "q", "answer": n, "part": part}
             for part in ("train", "test", "valid", "calibrate") for n in range(3)]  # fmt: skip
    file = write(tmp_path / "q.jsonl", lines)
    found = questions.load_questions(file)
    assert [one.id for one in found.questions] == ["test-0", "test-1", "test-2"]
    split = load_split(str(file))
    assert {one.part for one in split.train} == {"train"} and {one.part for one in split.test} == {"test"}
    undivided = questions.of_part([one._replace(part="") for one in found.questions], "train")
    assert len(undivided) == 3


def test_layouts_are_prompts_with_the_replies_that_they_ask_for():
    """The published forms, to the letter."""
    sums = questions.Question("a", "2 + 2?", ("4",), "number", solution="2 + 2 = 4.")
    pick = questions.Question("b", "Which?", ("B",), "choice", ("sky", "blood"))
    box = "Put your final answer in \\boxed{ }"
    expected = {
        ("boxed", sums): (f"2 + 2?\n\nReason step by step. {box}.", "2 + 2 = 4.\nThe answer is $\\boxed{4}$."),
        ("boxed", pick): (f"Which?\n(A) sky\n(B) blood\n\nReason step by step. {box} as one letter.",
                          "The answer is $\\boxed{B}$."),
        ("line", sums): ("Q: 2 + 2?\nA:", " 4"),
        ("line", pick): ("Q: Which?\nA. sky\nB. blood\nA:", " B"),
        ("instruction", sums): ("2 + 2?", "2 + 2 = 4."),
        ("instruction", pick): ("Which?", "B"),
    }  # fmt: skip
    for (layout, one), (prompt, reply) in expected.items():
        laid = questions.lay_out(one, layout)
        assert (laid.prompt, laid.reply, laid.chat) == (prompt, reply, layout != "line")
        assert questions.grade(laid.reply, one, bare=layout == "line").correct in (True, None)
    short = questions.lay_out(sums, "short")
    assert short.prompt.endswith("9.\n\nQ: 2 + 2?\nA:") and short.reply == " 2 + 2 = 4. The answer is 4."
    assert questions.lay_out(pick, "line").wrong == (" A",)
    assert questions.lay_out(sums, "boxed", chat=False).prompt == f"2 + 2?\n\nReason step by step. {box}.\n"
    assert questions.lay_out(sums._replace(prompt="own"), "line").prompt == "own"
    assert questions.lay_out(questions.lay_out(pick, "line"), "boxed").prompt.startswith("Q: Which?")
    with pytest.raises(UnknownEntryError, match="no prompt layout 'boxd'; did you mean 'boxed'"):
        questions.lay_out(sums, "boxd")


def test_layouts_and_sets_of_a_users_own():
    """By name from the tables, as a function, and as questions in the program."""
    asked = [{"question": "2 + 2?", "answer": 4}, {"question": "broken"}]
    questions.SETS["mine"] = lambda: asked
    questions.LAYOUTS["loud"] = lambda one: one.question.upper() + "!"

    def read(path, part, *, copies):
        return [asked[0] | {"id": f"{path}-{number}"} for number in range(copies)]

    theirs = Entry("theirs", "Theirs", {"read": read}, options={"copies": 2}, about={"layout": "loud"})
    questions.SETS["theirs"] = theirs
    try:
        for data in ("mine", lambda: asked, asked):
            found = questions.load_questions(data, layout="loud")
            assert [one.prompt for one in found.questions] == ["2 + 2?!"] and len(found.rejected) == 1
            assert found.questions[0].chat and found.questions[0].reply == "4"
            again = questions.load_questions(found, layout=lambda one: "x")
            assert again.questions == found.questions  # laid out once
        found = questions.load_questions("theirs:here", copies=3, layout=None)
        assert [one.id for one in found.questions] == ["here-0", "here-1", "here-2"] and found.layout == "loud"
        assert len(questions.load_questions("theirs").questions) == 2
        split = load_split([{"question": f"{n}?", "answer": n} for n in range(4)], layout=lambda one: one.question)
        assert {one.prompt for one in split.train + split.test} == {f"{n}?\n" for n in range(4)}
    finally:
        del questions.SETS["mine"], questions.SETS["theirs"], questions.LAYOUTS["loud"]


def test_a_choice_is_read_among_its_own_letters():
    """Letters that are no choice of the question are none of a response, in every command."""
    two = questions.Question("a", "Which?", ("B",), "choice", ("sky", "blood"))
    listed = questions.Question("b", "Which?\nOptions:\n(A) sky\n(B) blood", ("B",), "choice")
    for one in (two, listed):
        assert questions.letters_of(one) == "AB"
        assert questions.grade("Given vitamin (C), it must be (B).", one).correct
        assert questions.grade("The answer is C.", one).correct is None
    assert questions.grade("The answer is C.", questions.Question("c", "?", ("C",), "choice")).correct


@pytest.mark.parametrize(
    ("line", "kind", "truths", "right", "by"),
    [
        ("It is Paris.", "text", ("Paris",), True, "words within"),
        ("Parisian", "text", ("Paris",), False, "words"),
        ("7", "text", ("seven", "7"), True, "words"),
        ("It is 14.", "number", ("4",), False, "number"),
        ("It is 4.", "number", ("4",), True, "number"),
        ("A or B", "choice", ("B",), False, "letter"),
        ("B. red", "choice", ("B",), True, "letter"),
        ("Both", "choice", ("B",), None, "nothing"),
        ("  FORTY\nseven ", "whole", ("forty seven",), True, "text"),
        ("x^2 + x.", "expression", ("x + x^2",), True, "reader"),
        ("", "text", ("Paris",), None, "nothing"),
    ],
)
def test_a_line_is_an_answer_by_itself(line, kind, truths, right, by):
    found = questions.grade(line, questions.Question("a", "?", truths, kind), bare=True)
    assert (found.correct, found.by) == (right, by)
    assert found.answer is None or line[found.answer.start : found.answer.end] == found.answer.text


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (5, "number"), (2.5, "number"), ("$1,200", "number"), ("3 1/2 cups", "number"), ("50%", "number"),
        ("5 km", "number"), ("22:30", "number"), ("\\frac{1}{2}", "number"), ("1st", "number"), ("18 eggs", "number"),
        ("0x1F", "number"), (["7", "7.0"], "number"), ("x^2", "expression"), ("2x", "expression"),
        ("x + 1", "expression"),
        ("3\\pi", "expression"), ("(1, 2)", "expression"), ("[0, 1)", "expression"), ("\\{1,2\\}", "expression"),
        ("x=5 or x=6", "expression"), ("5 or 6", "expression"), ("x > 3", "expression"), (["x^2", 4], "expression"),
        ("Apollo 13", "text"), ("B-52", "text"), ("H2O", "text"), ("COVID-19", "text"), ("Catch-22", "text"),
        ("12 Angry Men", "text"), ("2 Samuel", "text"), ("iPhone 5", "text"), ("2001: A Space Odyssey", "text"),
        ("4 July 1776", "text"), ("R2-D2", "text"), ("Boeing 747-400", "text"), ("Henry VIII", "text"), ("no", "text"),
        (["seven", "7"], "text"), (["Apollo 13", "13"], "text"), ("\\text{Paris}", "text"), ("and/or", "text"),
    ],
)  # fmt: skip
def test_a_kind_that_is_not_given_follows_from_whole_answers(answer, kind):
    """... of which each is right then."""
    one = questions.make_question({"question": "?", "answer": answer}, "a")
    assert one.kind == kind
    for truth in one.answers:
        response = f"The answer is {truth}" if "$" not in truth else truth
        assert questions.grade(response, one).correct, response
        assert not questions.grade("The answer is 987654.", one).correct


@pytest.mark.parametrize("answer", ["Paris", "St. Petersburg", "Apollo 13", "x^2", "no"])
def test_where_a_layout_asks_for_the_answer_itself_the_line_is_the_answer(answer):
    entry = {"question": "?", "answer": answer}
    (line,) = questions.load_questions([entry], layout="line").questions
    for said in (answer, f" {answer}.", f"The answer is {answer}."):
        assert questions.grade(said, line).correct, said
        found = questions.read_answer(said, line)
        assert found is not None and questions.judge_answer(found.text, line).equal
    assert questions.grade("London", line).correct is False
    (boxed,) = questions.load_questions([entry], layout="boxed").questions
    assert questions.grade(answer, boxed).correct is None or answer == "x^2"
