"""Data that teach a model to say what it does not know: refusals, sufficiency of a context, stated confidence."""

from collections.abc import Mapping, Sequence

from jaxuq._arguments import typed
from jaxuq.questions import Question
from jaxuq.tuning.errors import TuningError

SURE = " Are you sure that this is right, from what you know? I am"
REFUSALS = (" I do not know.", " I am not able to answer this.", " This is beyond what I know.")


@typed()
def refusal_records(records: Sequence[Question], correct: Sequence[bool], *, style: str = "unsure") -> list[Question]:
    """Questions of which the model knows its own answer to be right or wrong, made into samples to tune on.

    `"unsure"`: the right answer stays, followed by a question whether the model is sure; "sure" is learnt where its own
    answer was right, "unsure" where not. At test, the probability of "sure" against "unsure" is a confidence.
    `"unknown"`: where its own answer was wrong, a refusal takes the place of the answer.

    Args:
        records: questions with right answers.
        correct: whether the model's own answer to each, before tuning, was right.
        style: `"unsure"` or `"unknown"`.

    Returns:
        As many records; the part to be learnt is in `reply`.

    Raises:
        TuningError: another number of grades than of questions, one class only, or an unknown style.

    Example:
        >>> asked = [Question(name, name, prompt=f"Q: {name}?\\nA:", reply=" x") for name in "ab"]
        >>> [one.reply for one in refusal_records(asked, [True, False])]
        [' sure.', ' unsure.']
        >>> [one.reply for one in refusal_records(asked, [True, False], style="unknown")]
        [' x', ' I do not know.']

    References:
        H. Zhang et al., "R-Tuning: Instructing Large Language Models to Say 'I Don't Know'", NAACL 2024 (the wording is
        jaxuq's own).
    """
    if style not in ("unsure", "unknown"):
        raise TuningError(f"style is {style!r}; expected 'unsure' or 'unknown'")
    if len(correct) != len(records):
        raise TuningError(f"there are {len(correct)} grades for {len(records)} questions")
    right = sum(bool(one) for one in correct)
    if right in (0, len(records)):
        which = "right" if right else "wrong"
        raise TuningError(f"all {len(records)} answers are {which}: there is nothing to tell apart")
    made, wrong = [], 0
    for one, known in zip(records, correct):
        if style == "unsure":
            said = " sure." if known else " unsure."
            made.append(one._replace(prompt=f"{one.prompt}{one.reply}.{SURE}", reply=said, wrong=()))
        else:
            made.append(one if known else one._replace(reply=REFUSALS[wrong % len(REFUSALS)], wrong=()))
            wrong += not known
    return made


@typed()
def sufficiency_records(passages: Mapping[str, tuple[str, str, str]]) -> list[Question]:
    """Contexts with a question of their own and one of a sibling: is what is known sufficient?

    All ordered pairs of passages of one ambiguous item make two records each, if the first passage holds its own answer
    and not the other's. First of two stages: the second tunes on ordinary answers again.

    Args:
        passages: by name, the text, its question, and the answer to that.

    Returns:
        Records with the answers " Sufficient" and " Insufficient", as many of one as of the other.

    Example:
        >>> both = {"a": ("Rome is in Italy.", "Where is Rome?", "Italy"), "b": ("Rome, Ohio.", "Which state?", "Ohio")}
        >>> [one.reply for one in sufficiency_records(both)]
        [' Sufficient', ' Insufficient', ' Sufficient', ' Insufficient']

    References:
        J. Li, Y. Tang, Y. Yang, "Know the Unknown: An Uncertainty-Sensitive Method for LLM Instruction Tuning",
        Findings of ACL 2025.
    """
    made = []
    for name, (text, question, answer) in passages.items():
        for other, (_, foreign, elsewhere) in passages.items():
            if other == name or answer.lower() not in text.lower() or elsewhere.lower() in text.lower():
                continue
            for asked, said in ((question, " Sufficient"), (foreign, " Insufficient")):
                prompt = f"Context: {text}\nQ: {asked}\nIs the context sufficient to answer?"
                wrong = (" Insufficient",) if said == " Sufficient" else (" Sufficient",)
                label = f"{name}-{other}-{said.strip().lower()}"
                made.append(
                    Question(label, asked, category="context", prompt=prompt, chat=False, reply=said, wrong=wrong)
                )
    return made


@typed()
def stated_confidence_records(records: Sequence[Question], confidence: Sequence[float]) -> list[Question]:
    """Question, answer, and "confidence: N%", of which N is learnt.

    With `jaxuq.losses.stated_confidence_loss` the number itself is not needed: give any, and take the logits of the
    tokens of all levels at its place.

    Args:
        records: questions, each with the answer that the model itself gave.
        confidence: in [0, 1].

    Returns:
        As many records.

    Raises:
        TuningError: a confidence outside [0, 1], or another number of them.

    Example:
        >>> (one,) = stated_confidence_records([Question("a", "", prompt="Q: a?\\nA:", reply=" x")], [0.7])
        >>> one.prompt[-15:], one.reply
        (' x\\nconfidence: ', '70%')

    References:
        Y. Li, M. Xiong, J. Wu, B. Hooi, "ConfTuner: Training Large Language Models to Express Their Confidence
        Verbally", NeurIPS 2025.
    """
    if len(confidence) != len(records) or not all(0 <= one <= 1 for one in confidence):
        raise TuningError(f"expected {len(records)} confidences in [0, 1], got {list(confidence)[:5]} ...")
    return [
        one._replace(prompt=f"{one.prompt}{one.reply}\nconfidence: ", reply=f"{round(100 * sure)}%", wrong=())
        for one, sure in zip(records, confidence)
    ]
