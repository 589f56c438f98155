"""Units, times, shares and numbers as they are said: what is the same, and what only looks like it."""

import itertools

import pytest

from jaxuq import questions as q
from jaxuq.questions.measures import measure_of, same_measure

SAME = (
    ("m", "metre", "meters", "metres"), ("cm", "centimeters", "centimetre"), ("km/h", "kph", "kilometers per hour"),
    ("mL", "ml", "milliliters", "millilitres"), ("L", "l", "litres"), ("mW", "milliwatts"), ("MW", "megawatts"),
    ("ML", "megalitres"), ("mg", "milligrams"), ("Mg", "megagrams"), ("MHz", "megahertz"), ("mHz", "millihertz"),
    ("MB", "megabytes"), ("Mb", "megabits"), ("m^2", "m²", "square meters", "sq m", "meters squared"),
    ("ft^2", "sq ft", "square feet"), ("ft^3", "cubic feet", "cu ft"), ("mph", "miles per hour", "mi/h"),
    ("m/s^2", "meters per second squared"), ("N*m", "N m", "newton meters"), ("µm", "μm", "um", "micrometers"),
    ("$", "dollars"), ("€", "euros", "EUR"), ("£", "GBP"), ("¥", "yen"), ("₹", "rupees", "Rs"), ("cents", "¢"),
    ("$/h", "dollars per hour", "dollars an hour"), ("lb", "lbs", "poundmass"), ("oz", "ounces"), ("h", "hr", "hours"),
    ("min", "minutes"), ("s", "sec", "seconds"), ("°", "degrees"), ("rad", "radians"), ("°C", "celsius"), ("K",
    "kelvin"),
    ("°F", "fahrenheit"), ("mmol", "millimoles"), ("mol", "moles"), ("kΩ", "kilohms", "kohm"), ("J", "joules"),
    ("kJ", "kilojoules"), ("in", "inches"), ("ft", "feet"), ("percent", "%"), ("kWh", "kilowatthours"),
)  # fmt: skip


def test_units_are_the_same_within_a_row_and_in_no_other():
    """Case counts where it tells units apart; every pair of the table is tried, both ways."""
    rows = [
        (unit, row) for row, units in enumerate(SAME) for unit in units if unit != "kilohms" and unit != "poundmass"
    ]
    for (one, row), (other, row_of_other) in itertools.product(rows, repeat=2):
        assert measure_of(one) is not None, one
        assert same_measure(one, other) is (row == row_of_other), (one, other)


@pytest.mark.parametrize("unit", ["apples", "eggs", "people of them", "points"])
def test_what_is_no_unit_that_is_known_may_be_any(unit):
    assert measure_of(unit) is None and same_measure(unit, "m") and same_measure("m", unit)


@pytest.mark.parametrize(("one", "other", "same"), [
    ("5 metres", "5 m", True), ("5m", "5 metres", True), ("5 mW", "5 MW", False), ("5 mL", "5 ML", False),
    ("5 dollars", "5 euros", False), ("$5", "€5", False), ("$5", "£5", False), ("$5", "5 dollars", True),
    ("\\$5", "5 dollars", True), ("USD 5", "$5", True), ("EUR 5", "$5", False), ("5 cents", "$5", False),
    ("£5", "5 pounds", True), ("5 lb", "5 pounds", True), ("5 lb", "£5", False), ("US$5", "5", True),
    ("5 km/h", "5 mph", False), ("5 miles per hour", "5 mph", True), ("5°", "5 radians", False), ("5°C", "5°F", False),
    ("5°", "5 degrees", True), ("50%", "50 dollars", False), ("5 apples", "5", True), ("5 \\text{ m}",
    "5 metres", True),
    ("\\SI{5}{m}", "5 metres", True), ("\\SI{5}{\\kilo\\meter}", "5 km", True), ("\\SI{5}{\\meter}", "5 cm", False),
    ("\\qty{5}{\\meter\\per\\second}", "5 m/s", True), ("\\num{1e3}", "1000", True), ("5 sq ft", "5 cubic feet", False),
    ("$x$5", "5", False),
])  # fmt: skip
def test_answers_with_units(one, other, same):
    for kind in ("number", "expression"):
        assert q.equivalent_answers(one, other, kind) is same is q.equivalent_answers(other, one, kind), kind


