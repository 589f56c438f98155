"""Lines of the certificate: one for each number that is printed, with what was made again and what that means."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from claims import ROOT, Claim
from printed import Block, Field, Number, Row, read_blocks

GREEN = ("exact", "within")
RED = ("differs", "not made")
OPEN = ("differs because", "not rebuilt")
STATES = {
    "exact": "made again, to the last digit that is printed",
    "within": "made again, within the tolerance of its claim",
    "differs": "made again, and another number came out",
    "differs because": "made again, another number came out, and the claim says why",
    "not made": "the command ran, and made no such row",
    "not rebuilt": "there is a command, and it has not been run for this certificate",
    "read off": "it repeats a number of a table, rounded",
    "said": "a text says it; the section's command shows it to who looks",
    "time": "of one machine: the race's",
    "tried": "counted over nights: the soak's",
    "test": "the tests make it again",
    "setting": "chosen or given",
    "history": "of an earlier state of the code",
    "cannot": "cannot be had here",
}
_TOLD = {"race": "time", "soak": "tried"}


class Line(NamedTuple):
    """A printed number.

    Attributes:
        section: the heading above it.
        row: what row or text it is in.
        column: of a table.
        printed: the number as it stands on the page.
        made: as it was made again; empty: it was not.
        state: a key of `STATES`.
    """

    section: str
    row: str
    column: str
    printed: str
    made: str
    state: str


def certify(claim: Claim, blocks: Sequence[Block], made: Sequence[Block] | None) -> list[Line]:
    """Compare what a page prints with what its command makes.

    Args:
        claim: that answers for the blocks.
        blocks: of the page.
        made: of the command's output; None: it has not been run.

    Returns:
        A line for each number, in the order of the page.
    """
    kind, about = claim.otherwise or ("", ())
    if kind == "repeats":
        others = [block for page in about for block in read_blocks((ROOT / page).read_text("utf-8"))]
    else:
        others = blocks
    known = [number for *_, number in _numbers([block for block in others if block.kind == "table"])]
    if kind:
        return [
            Line(
                block.section, " · ".join(row.label), field.column, number.text, "",
                ("read off" if _repeats(number, known) else "said") if kind == "repeats" else _TOLD.get(kind, kind),
            )
            for block, row, field, number in _numbers(blocks)
        ]  # fmt: skip
    lines = []
    partners = _partners(blocks, made or ())
    for block, partner in zip(blocks, partners):
        rows: dict[tuple[str, ...], list[Row]] = {}
        for row in partner.rows if partner is not None else ():
            rows.setdefault(row.label, []).append(row)
        for row in block.rows:
            same = rows.get(row.label)
            fields = {field.column: field for field in same.pop(0).fields} if same else {}
            for field in row.fields:
                again = fields.get(field.column)
                for place, number in enumerate(field.numbers):
                    if (number.is_time and block.kind != "table") or field.column in claim.timings:
                        state, other = "time", ""
                    elif row.label[0] in claim.earlier:
                        state, other = "history", ""
                    elif block.kind == "text" and partner is None:
                        state, other = ("read off" if _repeats(number, known) else "said"), ""
                    elif made is None:
                        state, other = "not rebuilt", ""
                    elif again is None or len(again.numbers) <= place:
                        state, other = "not made", ""
                    else:
                        other = again.numbers[place].text
                        state = _state(claim, field, again, place)
                        if state == "differs" and row.label[0] in claim.differing:
                            state = "differs because"
                    lines.append(Line(block.section, " · ".join(row.label), field.column, number.text, other, state))
    return lines


def _numbers(blocks: Iterable[Block]) -> Iterable[tuple[Block, Row, Field, Number]]:
    for block in blocks:
        for row in block.rows:
            for field in row.fields:
                for number in field.numbers:
                    yield block, row, field, number


def _repeats(number: Number, known: Sequence[Number]) -> bool:
    """Whether a number is one of the known ones, rounded; or that in per cent."""
    for other in known:
        for scale in (1.0, 100.0, 0.01):
            unit = scale * other.unit
            if unit <= 1.001 * number.unit and abs(abs(number.value) - scale * abs(other.value)) <= 0.501 * number.unit:
                return True
    return False


def _partners(blocks: Sequence[Block], made: Sequence[Block]) -> list[Block | None]:
    """For each block of a page the one made again: of its kind and header, and of its section or else in turn."""
    taken: set[int] = set()
    found: list[Block | None] = []
    for block in blocks:
        alike = [
            at
            for at, other in enumerate(made)
            if at not in taken and (other.kind, other.header) == (block.kind, block.header)
        ]
        if block.kind == "text":
            labels = {row.label for row in block.rows}
            alike = [at for at in alike if labels & {row.label for row in made[at].rows}]
        own = [at for at in alike if made[at].section == block.section] or alike
        if own:
            taken.add(own[0])
        found.append(made[own[0]] if own else None)
    return found


def _state(claim: Claim, field: Field, again: Field, place: int) -> str:
    printed, made = field.numbers[place], again.numbers[place]
    gap = abs(printed.value - made.value)
    if gap <= 0.5 * min(printed.unit, made.unit) or (made.unit < printed.unit and gap <= 0.5 * printed.unit):
        return "exact"
    allowed = [claim.tolerance.get("absolute", 0.0), claim.tolerance.get("relative", 0.0) * abs(printed.value)]
    if "deviations" in claim.tolerance and len(field.numbers) > 1:
        allowed.append(claim.tolerance["deviations"] * max(field.numbers[1].value, again.numbers[1].value))
    return "within" if gap <= max(allowed) + 0.5 * printed.unit else "differs"


class Pair(NamedTuple):
    """Our number beside the published one.

    Attributes:
        row: what it is of.
        column: the published one's.
        ours: with its deviation, where there is one.
        published: the number.
        state: `equal`, `near` (within two joint deviations, which are taken to be alike) or `other`.
    """

    row: str
    column: str
    ours: str
    published: str
    state: str


def compare_published(claim: Claim, blocks: Sequence[Block]) -> list[Pair]:
    """What a page prints beside published numbers.

    Args:
        claim: its `published` says where they stand.
        blocks: of the page.

    Returns:
        A pair for each.
    """
    found = []
    for block in blocks:
        if block.kind != "table":
            continue
        for row in block.rows:
            for ours, published in _pairs(claim, block, row):
                found.append(_pair(" · ".join(row.label), block, ours, published))
    return found


def _pairs(claim: Claim, block: Block, row: Row) -> Iterable[tuple[Field, Field]]:
    by_name: dict[str, list[Field]] = {}
    for field in row.fields:
        by_name.setdefault(field.column, []).append(field)
    for ours, published in claim.published:
        if ours == "bracket":
            for field in row.fields:
                if len(field.numbers) in (2, 3):
                    yield Field(field.column, field.numbers[:-1]), Field(field.column, field.numbers[-1:])
        elif ours in by_name and published in by_name:
            yield from zip(by_name[ours], by_name[published])


def _pair(label: str, block: Block, ours: Field, published: Field) -> Pair:
    own, other = ours.numbers[0], published.numbers[0]
    spread = ours.numbers[1].value if len(ours.numbers) > 1 else 0.0
    gap = abs(own.value - other.value)
    state = "equal" if gap <= 0.5 * other.unit else "near" if gap <= 2 * 2**0.5 * spread else "other"
    said = own.text + (f" ± {ours.numbers[1].text}" if len(ours.numbers) > 1 else "")
    return Pair(f"{block.section}: {label}", published.column, said, other.text, state)


def count(states: Iterable[str]) -> Mapping[str, int]:
    """How many of each state, in the order of `STATES`."""
    found = Counter(states)
    return {state: found[state] for state in STATES if found[state]}
