"""The public names of jaxuq.questions for tests/test_protocol.py: texts and records, no arrays."""

from typing import Any

EXAMPLES: dict[str, Any] = {}
_READS, _FILES = "reads strings", "reads files"
HOST: dict[str, str] = {
    "FAMILIES": "names",
    "LAYOUTS": "an open table",
    "PUBLISHED": "entries",
    "SETS": "an open table",
    "FoundAnswer": "a result type",
    "Grade": "a result type",
    "Grades": "a result type",
    "KnownQuestion": "a record",
    "Question": "a record",
    "QuestionError": "an exception",
    "QuestionSet": "a record",
    "Rejected": "a record",
    "Verdict": "a result type",
    "add_responses": _FILES,
    "answer_tokens": _READS,
    "compare_answers": _READS,
    "equivalent_answers": _READS,
    "family_answer": "writes strings",
    "find_answer": _READS,
    "find_published": "looks for files",
    "grade": _READS,
    "grade_answers": _READS,
    "judge_answer": _READS,
    "lay_out": "writes strings",
    "letters_of": _READS,
    "load_questions": _FILES,
    "drawn_answers": "draws words on the host",
    "make_families": "draws words on the host",
    "make_known_truth": "draws words on the host",
    "make_question": "reads an object on the host",
    "of_part": "selects on the host",
    "read_answer": _READS,
    "read_published": _FILES,
    "right_answers": _READS,
    "spread": "selects on the host",
    "write_families": "writes a file",
}
