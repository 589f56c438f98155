r"""What units are: symbols, whose case counts (`mW` is no `MW`), names, currencies, and how many of one another is."""

import functools
import re
from collections.abc import Iterable, Mapping
from fractions import Fraction

_PREFIXES = {
    "Y": "yotta 24", "Z": "zetta 21", "E": "exa 18", "P": "peta 15", "T": "tera 12", "G": "giga 9", "M": "mega 6",
    "k": "kilo 3", "h": "hecto 2", "da": "deca 1", "d": "deci -1", "c": "centi -2", "m": "milli -3", "µ": "micro -6",
    "μ": "micro -6", "u": "micro -6", "n": "nano -9", "p": "pico -12", "f": "femto -15", "a": "atto -18",
}  # fmt: skip
_PREFIXED = {  # symbol, names
    "m": "meter metre", "g": "gram gramme", "s": "second", "A": "ampere amp", "K": "kelvin", "mol": "mole",
    "Hz": "hertz", "N": "newton", "Pa": "pascal", "J": "joule", "W": "watt", "V": "volt", "F": "farad", "Ω": "ohm",
    "ohm": "ohm", "C": "coulomb", "T": "tesla", "H": "henry", "L": "liter litre", "eV": "electronvolt", "B": "byte",
    "b": "bit",
    "Wh": "watthour", "Ah": "amperehour", "cal": "calorie", "bar": "bar", "lm": "lumen", "lx": "lux", "Wb": "weber",
    "Bq": "becquerel", "Gy": "gray", "Sv": "sievert", "cd": "candela", "t": "tonne",
}  # fmt: skip
_SYMBOLS = {
    "min": "minute", "h": "hour", "hr": "hour", "sec": "second", "d": "day", "wk": "week", "mo": "month", "yr": "year",
    "ft": "foot", "in": "inch", "yd": "yard", "mi": "mile", "lb": "poundmass", "oz": "ounce", "gal": "gallon",
    "qt": "quart", "pt": "pint", "tsp": "teaspoon", "tbsp": "tablespoon", "ha": "hectare", "l": "liter",
    "ml": "milliliter", "kn": "knot", "rpm": "turnperminute", "psi": "psi", "atm": "atmosphere", "ppm": "ppm",
    "ppb": "ppb", "dB": "decibel", "°": "degree", "deg": "degree", "rad": "radian", "°C": "celsius", "°F": "fahrenheit",
    "C": "celsius coulomb", "F": "fahrenheit farad", "Da": "dalton", "u": "dalton", "M": "", "P": "",
    "a": "", "E": "", "G": "", "p": "gbp/100", "c": "", "¢": "", "am": "", "pm": "", "d.p": "",
    "$": "usd aud cad nzd hkd", "US$": "usd", "A$": "aud", "AU$": "aud", "C$": "cad", "CA$": "cad", "NZ$": "nzd",
    "HK$": "hkd", "€": "eur", "£": "gbp", "¥": "jpy cny", "₹": "inr", "USD": "usd", "EUR": "eur", "GBP": "gbp",
    "JPY": "jpy", "CNY": "cny", "INR": "inr", "CHF": "chf", "AUD": "aud", "CAD": "cad", "Rs": "inr", "%": "percent",
}  # fmt: skip
_NAMES = {
    "minute": "min mins", "hour": "hrs", "day": "", "week": "", "month": "", "year": "", "decade": "",
    "century": "centuries", "foot": "feet", "inch": "inches", "yard": "", "mile": "", "acre": "", "hectare": "",
    "ounce": "", "ton": "", "gallon": "", "quart": "", "pint": "", "cup": "", "teaspoon": "", "tablespoon": "",
    "degree": "", "radian": "", "knot": "", "celsius": "", "fahrenheit": "", "percent": "", "second": "secs sec",
    "eur": "euro", "gbp": "sterling", "jpy": "yen", "inr": "rupee", "cny": "yuan renminbi", "chf": "franc",
    "atmosphere": "", "micron": "", "mole": "", "liter": "",
}  # fmt: skip
_WORDS: Mapping[str, str] = {
    "dollar": "usd aud cad nzd hkd", "buck": "usd aud cad", "pound": "poundmass gbp", "lbs": "poundmass",
    "kilo": "kilogram", **dict.fromkeys(("cent", "c", "¢"), "usd/100 aud/100 cad/100 nzd/100 eur/100"),
    **dict.fromkeys(("penny", "pennies"), "gbp/100 usd/100 cad/100"), "pence": "gbp/100",
    **{name: f"usd/{many}" for name, many in (("dime", 10), ("nickel", 20))},
}  # fmt: skip
_SIZES: Mapping[str, str] = {  # how many of another, and of which power
    "minute": "60 second", "hour": "60 minute", "day": "24 hour", "week": "7 day", "year": "12 month",
    "decade": "10 year", "century": "100 year", "inch": "0.0254 meter", "foot": "12 inch", "yard": "3 foot",
    "mile": "5280 foot", "micron": "1e-6 meter", "acre": "4840 yard 2", "hectare": "1e4 meter 2",
    "liter": "0.001 meter 3", "gallon": "231 inch 3", "quart": "1/4 gallon", "pint": "1/8 gallon", "cup": "1/16 gallon",
    "tablespoon": "1/256 gallon", "teaspoon": "1/768 gallon", "poundmass": "453.59237 gram", "ounce": "1/16 poundmass",
    "tonne": "1e6 gram", "byte": "8 bit",
    **{prefix + names.split()[0]: f"1e{exponent} {names.split()[0]}" for names in _PREFIXED.values()
       for prefix, exponent in map(str.split, _PREFIXES.values())},
}  # fmt: skip
_POWERS = {0xB2: "^2", 0xB3: "^3"}
_SQUARE, _CUBIC = ("square", "sq", "squared"), ("cubic", "cu", "cubed")
_WHOLE: Mapping[str, str] = {"mph": "mile/hour", "kph": "km/h", "kmh": "km/h", "kmph": "km/h", "cc": "cm^3"}
PREFIXES = tuple(dict.fromkeys(prefix.split()[0] for prefix in _PREFIXES.values()))
"""Of names of units."""
Options = frozenset[str]
Measure = tuple[tuple[Options, int], ...]


