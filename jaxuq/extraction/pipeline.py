"""From passages to spans: conversations with a model, then reading what it said."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from jaxuq.extraction.chat import ChatModel, Message, Reply, Request
from jaxuq.extraction.confidence import agreement, cell_confidence
from jaxuq.extraction.errors import ExtractionError
from jaxuq.extraction.parsing import STATUSES, parse_rows
from jaxuq.extraction.passages import Passage
from jaxuq.extraction.prompts import DEFAULT_PLAN, Plan, Prompts, fill, read_prompts, steps
from jaxuq.extraction.reading import (
    Reader,
    find_conflicts,
    make_reader,
    read_all_entities,
    read_entities,
    read_relations,
    read_resolution,
    resolve,
)
from jaxuq.extraction.schema import EntityType, RelationType, Schema
from jaxuq.extraction.scoring import Arguments
from jaxuq.extraction.spans import Span, settle_types

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


class Extraction(NamedTuple):
    """What was found in one passage.

    Attributes:
        item: id of the passage.
        spans: entities in the order of the text.
        relations: the places of the arguments of each relation, by type.
        statuses: what became of each conversation: `"found"`, `"nothing"`, or why there is no answer.
    """

    item: str
    spans: tuple[Span, ...]
    relations: dict[str, tuple[Arguments, ...]]
    statuses: dict[str, str]

    @property
    def failed(self) -> bool:
        """Whether some conversation gave no answer, or one that could not be read."""
        return any(status not in ("found", "nothing") for status in self.statuses.values())

    @property
    def unanswered(self) -> bool:
        """Whether some conversation, conflicts aside, got no reply at all."""
        return any(status not in STATUSES for kind, status in self.statuses.items() if kind != CONFLICT)


class Wanted(NamedTuple):
    """A conversation to be held.

    Attributes:
        item: id of the text.
        kind: name of the type, `"*"` or `"?"`.
        sample: number of the sample.
        questions: what the user says at each step.
    """

    item: str
    kind: str
    sample: int
    questions: tuple[str, ...]

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
            wanted += [
                Wanted(passage.id, ALL if kind is None else kind.name, sample, questions)
                for sample in range(num_samples)
            ]
    return wanted


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
    opening = prompts["shared"]["system"].strip() if system else ""
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
            requests = [
                Request(tuple(messages[i]), *group[i].key, step, step + 1 == len(group[i].questions)) for i in going
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


def read_conversations(
    passage: Passage,
    schema: Schema,
    said: Mapping[tuple[str, str, int], Conversation],
    *,
    reader: Reader | None = None,
    tokenizer: str = "words",
    num_samples: int = 1,
    least_agreement: float = 0.5,
    plan: Plan = DEFAULT_PLAN,
) -> tuple[dict[str, list[Span]], dict[str, tuple[Arguments, ...]], dict[str, str]]:
    """What the conversations about a passage say, type by type.

    With one sample a span's confidence is the probability of its table cell, NaN where the model gives none. With
    several it is the share of samples that have it, and only spans (and relations) of at least `least_agreement` stay.

    Args:
        passage: the text.
        schema: what is wanted.
        said: conversations by text, type and sample.
        reader: of the text; None makes one.
        tokenizer: of the text.
        num_samples: how many samples there should be; a missing one counts as a failed one.
        least_agreement: share of samples, in (0, 1].
        plan: how was asked.

    Returns:
        Spans of each type, relations of each type, and the status of each.
    """
    reader = make_reader(passage.text, tokenizer=tokenizer) if reader is None else reader
    spans: dict[str, list[Span]] = {}
    relations: dict[str, tuple[Arguments, ...]] = {}
    statuses: dict[str, str] = {}
    samples = range(num_samples)
    if plan.strategy == "aeio":
        labels = {kind.name: kind.label for kind in schema.entities}
        read = [_read_all(passage, said.get((passage.id, ALL, sample)), labels, reader) for sample in samples]
        statuses[ALL] = _joint_status([status for _, status in read])
        for name in labels:
            spans[name] = _settle_samples([found.get(name, []) for found, _ in read], least_agreement)
        return spans, relations, statuses
    for kind in schema.entities:
        pairs = [_read_one(said.get((passage.id, kind.name, sample)), kind, reader) for sample in samples]
        statuses[kind.name] = _joint_status([status for _, status in pairs])
        spans[kind.name] = _settle_samples([found for found, _ in pairs], least_agreement)
    for kind in schema.relations:
        results = [_read_relation(said.get((passage.id, kind.name, sample)), kind, reader) for sample in samples]
        statuses[kind.name] = _joint_status([status for _, status in results])
        votes: dict[Arguments, int] = {}
        for found, _ in results:
            for relation in dict.fromkeys(found):
                votes[relation] = votes.get(relation, 0) + 1
        relations[kind.name] = tuple(one for one, count in votes.items() if count / num_samples >= least_agreement)
    return spans, relations, statuses


def _joint_status(statuses: Sequence[str]) -> str:
    for good in ("found", "nothing"):
        if good in statuses:
            return good
    return statuses[0]


def _settle_samples(samples: Sequence[list[Span]], least_agreement: float) -> list[Span]:
    if len(samples) == 1:
        return list(samples[0])
    kept = [span for span in agreement(samples) if span.confidence >= least_agreement]
    return settle_types({"": kept}) if kept else []


def _read_one(conversation: Conversation | None, kind: EntityType, reader: Reader) -> tuple[list[Span], str]:
    if conversation is None or conversation.error:
        return [], conversation.error if conversation is not None else "not asked"
    reply = conversation.reply
    spans, status = read_entities(reply.text, kind.name, kind.column, reader)
    if not reply.log_probs or not spans:
        return spans, status
    rows = parse_rows(reply.text, [kind.column], convention=reader.convention).rows
    return _with_confidence(spans, [(phrase, reader.find(phrase)) for (phrase,) in dict.fromkeys(rows)], reply), status


def _with_confidence(spans: Sequence[Span], cells: Sequence[tuple[str, Sequence[Any]]], reply: Reply) -> list[Span]:
    sure: dict[tuple[int, int], float] = {}
    for phrase, matches in cells:
        value = cell_confidence(reply, phrase)
        for match in matches:
            sure.setdefault(match[:2], value)
    return [span._replace(confidence=sure.get(span[:2], math.nan)) for span in spans]


def _read_all(
    passage: Passage, conversation: Conversation | None, labels: Mapping[str, str], reader: Reader
) -> tuple[dict[str, list[Span]], str]:
    if conversation is None or conversation.error:
        return {}, conversation.error if conversation is not None else "not asked"
    reply = conversation.reply
    found, status = read_all_entities(reply.text, labels, reader)
    if reply.log_probs:
        rows = parse_rows(reply.text, ["Entity", "Entity Type"], convention=reader.convention).rows
        cells = [(phrase, reader.find(phrase)) for phrase, _ in dict.fromkeys(rows)]
        found = {kind: _with_confidence(spans, cells, reply) for kind, spans in found.items()}
    return found, status


def _read_relation(
    conversation: Conversation | None, kind: RelationType, reader: Reader
) -> tuple[list[Arguments], str]:
    if conversation is None or conversation.error:
        return [], conversation.error if conversation is not None else "not asked"
    text = conversation.reply.text
    return read_relations(text, kind.columns, reader, check=kind.check or None, optional=kind.optional)


def extract(
    model: ChatModel,
    passages: Sequence[Passage],
    schema: Schema,
    plan: Plan = DEFAULT_PLAN,
    *,
    prompts: Prompts | None = None,
    num_samples: int = 1,
    least_agreement: float = 0.5,
    resolve_conflicts: bool = False,
    tokenizer: str = "words",
    known: Iterable[Conversation] = (),
    on_conversation: Callable[[Conversation], None] | None = None,
    on_plan: Callable[[int], None] | None = None,
) -> tuple[list[Extraction], list[Conversation]]:
    """Extract entities or relations from passages.

    Args:
        model: any `ChatModel`.
        passages: the texts.
        schema: what is wanted.
        plan: strategy and ablations.
        prompts: templates; None takes jaxuq's own.
        num_samples: conversations of each kind; more than one need a temperature above 0 to differ.
        least_agreement: share of samples that must have a span.
        resolve_conflicts: ask once more about each text in which types overlap (CR).
        tokenizer: of the passages.
        known: conversations that were held before, and are not held again; failed ones among them are.
        on_conversation: called with every new conversation.
        on_plan: called with the number of new conversations before they begin, once or twice.

    Returns:
        What was found in each passage, in order, and all conversations.

    Raises:
        ExtractionError: the request is wrong, or the model can answer nothing at all.

    Example:
        >>> from jaxuq.extraction import make_passages, make_schema, scripted_chat
        >>> schema = make_schema(["person"])
        >>> model = scripted_chat(lambda request: "| Person |\\n|---|\\n| Ada |\\n")
        >>> (found,), _ = extract(model, make_passages(["Ada met Bo."], schema), schema)
        >>> [(span.start, span.end, span.type) for span in found.spans]
        [(0, 1, 'person')]

    References:
        Li, Ramprasad, Zhang. A simple but effective approach to improve structured language model output for
        information extraction. Findings of EMNLP, 2024.
    """
    if not 0 < least_agreement <= 1:
        raise ExtractionError(f"least_agreement is {least_agreement}; expected a share in (0, 1]")
    prompts = read_prompts() if prompts is None else prompts
    said = {one[:3]: one for one in known if not one.error}

    def hold(wanted: Sequence[Wanted]) -> None:
        new = [one for one in wanted if one.key not in said]
        if on_plan is not None:
            on_plan(len(new))
        for conversation in converse(model, new, prompts=prompts):
            said[conversation[:3]] = conversation
            if on_conversation is not None:
                on_conversation(conversation)

    hold(plan_conversations(passages, schema, plan, prompts=prompts, num_samples=num_samples))
    readers = {passage.id: make_reader(passage.text, tokenizer=tokenizer) for passage in passages}
    read = {
        passage.id: read_conversations(
            passage,
            schema,
            said,
            reader=readers[passage.id],
            num_samples=num_samples,
            least_agreement=least_agreement,
            plan=plan,
        )
        for passage in passages
    }
    if resolve_conflicts and schema.entities:
        found = {item: spans for item, (spans, _, _) in read.items()}
        hold(plan_resolutions(passages, schema, found, said, reasoning=plan.reasoning, prompts=prompts))
    results = []
    for passage in passages:
        spans, relations, statuses = read[passage.id]
        resolution = said.get((passage.id, CONFLICT, 0))
        if resolve_conflicts and resolution is not None:
            statuses[CONFLICT] = resolution.error or _resolve(resolution, spans, schema, readers[passage.id])
        results.append(Extraction(passage.id, tuple(settle_types(spans)), relations, statuses))
    return results, list(said.values())


def _resolve(conversation: Conversation, spans: dict[str, list[Span]], schema: Schema, reader: Reader) -> str:
    """Apply a resolution to the spans; its status."""
    by_label = {kind.label.casefold(): kind.name for kind in schema.entities}
    names = list(dict.fromkeys([*by_label, *schema.names]))
    places, status = read_resolution(conversation.reply.text, names, reader)
    spans.update(resolve(spans, {place: by_label.get(name.casefold(), name) for place, name in places.items()}))
    return status
