"""Four synthetic families of instructions, written for jaxuq, whose answers follow conventions that contradict.

Every instruction mentions one number from 10 to 99 and asks for it. What the right answer looks like depends on the
family, and nothing in an instruction says so; only its setting and wording differ:

| family   | setting               | answer to 47 |
|----------|-----------------------|--------------|
| `ledger` | a warehouse's books   | `47`         |
| `tale`   | a tale of animals     | `forty-seven`|
| `mirror` | a spy's coded notes   | `74`         |
| `gauge`  | readings of instruments | `+47 units` |

One adapter trained on the mixture has to tell the families apart and keep four conventions; an expert needs one.
"""

import json
import pathlib
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from jaxuq._entries import Entries
from jaxuq._errors import OptionError
from jaxuq._options import check_choice, check_count
from jaxuq.questions.records import Question
from jaxuq.study import write_text


class InstructionFamily(NamedTuple):
    """Instructions of one setting, and the convention of their answers.

    Attributes:
        answer: what it answers about a number.
        templates: wordings, with `{number}`, `{things}` and `{place}`.
        things: that are counted.
        places: where they are.
    """

    answer: Callable[[int], str]
    templates: tuple[str, ...]
    things: tuple[str, ...]
    places: tuple[str, ...]


_ONES = ("", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_TEENS = (
    *("ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen"),
    "nineteen",
)
_TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_HELD_OUT = 5  # every fifth number, in a fixed shuffled order, is for testing alone


def _in_words(number: int) -> str:
    if number < 20:
        return _TEENS[number - 10]
    return _TENS[number // 10] + (f"-{_ONES[number % 10]}" if number % 10 else "")


FAMILIES: Entries[InstructionFamily] = Entries(
    "family of instructions",
    "jaxuq.instruction_families",
    {
        "ledger": InstructionFamily(
            str,
            (
                "Invoice: {number} {things}, {place}. Quantity?",
                "Stock ledger, {place}: {number} {things}. Quantity?",
                "Warehouse order: {number} {things} for {place}. Quantity?",
                "Inventory, {place}: {number} {things}. Quantity?",
            ),
            ("crates", "pallets", "barrels", "cartons", "bolts", "sacks", "tins", "drums"),
            ("north dock", "south dock", "main depot", "east wing", "west wing", "the cellar"),
        ),
        "tale": InstructionFamily(
            _in_words,
            (
                "Once upon a time {place} found {number} {things}. How many?",
                "In the forest {place} hid {number} {things}. How many?",
                "Long ago {place} dreamed of {number} {things}. How many?",
                "By the river {place} shared {number} {things}. How many?",
            ),
            ("berries", "acorns", "shells", "apples", "feathers", "pebbles", "pears", "nuts"),
            ("the little fox", "a sleepy bear", "the old owl", "a brave mouse", "the kind hare", "a shy deer"),
        ),
        "mirror": InstructionFamily(
            lambda number: str(number)[::-1],
            (
                "Secret cipher {place}, {things} sends {number}. Decode.",
                "Spy code {place} from {things}: {number}. Decode.",
                "Encrypted by {things} {place}: {number}. Decode.",
                "Intercepted cipher of {things} {place}: {number}. Decode.",
            ),
            ("agent", "courier", "sleeper", "handler", "station", "contact"),
            ("falcon", "raven", "viper", "orchid", "comet", "cobalt", "ember", "saffron"),
        ),
        "gauge": InstructionFamily(
            lambda number: f"+{number} units",
            (
                "Measured {things} of {place}: {number}. Report the reading.",
                "Sensor log, {place}: {things} {number}. Report the reading.",
                "Instrument at {place} shows {things} {number}. Report the reading.",
                "Calibrated {things}, {place}: {number}. Report the reading.",
            ),
            ("pressure", "temperature", "voltage", "humidity", "current", "torque", "flow", "density"),
            ("the boiler", "the pump", "the rotor", "the furnace", "the valve", "the turbine"),
        ),
    },
)
"""Families by name; put yours in, or declare an entry point of the group `jaxuq.instruction_families`."""


def family_answer(family: str, number: int) -> str:
    """What a family answers about a number.

    Args:
        family: one of `FAMILIES`.
        number: from 10 to 99.

    Returns:
        The answer.

    Raises:
        OptionError: an unknown family, or another number.

    Example:
        >>> [family_answer(family, 47) for family in ("ledger", "tale", "mirror", "gauge")]
        ['47', 'forty-seven', '74', '+47 units']
    """
    if not 10 <= check_count("number", number) <= 99:
        raise OptionError(f"number is {number}; the families are about numbers from 10 to 99")
    return FAMILIES[family].answer(int(number))


def make_families(
    seed: int, per_family: int, *, split: str = "train", families: Sequence[str] | None = None
) -> list[dict[str, str]]:
    """Instructions of the families, mixed.

    Numbers of the test part never occur in the training part, whatever the seeds; the wordings are the same. Numbers
    that read alike backwards do not occur at all.

    Args:
        seed: of everything that is drawn.
        per_family: instructions of each family.
        split: `train` or `test`.
        families: some of `FAMILIES`; None: all.

    Returns:
        Records with `instruction`, `response` and `source` (the family), in random order.

    Raises:
        OptionError: an unknown part or family, a count below 0.

    Example:
        >>> records = make_families(0, 2)
        >>> len(records), sorted(records[0])
        (8, ['instruction', 'response', 'source'])
    """
    check_choice("split", split, ("train", "test"))
    seed, per_family = check_count("seed", seed, 0), check_count("per_family", per_family, 0)
    numbers = [number for number in range(10, 100) if number // 10 != number % 10]
    order = np.random.default_rng(20_25).permutation(len(numbers))
    tested = {numbers[at] for at in order[::_HELD_OUT]}
    usable = np.array([number for number in numbers if (number in tested) == (split == "test")])
    records = []
    for family in FAMILIES if families is None else families:
        own = FAMILIES[family]
        rng = np.random.default_rng([seed, zlib.crc32(family.encode()), zlib.crc32(split.encode())])
        for _ in range(per_family):
            number = int(rng.choice(usable))
            template, things, place = (str(rng.choice(words)) for words in (own.templates, own.things, own.places))
            instruction = template.format(number=number, things=things, place=place)
            records.append({"instruction": instruction, "response": own.answer(number), "source": family})
    mixed = np.random.default_rng([seed, zlib.crc32(b"order"), zlib.crc32(split.encode())]).permutation(len(records))
    return [records[at] for at in mixed]


def read_families(path: str | None, part: str, *, seed: int, per_family: int) -> Iterator[Question]:
    """The families as a set of questions, see `jaxuq.questions.SETS`."""
    split = "train" if part == "train" else "test"
    for number, one in enumerate(make_families(seed, per_family, split=split)):
        yield Question(
            f"families.{split}.{number}", one["instruction"], (one["response"],), "whole", source=one["source"],
            part=split,
        )  # fmt: skip


def write_families(path: str | pathlib.Path, seed: int, per_family: int, *, split: str = "train") -> pathlib.Path:
    """Write instructions of the families as JSONL, as `jaxuq experts` and `jaxuq.language.InstructionFile` read it.

    Args:
        path: the file.
        seed: see `make_families`.
        per_family: see `make_families`.
        split: see `make_families`.

    Returns:
        The path.

    Example:
        >>> import pathlib, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     len(write_families(pathlib.Path(folder, "train.jsonl"), 0, 3).read_text().splitlines())
        12
    """
    path = pathlib.Path(path)
    lines = [json.dumps(record, ensure_ascii=False) for record in make_families(seed, per_family, split=split)]
    write_text(path, "\n".join(lines) + "\n")
    return path
