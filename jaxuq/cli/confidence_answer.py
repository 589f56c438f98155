"""What `jaxuq confidence ask` prints: the answer, how sure the model is of it, and the chain."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jaxuq.cli.confidence import AskCommand
    from jaxuq.confidence.text.assess import Assessment


def answer_question(command: "AskCommand") -> None:
    """Answer, and print."""
    import sys

    import jax

    from jaxuq.cli.generate import load_named_model
    from jaxuq.confidence.measures import chosen_measures
    from jaxuq.confidence.text.assess import Plan, assess
    from jaxuq.parallel import is_first, row_parts
    from jaxuq.questions import Question, QuestionError, lay_out
    from jaxuq.questions.answers import KINDS

    kinds = ("auto", *KINDS)
    if command.kind not in kinds:
        raise QuestionError(f"--kind is {command.kind!r}; expected one of {', '.join(kinds)}")
    if command.samples < 0 or command.max_new_tokens < 1:
        raise QuestionError("--samples starts at 0 and --max-new-tokens at 1")
    if command.answer is not None and (command.response is None or command.answer not in command.response):
        raise QuestionError("--answer must be part of --response")
    question = sys.stdin.read() if command.question == "-" else command.question
    if not question.strip():
        raise QuestionError("the question is empty")
    model = load_named_model(command.model, mesh=command.mesh)
    rows = row_parts(model.mesh)
    kind = "text" if command.kind == "auto" else command.kind
    names = ["single", "asking", *(["samples"] if command.samples else [])]
    plan = Plan(command.max_new_tokens, not command.chat, command.samples or 1, measures=chosen_measures(names))
    bare = Question("asked", question.strip(), kind=kind, response=command.response)
    asked = lay_out(bare, "instruction" if command.chat else "short")
    key, known = jax.random.key(command.seed), [command.answer]
    found = assess(model, [asked], key, plan=plan, rows=rows, answers=known)[0]
    if command.kind == "auto" and found.found is None and command.answer is None:
        numbered = asked._replace(kind="number", response=found.text)
        found = assess(model, [numbered], key, plan=plan, rows=rows, answers=known)[0]
    if not is_first():
        return
    _print(found)
    if command.explain is not None:
        from jaxuq.confidence.text.explain import explain
        from jaxuq.study import write_text

        write_text(Path(command.explain), explain(found))
        print(f"\nThe chain step by step: {command.explain}")


def _print(found: "Assessment") -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)

    def plain(text: str) -> str:
        return "".join(letter if letter.isprintable() or letter == "\n" else "�" for letter in text).strip()

    console.print(f"Response    {plain(found.text)}", markup=False)
    if found.found is None:
        console.print("Answer      none was found, so there is no confidence in it; see --kind")
        return
    console.print(f"Answer      {plain(found.found.text)}", markup=False)
    console.print(f"Confidence  {found.confidence:.3f}  (UQAC's P̃, not calibrated)", markup=False)
    shown = ("answer_probability", "mean_response_probability", "uqac_similarity", "uqac_attention", "agreement",
             "p_true", "stated_confidence")  # fmt: skip
    known = {name: found.measures[name] for name in shown if name in found.measures}
    values = [f"{name} {'unknown' if value != value else f'{value:.3f}'}" for name, value in known.items()]
    console.print("Others      " + ", ".join(values), markup=False)
    if not found.chain:
        console.print("Chain       empty: no token of the reasoning is attended to")
        return
    table = Table(box=None, title="Attention chain, from the answer back", title_justify="left", pad_edge=False)
    for heading in ("step", "token", "attention", "from", "similarity", "probability"):
        table.add_column(heading, justify="left" if heading in ("token", "from") else "right")
    for link in sorted(found.chain, key=lambda link: (link.step, -link.weight)):
        source = found.pieces[link.source] if 0 <= link.source < len(found.pieces) else ""
        cells = (str(link.step), repr(plain(link.text)), f"{link.weight:.2f}", repr(plain(source)))
        table.add_row(*cells, f"{link.similarity:.2f}{'' if link.kept else ' (left out)'}", f"{link.probability:.3f}")
    console.print(table)
