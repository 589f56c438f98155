r"""The tokens of LaTeX arithmetic: numbers, names, commands and signs."""

import re
from fractions import Fraction
from typing import Any, NamedTuple

from jaxuq.questions.characters import THIN, fold
from jaxuq.questions.numerals import read_numeral

FUNCTIONS = (
    *("sin", "cos", "tan", "cot", "sec", "csc", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh"),
    *("ln", "log", "exp", "sqrt"),
)
GREEK = (
    *("alpha", "beta", "gamma", "delta", "epsilon", "varepsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda"),
    *("mu", "nu", "xi", "rho", "sigma", "tau", "phi", "varphi", "chi", "psi", "omega", "Gamma", "Delta", "Theta"),
    *("Lambda", "Xi", "Pi", "Sigma", "Phi", "Psi", "Omega", "ell"),
)
OF_SEVERAL = ("max", "min", "gcd", "lcm")
"""Functions of several arguments."""
_FRACTIONS = ("frac", "dfrac", "tfrac", "cfrac", "nicefrac", "sfrac", "flatfrac")
_SIGNS = {
    "cdot": "*", "times": "*", "ast": "*", "div": "/", "lvert": "|", "rvert": "|", "vert": "|", "bmod": "mod",
    "mod": "mod", "lfloor": "⌊", "rfloor": "⌋", "lceil": "⌈", "rceil": "⌉", "lbrace": "\\{", "rbrace": "\\}",
}  # fmt: skip
_SPACE = re.compile(
    rf"(?:[\s{THIN}]|\\[,!;: ]|\\q?quad(?![a-zA-Z])|~"
    r"|\\(?:left|right|displaystyle|textstyle|limits|[bB]igg?[lr]?)(?![a-zA-Z])"
    r"|\\?\$|\\[()\[\]])+"
)
_WORD = re.compile(r"\\([A-Za-z]+)|([A-Za-z]+)|([π√∞])")
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
_SUPERSCRIPT = re.compile("⁻?[⁰¹²³⁴⁵⁶⁷⁸⁹]+")
_SUBSCRIPT = re.compile(r"_(?:([A-Za-z0-9])|\{([A-Za-z0-9]{1,8})\})")
_MOST_TOKENS = 300


class NotUnderstood(ValueError):
    """The text is none of the arithmetic that is read here."""


class Ambiguous(NotUnderstood):
    """It can be read in more than one way, so that nobody is asked which."""


class Token(NamedTuple):
    """A number, a name, a command, or a sign; `gap`: whether there is a space before it."""

    kind: str
    value: Any
    gap: bool


def read_tokens(text: str) -> list[Token]:
    r"""The tokens of a LaTeX expression.

    A run of letters is a function or a constant if it is called so, else a product of variables if it is short and in
    small letters (`2xy`), and a name as a whole otherwise (`AB`, `apples`).

    Args:
        text: LaTeX or plain arithmetic.

    Returns:
        Tokens.

    Raises:
        NotUnderstood: a character without meaning here, a number that is too long, or more tokens than are worked with.

    Example:
        >>> [token.value for token in read_tokens("2x + AB")]
        [Fraction(2, 1), 'x', '+', 'AB']
    """
    text, at, tokens = fold(text), 0, []
    while at < len(text):
        if len(tokens) > _MOST_TOKENS:
            raise NotUnderstood("too long")
        space = None if text.startswith("\\\\", at) else _SPACE.match(text, at)
        at = space.end() if space else at
        if at == len(text):
            break
        gap, character = space is not None, text[at]
        if character.isdecimal() or (character == "." and text[at + 1 : at + 2].isdecimal()):
            numeral = read_numeral(text, at)
            if numeral is None or numeral.value is None:
                raise NotUnderstood(text[at : at + 9])
            tokens.append(Token("number", numeral.value, gap))
            at = numeral.end
        elif word := _WORD.match(text, at):
            tokens += _word(word, gap)
            at = word.end()
            if word[3] == "√" and (under := read_numeral(text, at)) is not None and under.value is not None:
                braces = [Token("sign", sign, False) for sign in "{}"]
                tokens += [braces[0], Token("number", under.value, False), braces[1]]
                at = under.end
            subscript = _SUBSCRIPT.match(text, at)
            if subscript and tokens[-1].kind == "name":
                tokens[-1] = tokens[-1]._replace(value=f"{tokens[-1].value}_{subscript[1] or subscript[2]}")
                at = subscript.end()
        elif script := _SUPERSCRIPT.match(text, at):
            number = Fraction(int(script[0].translate(_SUPERSCRIPTS)))
            tokens += [Token("script", "^", False), Token("sign", "{", False), Token("number", abs(number), False)]
            tokens[-1:-1] = [Token("sign", "-", False)] if number < 0 else []
            tokens.append(Token("sign", "}", False))
            at = script.end()
        elif text.startswith("**", at):
            tokens.append(Token("script", "^", gap))
            at += 2
        elif text.startswith("\\%", at):
            tokens.append(Token("sign", "%", gap))
            at += 2
        elif text.startswith(("\\{", "\\}"), at):
            tokens.append(Token("sign", text[at : at + 2], gap))
            at += 2
        elif character in "+-*/(){}[]|!^_%,⌊⌋⌈⌉":
            tokens.append(Token("script" if character == "^" else "sign", character, gap))
            at += 1
        else:
            raise NotUnderstood(character)
    return tokens


def _word(word: re.Match[str], gap: bool) -> list[Token]:
    command, letters, symbol = word[1], word[2], word[3]
    if symbol:
        return [Token("command", {"π": "pi", "√": "sqrt", "∞": "infty"}[symbol], gap)]
    if command:
        command = "frac" if command in _FRACTIONS else command
        if command in _SIGNS:
            return [Token("sign", _SIGNS[command], gap)]
        if command in GREEK:
            return [Token("name", command, gap)]
        if command in (*FUNCTIONS, *OF_SEVERAL, "frac", "pi"):
            return [Token("command", command, gap)]
        raise NotUnderstood(command)
    if letters == "mod":
        return [Token("sign", "mod", gap)]
    if letters in (*FUNCTIONS, *OF_SEVERAL, "pi"):
        return [Token("command", letters, gap)]
    if is_name(letters):
        return [Token("name", letters, gap)]
    return [Token("name", letter, gap and not number) for number, letter in enumerate(letters)]


def is_name(letters: str) -> bool:
    """Whether a run of letters is one name, of a segment or a differential (`dx`), and no product of variables."""
    if letters in ("dx", "dy", "dz", "dt", "du", "dr"):
        return True
    return len(letters) > 3 or (len(letters) > 1 and not letters.islower())
