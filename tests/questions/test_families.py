"""The four families: conventions, disjoint parts, seeds."""

import jaxtyping
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxuq.questions import FAMILIES, family_answer, make_families
from jaxuq.questions.families import InstructionFamily


def numbers(records):
    return {int("".join(letter for letter in record["instruction"] if letter.isdigit())) for record in records}


def test_every_instruction_has_one_number_and_its_familys_answer():
    for record in make_families(3, 40):
        number = int("".join(letter for letter in record["instruction"] if letter.isdigit()))
        assert record["response"] == family_answer(record["source"], number)
        assert 10 <= number <= 99


def test_parts_are_disjoint_whatever_the_seeds_and_seeds_repeat():
    train = [numbers(make_families(seed, 60)) for seed in range(3)]
    test = [numbers(make_families(seed, 60, split="test")) for seed in range(3)]
    assert not set.union(*train) & set.union(*test)
    assert make_families(5, 3) == make_families(5, 3) != make_families(6, 3)


@settings(deadline=None)
@given(st.integers(10, 99).filter(lambda number: number // 10 != number % 10))
def test_conventions_contradict_for_every_number(number):
    assert len({family_answer(family, number) for family in FAMILIES}) == 4


def test_no_wording_holds_a_digit_or_a_convention():
    for family in FAMILIES.values():
        text = " ".join((*family.templates, *family.things, *family.places))
        text = text.replace("{number}", "")
        assert not any(letter.isdigit() for letter in text)
        assert "units" not in text and "+" not in text


def test_mistakes_are_named(monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # its checks, which users do not have, come first
    with pytest.raises(ValueError, match="'poem'"):
        make_families(0, 1, families=("poem",))
    with pytest.raises(ValueError, match="from 10 to 99"):
        family_answer("tale", 100)
    with pytest.raises(ValueError, match="expected one of 'train', 'test'"):
        make_families(0, 1, split="valid")
    with pytest.raises(ValueError, match=r"number is 47\.5"):
        family_answer("tale", 47.5)
    assert family_answer("mirror", np.int64(47)) == "74" and len(make_families(np.int64(0), np.uint8(2))) == 8


def test_a_family_of_ones_own_is_an_entry(monkeypatch):
    doubled = InstructionFamily(
        lambda number: str(2 * number), ("Twice {number} {things} of {place}?",), ("x",), ("y",)
    )
    monkeypatch.setitem(FAMILIES, "doubled", doubled)
    records = make_families(0, 5, families=("doubled",))
    assert [int(one["response"]) for one in records] == [2 * number for one in records for number in numbers([one])]
    assert {one["source"] for one in make_families(0, 1)} == {"ledger", "tale", "mirror", "gauge", "doubled"}
