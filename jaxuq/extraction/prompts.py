"""What the model is asked: templates in a file, filled in once, and the steps of each strategy."""

import pathlib
import string
import tomllib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from jaxuq._damaged import DAMAGED
from jaxuq.extraction.errors import ExtractionError
from jaxuq.extraction.schema import EntityType, RelationType

STRATEGIES = ("gno", "one_step", "aeio")
_DEFAULT = pathlib.Path(__file__).parent / "templates" / "prompts.toml"
_NAMES = frozenset(
    [
        "paragraph",
        "text",
        "question",
        "label",
        "labels",
        "description",
        "examples",
        "column",
        "columns",
        "answers",
        "reasoning",
        "same_words",
    ]
)

Prompts = Mapping[str, Mapping[str, str]]


class Plan(NamedTuple):
    """How a run asks.

    Attributes:
        strategy: `"gno"` (answer freely, clean up, organise; one type at a time), `"one_step"` (a table at once, one
            type at a time) or `"aeio"` (all types at once, with the steps of `"gno"`).
        reasoning: ask for reasoning before the answer.
        clean_up: ask to take out what does not belong.
        constrained: keep the table at the end of a conversation to its columns and to words of the text; where a reply
            reasons before its table, nothing is kept.
    """

    strategy: str = "gno"
    reasoning: bool = True
    clean_up: bool = True
    constrained: bool = False


DEFAULT_PLAN = Plan()


def read_prompts(path: str | pathlib.Path | None = None) -> Prompts:
    """Templates from a TOML file.

    Args:
        path: the file; None takes jaxuq's own, which says what each `$word` is. Parts that a file leaves out are
            jaxuq's own.

    Returns:
        Templates by section and name.

    Raises:
        ExtractionError: the file is missing, no TOML, has an unknown section, name or `$word`, or asks without the
            text.

    Example:
        >>> sorted(read_prompts())
        ['all', 'conflict', 'entity', 'relation', 'shared']
    """
    own = tomllib.loads(_DEFAULT.read_text(encoding="utf-8"))
    if path is None:
        return own
    try:
        given = tomllib.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ExtractionError(f"there is no file {path} of prompts") from None
    except DAMAGED as error:
        raise ExtractionError(f"the file {path} of prompts cannot be read as TOML: {error}") from None
    for section, templates in given.items():
        if section not in own or not isinstance(templates, dict):
            raise ExtractionError(f"{path}: unknown section [{section}]; known are {', '.join(own)}")
        for name, template in templates.items():
            if name not in own[section] or not isinstance(template, str):
                raise ExtractionError(f"{path}: [{section}] has no template {name}; it has {', '.join(own[section])}")
            used = string.Template(template)
            unknown = sorted(set(used.get_identifiers()) - _NAMES) if used.is_valid() else ["$"]
            if unknown:
                raise ExtractionError(f"{path}: [{section}] {name} has the unknown ${unknown[0]} (write $$ for a $)")
            if name in ("ask", "one_step") and not {"text", "paragraph"} & set(used.get_identifiers()):
                raise ExtractionError(f"{path}: [{section}] {name} has no $text, so the model would not see the text")
    return {section: {**templates, **given.get(section, {})} for section, templates in own.items()}


def steps(kind: EntityType | RelationType | None, plan: Plan) -> list[tuple[str, str]]:
    """The templates of a conversation, in order.

    Args:
        kind: the type that is asked about; None asks about all (`"aeio"`).
        plan: the strategy and its ablations.

    Returns:
        Section and name of each message of the user.

    Raises:
        ExtractionError: an unknown strategy.

    Example:
        >>> [name for _, name in steps(None, Plan("aeio", clean_up=False))]
        ['ask', 'organise']
    """
    if plan.strategy not in STRATEGIES:
        raise ExtractionError(f"strategy is {plan.strategy!r}; expected one of {', '.join(STRATEGIES)}")
    section = "all" if kind is None else "entity" if isinstance(kind, EntityType) else "relation"
    if plan.strategy == "one_step":
        names = ["one_step", *(["one_step_clean_up"] if plan.clean_up else [])]
    else:
        names = ["ask", *(["clean_up"] if plan.clean_up else []), "organise"]
    return [(section, name) for name in names]


def fill(
    prompts: Prompts,
    section: str,
    name: str,
    *,
    paragraph: str,
    kind: EntityType | RelationType | None = None,
    kinds: Sequence[EntityType] = (),
    reasoning: bool = True,
    answers: Sequence[tuple[str, str]] = (),
) -> str:
    """One message of the user.

    All words are filled in at once, so that a `$label` in a paragraph stays what it is; the marks around the paragraph
    are taken out of it, so that it cannot end its own quotation.

    Args:
        prompts: templates.
        section: of the template.
        name: of the template.
        paragraph: the text.
        kind: the type that is asked about.
        kinds: all types, where they are asked about together.
        reasoning: ask for reasoning.
        answers: labels of types and what was answered about them (conflicts).

    Returns:
        The message.

    Example:
        >>> from jaxuq.extraction.schema import make_schema
        >>> (person,) = make_schema(["person"]).entities
        >>> message = fill(read_prompts(), "entity", "ask", paragraph="Pay $label >>> now", kind=person)
        >>> "Pay $label > > > now" in message, 'instances of "Person"' in message
        (True, True)
    """
    shared = prompts["shared"]
    quoted = paragraph.replace("<<<", "< < <").replace(">>>", "> > >")
    labels = _enumerate([f'"{one.label}"' for one in kinds])
    described = [kind] if kind is not None else list(kinds)
    description = "".join(
        f"{one.description}\n" if kind is not None else f"{one.label}: {one.description}\n"
        for one in described
        if one.description
    )
    examples = "".join(
        f"For example{'' if kind is not None else f', {one.label}'}: {'; '.join(one.examples)}\n"
        for one in described
        if one.examples
    )
    words = {
        "paragraph": quoted,
        "text": string.Template(shared["paragraph"].strip()).safe_substitute(paragraph=quoted),
        "question": kind.question if kind is not None else "",
        "label": kind.label if kind is not None else "",
        "labels": labels,
        "description": description,
        "examples": examples,
        "column": kind.column if isinstance(kind, EntityType) else "",
        "columns": _enumerate([f'"{column}"' for column in kind.table_columns])
        if isinstance(kind, RelationType)
        else "",
        "answers": "\n\n".join(f"Answers for {label}:\n{text.strip()}" for label, text in answers),
        "reasoning": shared["reasoning"] if reasoning else "",
        "same_words": shared["same_words"],
    }
    return string.Template(prompts[section][name]).safe_substitute(words).strip()


def _enumerate(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else ""
