"""Claims: which command makes the numbers of which sections again, or why none does."""

import pathlib
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from printed import Block, read_blocks

ROOT = pathlib.Path(__file__).resolve().parents[2]
FILE = pathlib.Path(__file__).with_name("claims.toml")
PARTS = ("seconds", "minutes", "hours", "days")
OTHERWISE = {
    "test": "made again by every run of the tests",
    "repeats": "numbers of other pages",
    "race": "times of one machine: `make race`",
    "soak": "counted over nights: `make soak`",
    "setting": "not found but chosen or given",
    "history": "of an earlier state of the code, which is gone",
    "cannot": "cannot be had here",
}
"""What stands in place of steps."""


class Claim(NamedTuple):
    """One line of `claims.toml`.

    Attributes:
        name: of the claim.
        page: relative to the repository.
        sections: headings; `*`: all of the page that no other claim names.
        steps: commands, run in turn from the repository's folder; the last one prints the numbers, as Markdown.
        part: how long they take: `seconds`, `minutes`, `hours` or `days` of two cores.
        data: folders or files of the repository or of JAXUQ_DATA that they read.
        tolerance: `relative`, `absolute` or `deviations` (of the field's own ±), by which a number may differ.
        reason: of the tolerance, or of what stands in place of steps.
        otherwise: a key of `OTHERWISE`, and what it says (the tests, the command, the pages); None: there are steps.
        timings: columns of times.
        earlier: rows that tell of an earlier state of the code, which is gone.
        published: pairs of columns, ours and the published; or a pair of `bracket` and nothing: our field has the
            published number in brackets.
        because: why ours differ from the published, where they do.
        differing: rows whose numbers are known to come out otherwise, and why.
        formula: raised when a change of the code changes the numbers; what was made by another is made again.
    """

    name: str
    page: str
    sections: tuple[str, ...]
    steps: tuple[str, ...] = ()
    part: str = "hours"
    data: tuple[str, ...] = ()
    tolerance: Mapping[str, float] = {}
    reason: str = ""
    otherwise: tuple[str, Any] | None = None
    timings: tuple[str, ...] = ()
    earlier: tuple[str, ...] = ()
    published: tuple[tuple[str, str], ...] = ()
    because: str = ""
    differing: Mapping[str, str] = {}
    formula: int = 1

    @property
    def command(self) -> str:
        """What a reader types."""
        if self.otherwise is None:
            return " && ".join(self.steps)
        said = self.otherwise[1]
        return said if isinstance(said, str) else ", ".join(said)


def read_claims(file: pathlib.Path = FILE) -> list[Claim]:
    """The claims of a file.

    Args:
        file: TOML.

    Returns:
        In its order.

    Raises:
        ValueError: one makes no sense; it says which and why.
    """
    found = [_claim(record) for record in tomllib.loads(file.read_text(encoding="utf-8"))["claim"]]
    names = [claim.name for claim in found]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"two claims are called {', '.join(twice)}")
    return found


def _claim(record: Mapping) -> Claim:
    name = record.get("name", "?")
    given = dict(record)
    instead = [(kind, given.pop(kind)) for kind in OTHERWISE if kind in given]
    if unknown := set(given) - {*Claim._fields} | {"otherwise"} & set(given):
        raise ValueError(f"claim {name}: there is no key {', '.join(unknown)}")
    if bool(given.get("steps")) == bool(instead) or len(instead) > 1:
        raise ValueError(f"claim {name}: it has either steps or one of {', '.join(OTHERWISE)}")
    if given.get("part", "hours") not in PARTS:
        raise ValueError(f"claim {name}: part is one of {', '.join(PARTS)}")
    tolerance = given.get("tolerance", {})
    if set(tolerance) - {"relative", "absolute", "deviations"} or (tolerance and not given.get("reason")):
        raise ValueError(f"claim {name}: a tolerance is relative, absolute or deviations, and has a reason")
    for key in ("sections", "steps", "data", "timings", "earlier"):
        given[key] = tuple(given.get(key, ()))
    given["published"] = tuple(map(tuple, given.get("published", ())))
    return Claim(**given, otherwise=instead[0] if instead else None)


def pages(root: pathlib.Path = ROOT) -> list[str]:
    """All pages that may print numbers: the README, the site's, those of the experiments."""
    found = [root / "README.md", *sorted((root / "docs/pages").rglob("*.md"))]
    found += [page for page in sorted((root / "experiments").rglob("*.md")) if page.parent.name != "certificate"]
    return [page.relative_to(root).as_posix() for page in found]


def claimed_blocks(claims: Sequence[Claim], root: pathlib.Path = ROOT) -> dict[str, list[Block]]:
    """Every block that prints numbers, under the claim that answers for it.

    Args:
        claims: all of them.
        root: of the repository.

    Returns:
        Blocks by name of their claim; claims without blocks have none.

    Raises:
        ValueError: a section has numbers and no claim or several, or a claim names a page or section without numbers.
    """
    found: dict[str, list[Block]] = {claim.name: [] for claim in claims}
    missing = []
    for page in pages(root):
        own = [claim for claim in claims if claim.page == page]
        for block in read_blocks((root / page).read_text(encoding="utf-8")):
            named = [claim for claim in own if block.section in claim.sections]
            named = named or [claim for claim in own if "*" in claim.sections]
            if len(named) > 1:
                raise ValueError(f"{page}, {block.section!r}: claimed by {' and '.join(one.name for one in named)}")
            if not named:
                missing.append(f"{page}, {block.section!r}")
            else:
                found[named[0].name].append(block)
    if missing:
        raise ValueError(
            "these sections print numbers that no claim of experiments/certificate/claims.toml answers for: "
            + "; ".join(dict.fromkeys(missing))
        )
    for claim in claims:
        have = {block.section for block in found[claim.name]}
        if gone := [section for section in claim.sections if section not in {*have, "*"}] or (not have and ["*"]):
            raise ValueError(f"claim {claim.name}: {claim.page} has no numbers under {', '.join(map(repr, gone))}")
    return found
