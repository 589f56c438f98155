"""What the conversations about a passage say together: samples joined, and a confidence for each span."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from jaxuq.extraction.chat import Reply
from jaxuq.extraction.confidence import agreement, cell_confidence
from jaxuq.extraction.conversations import ALL, Conversation
from jaxuq.extraction.parsing import parse_rows
from jaxuq.extraction.passages import Passage
from jaxuq.extraction.prompts import DEFAULT_PLAN, Plan
from jaxuq.extraction.reading import Reader, make_reader, read_all_entities, read_entities, read_relations
from jaxuq.extraction.schema import EntityType, RelationType, Schema
from jaxuq.extraction.scoring import Arguments
from jaxuq.extraction.spans import Span, settle_types


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
    every: bool = False,
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
        every: keep all spans of any sample, also those of less agreement and those that overlap.

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
            spans[name] = _settle_samples([found.get(name, []) for found, _ in read], least_agreement, every)
        return spans, relations, statuses
    for kind in schema.entities:
        pairs = [_read_one(said.get((passage.id, kind.name, sample)), kind, reader) for sample in samples]
        statuses[kind.name] = _joint_status([status for _, status in pairs])
        spans[kind.name] = _settle_samples([found for found, _ in pairs], least_agreement, every)
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


def _settle_samples(samples: Sequence[list[Span]], least_agreement: float, every: bool) -> list[Span]:
    if len(samples) == 1:
        return list(samples[0])
    if every:
        return agreement(samples)
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
