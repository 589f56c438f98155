"""From passages to spans: conversations with a model, then reading what it said."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from jaxuq.extraction.chat import ChatModel
from jaxuq.extraction.conversations import (
    CONFLICT,
    Conversation,
    Wanted,
    asked_in,
    converse,
    opening_of,
    plan_conversations,
    plan_resolutions,
)
from jaxuq.extraction.errors import ExtractionError
from jaxuq.extraction.joining import read_conversations
from jaxuq.extraction.parsing import STATUSES
from jaxuq.extraction.passages import Passage
from jaxuq.extraction.prompts import DEFAULT_PLAN, Plan, Prompts, read_prompts
from jaxuq.extraction.reading import Reader, make_reader, read_resolution, resolve
from jaxuq.extraction.schema import Schema
from jaxuq.extraction.scoring import Arguments
from jaxuq.extraction.spans import Span, settle_types


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
    every: bool = False,
    known: Iterable[Conversation] = (),
    retry: bool = True,
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
        every: keep all spans of any sample, overlapping ones and those with two types too, before any resolution: the
            candidates of a promise.
        known: conversations that were held before; one in which the very same was asked is not held again.
        retry: whether one that failed is held again all the same.
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
    known = list(known)
    held = {(one[:3], asked_in(one)): one for one in known if not one.error}
    broken = {} if retry else {one[:3]: one for one in known if one.error}
    opening = opening_of(prompts)
    said: dict[tuple[str, str, int], Conversation] = {}

    def hold(wanted: Sequence[Wanted]) -> None:
        for one in wanted:
            asked = (*opening, *one.questions)
            found, failed = held.get((one.key, asked)), broken.get(one.key)
            if found is None and failed is not None and asked[: len(asked_in(failed))] == asked_in(failed):
                found = failed  # it broke off
            if found is not None:
                said[one.key] = found
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
            every=every,
        )
        for passage in passages
    }
    resolve_conflicts = resolve_conflicts and not every
    if resolve_conflicts and schema.entities:
        found = {item: spans for item, (spans, _, _) in read.items()}
        hold(plan_resolutions(passages, schema, found, said, reasoning=plan.reasoning, prompts=prompts))
    results = []
    for passage in passages:
        spans, relations, statuses = read[passage.id]
        resolution = said.get((passage.id, CONFLICT, 0))
        if resolve_conflicts and resolution is not None:
            statuses[CONFLICT] = resolution.error or _resolve(resolution, spans, schema, readers[passage.id])
        results.append(
            Extraction(passage.id, tuple(settle_types(spans, rule="keep" if every else "best")), relations, statuses)
        )
    return results, list(said.values())


def _resolve(conversation: Conversation, spans: dict[str, list[Span]], schema: Schema, reader: Reader) -> str:
    """Apply a resolution to the spans; its status."""
    by_label = {kind.label.casefold(): kind.name for kind in schema.entities}
    names = list(dict.fromkeys([*by_label, *schema.names]))
    places, status = read_resolution(conversation.reply.text, names, reader)
    spans.update(resolve(spans, {place: by_label.get(name.casefold(), name) for place, name in places.items()}))
    return status
