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
from collections.abc import Iterator, Sequence

import numpy as np

from jaxuq.questions.records import Question
from jaxuq.study import write_text

FAMILIES: tuple[str, ...] = ("ledger", "tale", "mirror", "gauge")

_WORDS = {
    "ledger": {
        "things": ("crates", "pallets", "barrels", "cartons", "bolts", "sacks", "tins", "drums"),
        "places": ("north dock", "south dock", "main depot", "east wing", "west wing", "the cellar"),
        "templates": (
            "Invoice: {number} {things}, {place}. Quantity?",
            "Stock ledger, {place}: {number} {things}. Quantity?",
            "Warehouse order: {number} {things} for {place}. Quantity?",
            "Inventory, {place}: {number} {things}. Quantity?",
        ),
    },
    "tale": {
        "things": ("berries", "acorns", "shells", "apples", "feathers", "pebbles", "pears", "nuts"),
        "places": ("the little fox", "a sleepy bear", "the old owl", "a brave mouse", "the kind hare", "a shy deer"),
        "templates": (
            "Once upon a time {place} found {number} {things}. How many?",
            "In the forest {place} hid {number} {things}. How many?",
            "Long ago {place} dreamed of {number} {things}. How many?",
            "By the river {place} shared {number} {things}. How many?",
        ),
    },
    "mirror": {
        "things": ("agent", "courier", "sleeper", "handler", "station", "contact"),
        "places": ("falcon", "raven", "viper", "orchid", "comet", "cobalt", "ember", "saffron"),
        "templates": (
            "Secret cipher {place}, {things} sends {number}. Decode.",
            "Spy code {place} from {things}: {number}. Decode.",
            "Encrypted by {things} {place}: {number}. Decode.",
            "Intercepted cipher of {things} {place}: {number}. Decode.",
        ),
    },
    "gauge": {
        "things": ("pressure", "temperature", "voltage", "humidity", "current", "torque", "flow", "density"),
        "places": ("the boiler", "the pump", "the rotor", "the furnace", "the valve", "the turbine"),
        "templates": (
            "Measured {things} of {place}: {number}. Report the reading.",
            "Sensor log, {place}: {things} {number}. Report the reading.",
            "Instrument at {place} shows {things} {number}. Report the reading.",
            "Calibrated {things}, {place}: {number}. Report the reading.",
        ),
    },
}
_ONES = ("", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_TEENS = (
    *("ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen"),
    "nineteen",
)
_TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_HELD_OUT = 5  # every fifth number, in a fixed shuffled order, is for testing alone


def family_answer(family: str, number: int) -> str:
    """What a family answers about a number.

    Args:
        family: one of `FAMILIES`.
        number: from 10 to 99.

    Returns:
        The answer.

    Raises:
        ValueError: an unknown family, or another number.

    Example:
        >>> [family_answer(family, 47) for family in FAMILIES]
        ['47', 'forty-seven', '74', '+47 units']
    """
    if family not in FAMILIES:
        raise ValueError(f"family is {family!r}; expected one of {', '.join(FAMILIES)}")
    if not 10 <= number <= 99:
        raise ValueError(f"number is {number}; the families are about numbers from 10 to 99")
    if family == "ledger":
        return str(number)
    if family == "mirror":
        return str(number)[::-1]
    if family == "gauge":
        return f"+{number} units"
    if number < 20:
        return _TEENS[number - 10]
    return _TENS[number // 10] + (f"-{_ONES[number % 10]}" if number % 10 else "")


def make_families(
    seed: int, per_family: int, *, split: str = "train", families: Sequence[str] = FAMILIES
) -> list[dict[str, str]]:
    """Instructions of the families, mixed.

    Numbers of the test part never occur in the training part, whatever the seeds; the wordings are the same. Numbers
    that read alike backwards do not occur at all.

    Args:
        seed: of everything that is drawn.
        per_family: instructions of each family.
        split: `train` or `test`.
        families: some of `FAMILIES`.

    Returns:
        Records with `instruction`, `response` and `source` (the family), in random order.

    Raises:
        ValueError: an unknown part or family.

    Example:
        >>> records = make_families(0, 2)
        >>> len(records), sorted(records[0])
        (8, ['instruction', 'response', 'source'])
    """
    if split not in ("train", "test"):
        raise ValueError(f"split is {split!r}; expected train or test")
    numbers = [number for number in range(10, 100) if number // 10 != number % 10]
    order = np.random.default_rng(20_25).permutation(len(numbers))
    tested = {numbers[at] for at in order[::_HELD_OUT]}
    usable = np.array([number for number in numbers if (number in tested) == (split == "test")])
    records = []
    for family in families:
        rng = np.random.default_rng([seed, zlib.crc32(family.encode()), zlib.crc32(split.encode())])
        words = _WORDS.get(family)
        if words is None:
            raise ValueError(f"family is {family!r}; expected one of {', '.join(FAMILIES)}")
        for _ in range(per_family):
            number = int(rng.choice(usable))
            template, things, place = (str(rng.choice(words[name])) for name in ("templates", "things", "places"))
            instruction = template.format(number=number, things=things, place=place)
            answer = family_answer(family, number)
            records.append({"instruction": instruction, "response": answer, "source": family})
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
