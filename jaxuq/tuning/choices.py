"""What a run of `jaxuq tune` may choose by name: jaxuq's open tables, and what the caller gives beside them."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from jaxuq._arguments import typed
from jaxuq._entries import Entries, Entry, given_entries
from jaxuq.tuning.errors import TuningError
from jaxuq.tuning.honesty.teaching import WAYS
from jaxuq.tuning.labelling.choosing import ACQUISITIONS
from jaxuq.tuning.posteriors.drawing import POSTERIORS
from jaxuq.tuning.token_losses import LOSSES
from jaxuq.tuning.uncertainty import SOURCES, Judge

Given = Mapping[str, Any] | None
"""Functions or entries of the caller's by name; None: none."""


class Choices(NamedTuple):
    """The tables of a run.

    Attributes:
        loss: see `LOSSES`.
        posterior: see `POSTERIORS`.
        uncertainty: see `SOURCES`.
        acquire: see `ACQUISITIONS`.
        teach: see `WAYS`.
        given: names that the caller gave, by the option that they belong to.
        judge: prompts to replies, for a source that needs one; None: it is found by the options.
    """

    loss: Entries[Entry] = LOSSES
    posterior: Entries[Entry] = POSTERIORS
    uncertainty: Entries[Entry] = SOURCES
    acquire: Entries[Entry] = ACQUISITIONS
    teach: Entries[Entry] = WAYS
    given: Mapping[str, tuple[str, ...]] = MappingProxyType({})
    judge: Judge | None = None


@typed()
def make_choices(
    *,
    losses: Given = None,
    posteriors: Given = None,
    uncertainties: Given = None,
    acquisitions: Given = None,
    ways: Given = None,
    judge: Judge | None = None,
) -> Choices:
    """Tables of a run with a caller's own things in them.

    Args:
        losses: functions `(logits, tokens, examples) -> losses`, or entries as in `LOSSES`.
        posteriors: functions `(rng_key, Tuned) -> Drawn`, or entries as in `POSTERIORS`.
        uncertainties: functions from `Samples` to a number each, or entries as in `SOURCES`.
        acquisitions: functions from a `Pool` to a score of each question, or entries as in `ACQUISITIONS`.
        ways: functions as of `asked_confidence`, or entries as in `WAYS`.
        judge: see `Choices`.

    Returns:
        The tables.

    Raises:
        OptionError: a name that is taken, or no function or entry.
        TuningError: a loss and a posterior of the same name, or one called like a row of the tables.
    """
    given = {
        "loss": losses, "posterior": posteriors, "uncertainty": uncertainties, "acquire": acquisitions, "teach": ways,
    }  # fmt: skip
    tables = {
        option: given_entries(given[option], table)
        for option, table in (
            ("loss", LOSSES), ("posterior", POSTERIORS), ("uncertainty", SOURCES), ("acquire", ACQUISITIONS),
            ("teach", WAYS),
        )
    }  # fmt: skip
    names = {option: tuple(one or {}) for option, one in given.items()}
    for name in (name for own in names.values() for name in own):
        if name in ("base", "answer") or (name in tables["loss"] and name in tables["posterior"]):
            raise TuningError(f"{name!r} is the name of another row of the tables; give yours another")
    return Choices(**tables, given=names, judge=judge)
