"""An ensemble of adapters over an axis `expert`: what a device holds follows from the members that are its own."""

import pytest

from jaxuq.networks import DecoderConfig
from jaxuq.planning import plan_job

ROWS, VOCABULARY = 8, 500
SMALL = DecoderConfig(VOCABULARY, 64, 128, num_layers=2, num_heads=4, num_kv_heads=2, head_dim=16, max_positions=512)


def planned(mesh, members):
    plan = plan_job(
        SMALL, "experts", mesh, rows=ROWS, tokens=64, new_tokens=16, members=members, rank=4, dtype="float32"
    )
    return plan.stages


@pytest.mark.long
def test_eight_members_on_four_devices_are_as_two_on_one():
    alone, divided, twice = (
        planned(mesh, members) for mesh, members in (("data=2", 2), ("data=2,expert=4", 8), ("data=2,expert=4", 16))
    )
    for one, four, more in zip(alone, divided, twice, strict=True):
        for kind in ("adapters", "cache"):
            assert four.held[kind] == one.held[kind], kind
        own = one.held["cache"] - (ROWS // 2 * (64 - 1) * 4 + 4)  # positions and length are shared
        assert more.held["adapters"] == 2 * four.held["adapters"]
        assert more.held["cache"] == four.held["cache"] + own
        assert four.held["temporaries"] < 1.1 * one.held["temporaries"]
        assert more.held["temporaries"] < 2.1 * four.held["temporaries"]
        assert not four.program.find((ROWS // 2, 8, VOCABULARY)) and not four.program.find((8, VOCABULARY))