def _tables() -> tuple[dict[str, Options], dict[str, Options]]:
    symbols: dict[str, Options] = {}
    names: dict[str, Options] = {}
    for symbol, spelled in _PREFIXED.items():
        first, *others = spelled.split()
        for name in (first, *others):
            names[name] = frozenset((first,))
        symbols[symbol] = frozenset((first,))
        for sign, prefix in ((sign, prefix.split()[0]) for sign, prefix in _PREFIXES.items()):
            symbols[sign + symbol] = frozenset((prefix + first,))
            names |= {prefix + name: frozenset((prefix + first,)) for name in (first, *others)}
            if symbol == "L":
                symbols[sign + "l"] = frozenset((prefix + first,))
    symbols |= {symbol: frozenset(meant.split()) for symbol, meant in _SYMBOLS.items() if meant}
    for symbol in (one for one, meant in _SYMBOLS.items() if not meant):
        symbols.pop(symbol, None)
    for name, others in _NAMES.items():
        for one in (name, *others.split()):
            names.setdefault(one, frozenset((name,)))
    names |= {name: frozenset(meant.split()) for name, meant in _WORDS.items()}
    return symbols, names


_BY_SYMBOL, _BY_NAME = _tables()


@functools.lru_cache(4096)
def _unit(word: str) -> Options | None:
    """What a word may mean; None: it is no unit that is known. What only case would tell is a unit of its own."""
    if word in _BY_SYMBOL:
        return _BY_SYMBOL[word]
    small = word.lower()
    for name in (small, small.removesuffix("s"), small.removesuffix("es")):
        if name in _BY_NAME:
            return _BY_NAME[name]
    if word[:-1] in _BY_SYMBOL and word.endswith("s") and len(word) > 2 and word[:-1] not in ("cm", "mm"):
        return _BY_SYMBOL[word[:-1]]  # kgs, hrs
    if len(word) < 2:
        return None
    meant = {options for symbol, options in _BY_SYMBOL.items() if symbol.lower() == small}
    return None if not meant else meant.pop() if len(meant) == 1 else frozenset((f"?{word}",))


