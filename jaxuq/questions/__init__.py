"""The questions room: questions with their truths, how they are put to a model, and whether an answer is right.

`confidence`, `experts` and `tuning` ask them. `load_questions` takes a name, a user's file or program, and gives each
question with its prompt (`lay_out`); `grade` reads the final answer of a response and says whether it is right.
Sets and layouts are open tables: `SETS["mine"] = f`, `LAYOUTS["mine"] = g`. `find_answer` reads the final answer of any
text, `compare_answers` compares two and says what decided; `read_published` gives a published set as it is.
"""

from jaxuq.questions.answers import FoundAnswer, answer_tokens, find_answer
from jaxuq.questions.choices import letters_of
from jaxuq.questions.comparing import Verdict, compare_answers, equivalent_answers
from jaxuq.questions.families import FAMILIES, family_answer, make_families, write_families
from jaxuq.questions.grading import Grade, Grades, grade, grade_answers, judge_answer, read_answer, right_answers
from jaxuq.questions.known_truth import KnownQuestion, drawn_answers, make_known_truth
from jaxuq.questions.layouts import LAYOUTS, lay_out
from jaxuq.questions.published import PUBLISHED, find_published, read_published
from jaxuq.questions.records import Question, QuestionError, QuestionSet, Rejected
from jaxuq.questions.schema import make_question
from jaxuq.questions.sets import SETS, add_responses, load_questions, of_part, spread

__all__ = [
    "FAMILIES",
    "LAYOUTS",
    "PUBLISHED",
    "SETS",
    "FoundAnswer",
    "Grade",
    "Grades",
    "KnownQuestion",
    "Question",
    "QuestionError",
    "QuestionSet",
    "Rejected",
    "Verdict",
    "add_responses",
    "answer_tokens",
    "compare_answers",
    "drawn_answers",
    "equivalent_answers",
    "family_answer",
    "find_answer",
    "find_published",
    "grade",
    "grade_answers",
    "judge_answer",
    "lay_out",
    "letters_of",
    "load_questions",
    "make_families",
    "make_known_truth",
    "make_question",
    "of_part",
    "read_answer",
    "read_published",
    "right_answers",
    "spread",
    "write_families",
]
