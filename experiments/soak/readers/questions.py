"""Questions and their published sets, responses to them, and answers in replies."""

import json
import pathlib
from typing import Any

from readers.files import Read, Reader, any_text, lines, packed, texts

_QUESTIONS = (
    {"id": "a", "question": "What is 3 + 4?", "answer": "7", "kind": "number", "category": "sums", "weight": 1.5},
    {"id": "b", "question": "Which is a fruit?", "choices": ["pear", "iron"], "answer": "A", "also": ["pear"]},
    {
        "question": "Capital of Peru?",
        "answer": ["Lima", "Ciudad de los Reyes"],
        "prompt": [{"role": "user", "content": "?"}],
    },
)
_QUESTION_CSV = (
    'id,question,A,B,C,answer,kind,weight\na,"Which, of these?",one,two,three,B,choice,1\nb,What?,x,y,,A,choice,0.5\n'
)


def _questions(name: str, responses: str = "") -> Read:
    def read(folder: pathlib.Path) -> Any:
        from jaxuq.questions import add_responses, load_questions

        found = load_questions(str(folder / name))
        return add_responses(found, folder / responses) if responses else found

    return read


_PUBLISHED = {
    "gsm8k.jsonl": lines(
        {"question": "1 + 1?", "answer": "It is <<1+1=2>>2.\n#### 2"}, {"question": "x", "answer": "#### 1,200"}
    ),
    "math.jsonl": lines(
        {"problem": "Half?", "solution": "It is $\\boxed{\\frac12}$.", "answer": "\\frac12", "subject": "A"}
    ),
    "svamp.json": json.dumps(
        [{"Body": "He has 3", "Question": "How many?", "Answer": 3.0, "Equation": "( 2.0 + 1.0 )", "ID": "c"}]
    ),
    "mathqa.jsonl": lines(
        {"Problem": "two?", "Rationale": "so", "options": "a ) 1 , b ) 2 , c ) 3 , d ) 4 , e ) 5", "correct": "b"}
    ),
    "test/law_test.csv": 'Which one?,"a, b",b,c,d,C\nand?,1,2,3,4,A\n',
    "bbh/logic.json": json.dumps(
        {"examples": [{"input": "True?", "target": "(A)"}, {"input": "How many?", "target": "2"}]}
    ),
    "cot-prompts/logic.txt": "canary\n-----\nQ: x\nA: y",
}


def _published(name: str) -> Read:
    def read(folder: pathlib.Path) -> Any:
        from jaxuq.questions import load_questions, read_published

        kind = {"test": "mmlu"}.get(name.split("/")[0].split(".")[0], name.split("/")[0].split(".")[0])
        rejected: list[Any] = []
        place = folder / name if "/" not in name else folder / name.split("/")[0]
        found = read_published(kind, place, rejected)
        return load_questions(kind, folder=place), found

    return read


def _published_folder(folder: pathlib.Path) -> None:
    for name, text in _PUBLISHED.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def _reply_values(folder: pathlib.Path) -> Any:
    from jaxuq.questions import Question, compare_answers, find_answer, grade_answers, read_answer

    text = any_text(folder)
    for kind in ("number", "expression", "choice", "text", "whole"):
        found = find_answer(text, kind)
        grade_answers([text], ["42"], kind)
        compare_answers(text[:300], found.answer if found is not None and hasattr(found, "answer") else "42", kind)
    return read_answer(text, Question("a", "b?", ("A",), "choice", ("pear", "iron")))


_ANSWER = (
    "Let $x = \\frac{1}{2}$; so **12** of 50 km/h, that is 24%.\n\n#### 1,200\n"
    "The final answer is \\boxed{\\sqrt{3} + 2x^{2}}. (B) [0, 1) 3/4\n"
)


_ALL_QUESTIONS = texts(
    a__jsonl=lines(*_QUESTIONS),
    a__json=json.dumps(_QUESTIONS),
    a__csv=_QUESTION_CSV,
    a__tsv=_QUESTION_CSV.replace(",", "\t"),
    said__jsonl=lines({"id": "a", "response": "7"}, {"id": "b", "response": "(A)"}),
)


READERS: dict[str, Reader] = {
    "questions: JSON lines": Reader(
        ("a.jsonl",), _ALL_QUESTIONS, _questions("a.jsonl"), ("load_questions", "load_split")
    ),
    "questions: JSON list": Reader(("a.json",), _ALL_QUESTIONS, _questions("a.json")),
    "questions: CSV and TSV": Reader(
        ("a.csv", "a.tsv"), _ALL_QUESTIONS, lambda folder: (_questions("a.csv")(folder), _questions("a.tsv")(folder))
    ),
    "questions: gzipped": Reader(("a.jsonl.gz",), packed(_ALL_QUESTIONS), _questions("a.jsonl.gz")),
    "questions: responses": Reader(
        ("said.jsonl",), _ALL_QUESTIONS, _questions("a.jsonl", "said.jsonl"), ("add_responses",)
    ),
    **{
        f"questions: {name}": Reader(
            (name,), _published_folder, _published(name), ("read_published", "find_published"), 0.5
        )
        for name in _PUBLISHED
        if not name.startswith("cot")
    },
    "replies: answers": Reader(
        ("reply.txt",), texts(reply__txt=_ANSWER), _reply_values, ("find_answer", "read_answer"), share=0.7
    ),
}
"""By name, as the page shows them."""
