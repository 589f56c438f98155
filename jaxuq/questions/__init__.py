"""The questions room: questions with their truths, and whether an answer is right.

`confidence`, `experts` and `tuning` ask them. `load_questions` takes a name or a user's file and gives what is asked;
`read_published` gives a published set as it is, with solutions and choices. `find_answer` reads the final answer of a
response, `compare_answers` compares two and says what decided, `grade_answers` does both for many.
"""

from jaxuq.questions.answers import FoundAnswer, answer_tokens, find_answer
from jaxuq.questions.files import QUESTION_SETS, add_responses, load_questions, spread
from jaxuq.questions.grading import Grades, Verdict, compare_answers, equivalent_answers, grade_answers
from jaxuq.questions.published import PUBLISHED, PublishedQuestion, find_published, read_published
from jaxuq.questions.records import Question, QuestionError, QuestionSet, is_right

__all__ = [
    "PUBLISHED",
    "QUESTION_SETS",
    "FoundAnswer",
    "Grades",
    "PublishedQuestion",
    "Question",
    "QuestionError",
    "QuestionSet",
    "Verdict",
    "add_responses",
    "answer_tokens",
    "compare_answers",
    "equivalent_answers",
    "find_answer",
    "find_published",
    "grade_answers",
    "is_right",
    "load_questions",
    "read_published",
    "spread",
]
