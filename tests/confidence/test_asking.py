"""Reading stated confidence, and the table of measures."""

import math

import pytest

import jaxuq
from jaxuq import confidence as c


@pytest.mark.parametrize(
    ("reply", "scale", "value"),
    [
        ("Almost Certain", "unit", 0.95),
        ("Probability: 0.85", "unit", 0.85),
        ("Probably Not", "unit", 0.25),
        ("1", "unit", 1.0),
        ("90%", "unit", 0.9),
        ("Confidence: 90", "hundred", 0.9),
        ("My confidence is \\boxed{8}.", "ten", 0.8),
        ("\\boxed{7}/10, I had 12 steps", "ten", 0.7),
        ("8/10", "unit", 0.8),
        ("\\boxed{11}", "ten", math.nan),
        ("-1", "unit", math.nan),
        ("I added 3 and 4", "ten", math.nan),
        ("no idea", "unit", math.nan),
        ("", "unit", math.nan),
        ("8/0", "unit", math.nan),
        ("Highly unlikely", "unit", 0.05),
        ("Confidence (0-100): 85", "hundred", 0.85),
        ("Confidence (0-100%): 85%", "unit", 0.85),
        ("On a scale of 0 to 10, my confidence is 8", "ten", 0.8),
        ("Probability between 0 and 1: .7", "unit", 0.7),
        ("Confidence [0.0-1.0]: 0.9", "unit", 0.9),
        ("Score from 1 to 10: 1", "ten", 0.1),
        ("Confidence: 0 to 100", "hundred", math.nan),
        ("Confidence: .8", "unit", 0.8),
        ("Confidence: 10", "hundred", 0.1),
        ("Confidence: 0.10", "unit", 0.1),
    ],
)
def test_stated_confidence(reply, scale, value):
    result = c.parse_confidence([reply], scale=scale)
    assert result.values[0] == pytest.approx(value, nan_ok=True)
    assert result.failures == ([0] if math.isnan(value) else [])


def test_every_measure_has_a_direction_and_a_source_and_can_be_had():
    """In a run by its score or from graded answers, or else as a function that is called."""
    for name, one in c.MEASURES.items():
        assert name == one.name and one.about["higher"] in ("confident", "uncertain") and one.title
        assert "score" in one.functions or "labels" in one.needs or callable(getattr(c, name)), name
        assert not one.citation or jaxuq.citation(*one.citation)
    assert sum("score" in one.functions for one in c.MEASURES.values()) == 48


def test_confidence_that_is_denied_or_unclear_is_none_and_shares_are_of_what_they_say():
    said = {
        "9/10": 0.9,
        "3 out of 5": 0.6,
        "Confidence: 3 out of 5": 0.6,
        "50/50": 0.5,
        "Probability: 1e-3": 0.001,
        "I'm 70% sure": 0.7,
    }
    said |= dict.fromkeys(
        ("not 80%", "I am not 90% confident", "not likely", "almost certain that this is wrong"), math.nan
    )
    assert c.parse_confidence(list(said)).values == pytest.approx(list(said.values()), nan_ok=True)
    of_ten = c.parse_confidence(["9 out of 10", "0.9", "9"], scale="ten").values
    assert of_ten == pytest.approx([0.9, math.nan, 0.9], nan_ok=True)
