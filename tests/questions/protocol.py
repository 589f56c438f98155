"""The public names of jaxuq.questions for tests/test_protocol.py: texts and records, no arrays."""

from typing import Any

EXAMPLES: dict[str, Any] = {}
HOST: dict[str, str] = {
    "PUBLISHED": "addresses",
    "QUESTION_SETS": "names",
    "FoundAnswer": "a result type",
    "Grades": "a result type",
    "PublishedQuestion": "a record",
    "Question": "a record",
    "QuestionError": "an exception",
    "QuestionSet": "a record",
    "add_responses": "reads files",
    "Verdict": "a result type",
    "compare_answers": "reads strings",
    "answer_tokens": "reads strings",
    "equivalent_answers": "reads strings",
    "find_answer": "reads strings",
    "find_published": "looks for files",
    "grade_answers": "reads strings",
    "is_right": "reads strings",
    "load_questions": "reads files",
    "read_published": "reads files",
    "spread": "selects on the host",
}