@pytest.mark.parametrize("letter", "bcdnpuxyz")
def test_a_variable_is_no_unit(letter):
    for kind in ("number", "expression"):
        assert not q.equivalent_answers(f"5{letter}", "5", kind)
        assert not q.equivalent_answers(f"5 {letter}" if letter in "nxyz" else f"5{letter}+1", "5", kind)


def test_every_minute_of_a_day_is_one_time_in_two_notations():
    for minute in range(0, 24 * 60, 7):
        hour, rest = divmod(minute, 60)
        half = f"{hour % 12 or 12}:{rest:02} {'PM' if hour >= 12 else 'AM'}"
        assert q.equivalent_answers(f"{hour:02}:{rest:02}", half), half
        assert not q.equivalent_answers(f"{(hour + 12) % 24:02}:{rest:02}", half), half
        assert q.grade(f"The answer is {half}.", q.Question("", "?", (f"{hour}:{rest:02}",), "number")).correct


@pytest.mark.parametrize(("one", "other", "same"), [
    ("10 PM", "22:00", True), ("5 pm", "5:00 p.m.", True), ("5 pm", "5 a.m.", False), ("5 pm", "5", True),
    ("5:30 pm", "5", False), ("10:30", "10:30 PM", False), ("10:30", "10:30 am", True), ("1:2", "1", False),
    ("12 a.m.", "0:00", True), ("25:00", "1 AM", False), ("2h30", "2", False), ("2h30", "230", False),
    ("1st", "1", True), ("2nd", "2", True), ("23rd", "23", True), ("11th", "11", True), ("1st", "2", False),
    ("≈5", "5", True), ("~5", "5", True), ("about 5", "5", True), ("approx. 5", "5", True), ("\\approx 5", "5", True),
    ("roughly $5", "5", True), ("~-5", "-5", True), ("~-5", "5", False), ("No. 5", "5", True), ("#5", "5", True),
    ("1\u200b2", "12", True), ("1\u200b2", "1", False), ("\ufeff5\u2060", "5", True), ("3\u200b.5", "3.5", True),
    ("1\u00ad000", "1000", True), ("0x1F", "31", True), ("0x1F", "0", False), ("0x1F", "1", False), ("0b101",
    "5", True),
    ("0o17", "15", True), ("5.2 X 10^3", "5200", True), ("5.2 x 10^3 m", "5200", True), ("5.2 X 10^3", "5.2", False),
    ("5 bn", "5 billion", True), ("$5bn", "5000000000", True), ("5 bn", "5 million", False), ("£5m", "5000000", True),
    ("5 hundred thousand", "500000", True), ("5 hundred thousand", "500", False), ("three point five", "3.5", True),
    ("zero point two five", "1/4", True), ("minus three point five", "-3.5", True), ("half a dozen", "6", True),
    ("half a million", "500000", True), ("one and three quarters", "1.75", True), ("ten percent", "0.1", True),
    ("a third", "1/3", True), ("five apples", "5", True), ("three over four", "3", False), ("one in five", "1", False),
    ("five or six", "5", False), ("1 in 5", "1/5", True), ("1 in 5", "1", False), ("1 in 5", "5", False),
    ("3 out of 10", "0.3", True), ("3 in 4", "0.75", True), ("1 per 5", "1", False), ("5–6", "-1", False),
    ("5–6", "5", False), ("5–6", "5-6", True), ("2010–2015", "-5", False), ("5 (five)", "5", True), ("five (5)",
    "5", True),
    ("sqrt(16)", "16", False), ("|-5|", "5", True), ("x=5 or x=6", "5,6", True),
    ("x=5 or x=6", "5 or 6", True), ("x=5 or x=6", "6", False), ("x=5, y=6", "x=6, y=5", False), ("1992",
    "1,992", True),
])  # fmt: skip
def test_numbers_as_they_are_said(one, other, same):
    assert q.equivalent_answers(one, other) is same is q.equivalent_answers(other, one)
    question = q.Question("", "?", (other,), "number")
    for response in (f"The answer is {one}.", f"\\boxed{{{one}}}", f"<answer>{one}</answer>"):
        found = q.grade(response, question)
        assert found.correct is (same or (None if found.answer is None else False)), response
        assert found.answer is None or response[found.answer.start : found.answer.end] == found.answer.text


@pytest.mark.parametrize("base", [2, 8, 16])
def test_numbers_in_other_bases_are_those_of_python(base):
    for number in range(0, 4000, 37):
        written = {2: bin, 8: oct, 16: hex}[base](number)
        assert q.equivalent_answers(written, str(number)) and not q.equivalent_answers(written, str(number + 1))
