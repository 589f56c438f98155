"""Conversations with a model: which ones a run needs, holding them, and keeping them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from jaxuq.extraction.chat import ChatModel, Message, Reply, Request, TableForm
from jaxuq.extraction.errors import ExtractionError
from jaxuq.extraction.passages import Passage
from jaxuq.extraction.prompts import DEFAULT_PLAN, Plan, Prompts, fill, read_prompts, steps
from jaxuq.extraction.reading import find_conflicts
from jaxuq.extraction.schema import EntityType, RelationType, Schema
from jaxuq.extraction.spans import Span

ALL, CONFLICT = "*", "?"


class Conversation(NamedTuple):
    """A conversation that has ended, well or not.

    Attributes:
        item: id of the text.
        kind: name of the type; `"*"` all types, `"?"` conflicts.
        sample: number of the sample.
        messages: all of it.
        error: why it broke off; empty if it did not.
        reply: the last reply, with its probabilities.
    """

    item: str
    kind: str
    sample: int
    messages: tuple[Message, ...]
    error: str
    reply: Reply

    def record(self) -> dict[str, Any]:
        """As plain data, for a line of `conversations.jsonl`."""
        record: dict[str, Any] = {"id": self.item, "type": self.kind, "sample": self.sample}
        record["messages"] = list(self.messages)
        if self.error:
            record["error"] = self.error
        if self.reply.log_probs:
            record["pieces"] = list(self.reply.pieces)
            record["log_probs"] = [round(value, 5) for value in self.reply.log_probs]
        return record


def conversation_of(record: Mapping[str, Any]) -> Conversation:
    """The conversation of a line of `conversations.jsonl`.

    Args:
        record: of `Conversation.record`.

    Returns:
        The conversation.

    Raises:
        KeyError: a field is missing.
    """
    messages = tuple({"role": str(m["role"]), "content": str(m["content"])} for m in record["messages"])
    error = str(record.get("error", ""))
    said = messages[-1]["content"] if messages and messages[-1]["role"] == "assistant" and not error else ""
    log_probs = tuple(float(value) for value in record.get("log_probs", ()))
    reply = Reply(said, error, "stop", tuple(record.get("pieces", ())), log_probs)
    return Conversation(str(record["id"]), str(record["type"]), int(record["sample"]), messages, error, reply)


class Wanted(NamedTuple):
    """A conversation to be held.

    Attributes:
        item: id of the text.
        kind: name of the type, `"*"` or `"?"`.
        sample: number of the sample.
        questions: what the user says at each step.
        form: of the last reply; None: any.
    """

    item: str
    kind: str
    sample: int
    questions: tuple[str, ...]
    form: TableForm | None = None

    @property
    def key(self) -> tuple[str, str, int]:
        """What names it."""
        return self.item, self.kind, self.sample


def plan_conversations(
    passages: Sequence[Passage],
    schema: Schema,
    plan: Plan = DEFAULT_PLAN,
    *,
    prompts: Prompts | None = None,
    num_samples: int = 1,
) -> list[Wanted]:
    """The conversations of a run, conflicts aside, each of its own: no text is ever part of another's.

    Args:
        passages: the texts.
        schema: what is wanted.
        plan: how to ask.
        prompts: templates; None takes jaxuq's own.
        num_samples: conversations of each kind.

    Returns:
        For each passage, type and sample a conversation, in this order.

    Raises:
        ExtractionError: an unknown strategy, or `"aeio"` for relations or fewer than two types.

    Example:
        >>> from jaxuq.extraction import make_passages, make_schema
        >>> schema = make_schema(["person", "place"])
        >>> len(plan_conversations(make_passages(["Ada met Bo."], schema), schema))
        2
    """
    prompts = read_prompts() if prompts is None else prompts
    if num_samples < 1:
        raise ExtractionError(f"num_samples is {num_samples}; expected at least 1")
    kinds: Sequence[EntityType | RelationType | None] = schema.entities or schema.relations
    if plan.strategy == "aeio":
        if len(schema.entities) < 2:
            raise ExtractionError(
                "the strategy aeio asks about all entities at once; it needs two types of them or more"
            )
        kinds = [None]
    wanted = []
    for passage in passages:
        for kind in kinds:
            questions = tuple(
                fill(
                    prompts,
                    section,
                    name,
                    paragraph=passage.text.text,
                    kind=kind,
                    kinds=schema.entities if kind is None else (),
                    reasoning=plan.reasoning,
                )
                for section, name in steps(kind, plan)
            )
            form = _form(passage, kind, schema, plan)
            wanted += [
                Wanted(passage.id, ALL if kind is None else kind.name, sample, questions, form)
                for sample in range(num_samples)
            ]
    return wanted


def _form(passage: Passage, kind: EntityType | RelationType | None, schema: Schema, plan: Plan) -> TableForm | None:
    """Of the table at the end, if it is the whole reply."""
    reasons = plan.reasoning and plan.strategy == "one_step" and not plan.clean_up
    if not plan.constrained or reasons:
        return None
    if kind is None:
        labels = tuple(one.label for one in schema.entities)
        return TableForm(("Entity", "Entity Type"), passage.text.text, (("Entity Type", labels),))
    if isinstance(kind, EntityType):
        return TableForm((kind.column,), passage.text.text)
    checked = ((kind.check, ("Yes", "No")),) if kind.check else ()
    return TableForm(kind.table_columns, passage.text.text, checked)


def converse(
    model: ChatModel, wanted: Iterable[Wanted], *, prompts: Prompts | None = None, system: bool = True
) -> Iterator[Conversation]:
    """Hold conversations, as many at a time as the model likes, and give each as soon as it has ended.

    A conversation whose model gives no reply, or an empty one, ends there with an error; the others go on.

    Args:
        model: the model.
        wanted: conversations; see `plan_conversations`.
        prompts: templates, for the message of the system.
        system: whether to begin with a message of the system.

    Yields:
        Conversations, in order.
    """
    prompts = read_prompts() if prompts is None else prompts
    opening = "".join(opening_of(prompts)) if system else ""
    waiting = list(wanted)
    for begin in range(0, len(waiting), max(1, model.batch)):
        group = waiting[begin : begin + max(1, model.batch)]
        messages: list[list[Message]] = [[{"role": "system", "content": opening}] if opening else [] for _ in group]
        replies = [Reply("", error="nothing was asked") for _ in group]
        going = list(range(len(group)))
        step = 0
        while going:
            for index in going:
                messages[index].append({"role": "user", "content": group[index].questions[step]})
            lasts = {i: step + 1 == len(group[i].questions) for i in going}
            requests = [
                Request(tuple(messages[i]), *group[i].key, step, last, group[i].form if last else None)
                for i, last in lasts.items()
            ]
            for index, reply in zip(going, model.ask(requests), strict=True):
                if not reply.error and not reply.text.strip():
                    reply = reply._replace(error="empty reply")
                replies[index] = reply
                if not reply.error:
                    messages[index].append({"role": "assistant", "content": reply.text})
            step += 1
            going = [i for i in going if not replies[i].error and step < len(group[i].questions)]
        for one, said, reply in zip(group, messages, replies):
            yield Conversation(*one.key, tuple(said), reply.error, reply)


def opening_of(prompts: Prompts) -> tuple[str, ...]:
    """The message of the system with which a conversation begins, if there is one.

    Args:
        prompts: templates.

    Returns:
        It, or nothing.
    """
    opening = prompts["shared"]["system"].strip()
    return (opening,) if opening else ()


def asked_in(conversation: Conversation) -> tuple[str, ...]:
    """All that a model was told in a conversation: the message of the system and the questions, in order.

    Args:
        conversation: that has ended.

    Returns:
        Texts.
    """
    return tuple(message["content"] for message in conversation.messages if message["role"] != "assistant")


def plan_resolutions(
    passages: Sequence[Passage],
    schema: Schema,
    found: Mapping[str, Mapping[str, Sequence[Span]]],
    said: Mapping[tuple[str, str, int], Conversation],
    *,
    reasoning: bool = True,
    prompts: Prompts | None = None,
) -> list[Wanted]:
    """One conversation for each text in which spans of different types overlap.

    Args:
        passages: the texts.
        schema: what is wanted.
        found: by text, the spans of each type.
        said: conversations by text, type and sample, of which sample 0 is quoted.
        reasoning: ask for reasoning.
        prompts: templates.

    Returns:
        Conversations.
    """
    prompts = read_prompts() if prompts is None else prompts
    wanted = []
    for passage in passages:
        if not find_conflicts(found.get(passage.id, {})):
            continue
        answers = [
            (kind.label, said[passage.id, kind.name, 0].reply.text)
            for kind in schema.entities
            if (passage.id, kind.name, 0) in said and said[passage.id, kind.name, 0].reply.text
        ] or [
            (kind.label, "\n".join(_words(passage, span) for span in found[passage.id].get(kind.name, ())))
            for kind in schema.entities
        ]
        questions = tuple(
            fill(
                prompts,
                "conflict",
                name,
                paragraph=passage.text.text,
                kinds=schema.entities,
                reasoning=reasoning,
                answers=answers,
            )
            for name in ("ask", "organise")
        )
        wanted.append(Wanted(passage.id, CONFLICT, 0, questions))
    return wanted


def _words(passage: Passage, span: Span) -> str:
    return passage.text.text[slice(*passage.text.characters(span.start, span.end))]