def measure_of(text: str) -> tuple[Measure, bool] | None:
    r"""A unit as units with powers, and whether all of it was understood.

    Args:
        text: of `without_unit`.

    Returns:
        The measure, until a word that is unknown; None: the first is.

    Example:
        >>> measure_of("km/h") == measure_of("kilometers per hour"), measure_of("mW") == measure_of("MW")
        (True, False)
        >>> measure_of("apples")
    """
    pieces = re.findall(
        r"°[CF]|[A-Z]{1,2}\$|[A-Za-zµμΩ]+|[$€£¥₹¢°%]|\^?\s*\{?\s*-?\d+\s*\}?|[/*]", text.translate(_POWERS)
    )
    made: list[tuple[Options, int]] = []
    sign, power = 1, 1
    queue = _expanded(pieces)
    for number, piece in enumerate(queue):
        small = piece.lower()
        digits = re.fullmatch(r"\^?\s*\{?\s*(-?\d+)\s*\}?", piece)
        if digits:
            made[-1:] = [(options, int(digits[1]) * (-1 if one < 0 else 1)) for options, one in made[-1:]]
        elif piece == "*":
            continue
        elif piece == "/" or small in ("per", "a", "an", "each", "every"):
            if number + 1 < len(queue) and _unit(queue[number + 1]) is None:
                return (tuple(made), False) if made else None
            sign = -1
        elif small in ("squared", "cubed") and made:
            made[-1] = (made[-1][0], made[-1][1] * (2 if small == "squared" else 3))
        elif small in (*_SQUARE, *_CUBIC):
            power = 2 if small in _SQUARE else 3
        else:
            options = _unit(piece) if piece != "in" or not made else None
            if options is None:
                return (tuple(made), False) if made else None
            made.append((options, sign * power))
            sign, power = 1, 1
    return (tuple(made), True) if made else None


def _expanded(pieces: Iterable[str]) -> list[str]:
    found: list[str] = []
    for piece in pieces:
        found += re.findall(r"[a-z]+|\^\d|/", _WHOLE[piece.lower()]) if piece.lower() in _WHOLE else [piece]
    return found


def is_known(text: str) -> bool:
    """Whether all of a unit is understood.

    Args:
        text: of `without_unit`.

    Returns:
        True if it is.

    Example:
        >>> is_known("km/h"), is_known("apples"), is_known("x")
        (True, False, False)
    """
    found = measure_of(text)
    return found is not None and found[1]


def ratio_of(first: str, second: str) -> Fraction | None:
    """How many of a unit one of another is; what is unknown may be any, and as much.

    Args:
        first: of `without_unit`.
        second: another.

    Returns:
        None where both are known, and measure different things.

    Example:
        >>> [
        ...     str(ratio_of(*pair))
        ...     for pair in (("h", "minutes"), ("cents", "$"), ("L", "cm^3"), ("m", "eggs"), ("m", "s"))
        ... ]
        ['60', '1/100', '1000', '1', 'None']
    """
    one, other = measure_of(first), measure_of(second)
    if one is None or other is None:
        return Fraction(1)
    mine, theirs = list(one[0]), list(other[0])
    if not (one[1] and other[1]):
        shared = min(len(mine), len(theirs))
        mine, theirs = mine[:shared], theirs[:shared]
    if len(mine) != len(theirs):
        return None
    ratio = Fraction(1)
    for unit in mine:
        sizes = ((each, size / _sizes(each)[kind]) for each in theirs for kind, size in _sizes(unit).items()
                 if kind in _sizes(each))  # fmt: skip
        match = next(sizes, None)
        if match is None:
            return None
        theirs.remove(match[0])
        ratio *= match[1]
    return ratio


def _sizes(unit: tuple[Options, int]) -> dict[tuple[str, int], Fraction]:
    """Of a unit with its power: what it may measure, with how much of it it is."""
    options, power = unit
    found = {}
    for option in sorted(options):
        name, _, parts = option.partition("/")
        raised, scale = 1, Fraction(1, int(parts or 1))
        while name in _SIZES:
            size, name, *more = _SIZES[name].split()
            scale *= Fraction(size) ** raised
            raised *= int(more[0]) if more else 1
        found[name, raised * power] = scale**power
    return found


def same_measure(first: str, second: str) -> bool:
    """Whether two units may be the same: unknown ones may.

    Args:
        first: of `without_unit`.
        second: another.

    Returns:
        False where both are known and differ.

    Example:
        >>> same_measure("metres", "m"), same_measure("mL", "ML"), same_measure("$", "euros"), same_measure("eggs", "m")
        (True, False, False, True)
    """
    return ratio_of(first, second) == 1
