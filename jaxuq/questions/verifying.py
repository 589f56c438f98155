r"""What our own reader leaves to `math-verify`: unions, inequalities, equations, matrices, binomials.

Nothing reaches it that could take long or run: commands, letters and signs from a short list, a short text, small
powers. It reads LaTeX only; its other reader evaluates text and is not used.
"""

import atexit
import importlib.util
import json
import os
import queue
import re
import subprocess
import sys
import threading
from pathlib import Path

from jaxuq._extras import missing_package

_SECONDS, _START_SECONDS = 5.0, 120.0
_LONGEST, _DEEPEST, _MOST_POWER, _MOST_ARGUMENT = 200, 8, 64, 100
_LOCK = threading.Lock()
_PROGRAMS: "list[subprocess.Popen[str]]" = []
_COMMANDS = frozenset(
    (
        *("frac", "sqrt", "pi", "infty", "cup", "cap", "setminus", "emptyset", "varnothing", "in", "mathbb", "le"),
        *("leq", "ge", "geq", "lt", "gt", "neq", "ne", "cdot", "times", "div", "begin", "end", "binom", "sin", "cos"),
        *("tan", "cot", "sec", "csc", "arcsin", "arccos", "arctan", "ln", "log", "exp", "theta", "alpha", "beta"),
        *("gamma", "lambda", "mu", "phi", "omega", "left", "right", "lfloor", "rfloor", "lceil", "rceil", "overline"),
    )
)
_ENVIRONMENTS = frozenset(("matrix", "pmatrix", "bmatrix", "vmatrix"))
_PIECE = re.compile(
    r"\\(?P<command>[A-Za-z]+)|(?P<letters>[A-Za-z]+)|(?P<number>\d+(?:\.\d+)?)"
    r"|(?P<sign>[-+*/^_(){}\[\]|,=!<>&:. ]|\\\\|\\[{} ])"
)
_POWER = re.compile(r"\^\s*(?:\{\s*(-?\w+)\s*\}|(\w+)|(\{))")


def may_verify(text: str) -> bool:
    r"""Whether a text is short and simple enough to be given to `math-verify`.

    Args:
        text: LaTeX.

    Returns:
        True if it is.

    Example:
        >>> may_verify("(-\\infty, 2) \\cup [3, 4]"), may_verify("9^{9^{9}}"), may_verify("\\sum_{k=1}^{n} k")
        (True, False, False)
    """
    if len(text) > _LONGEST:
        return False
    at = depth = 0
    while at < len(text):
        piece = _PIECE.match(text, at)
        if piece is None:
            return False
        at = piece.end()
        if piece["command"] is not None:
            if piece["command"] in ("begin", "end"):
                named = re.compile(r"\{([a-z]+)\}").match(text, at)
                if named is None or named[1] not in _ENVIRONMENTS:
                    return False
                at = named.end()
            elif piece["command"] not in _COMMANDS:
                return False
        elif piece["letters"] is not None:
            if len(piece["letters"]) > 2 or (len(piece["letters"]) > 1 and not piece["letters"].islower()):
                return False
        elif piece["number"] is not None:
            if len(piece["number"]) > 30:
                return False
        else:
            depth += {"{": 1, "(": 1, "[": 1, "}": -1, ")": -1, "]": -1}.get(piece["sign"][-1], 0)
            if depth > _DEEPEST:
                return False
    return _small_powers(text)


def _small_powers(text: str) -> bool:
    numbers = [int(one) for one in re.findall(r"\d+", text)]
    if ("!" in text or "binom" in text) and any(number > _MOST_ARGUMENT for number in numbers):
        return False
    if re.search(r"[)}]\s*!|!\s*!|\^\s*\{[^{}]*[\^!]", text):
        return False
    powers = _POWER.findall(text)
    if text.count("^") != len(powers) or text.count("^") > 8:
        return False
    exponents = [one or other for one, other, _ in powers]
    return all(exponents) and all(abs(int(one)) <= _MOST_POWER for one in exponents if one.lstrip("-").isdigit())


def verified(first: str, second: str) -> bool | None:
    r"""Whether `math-verify` finds two expressions equal.

    It works in a program of its own that is stopped when it takes too long, so that nothing it does can hold up or
    interrupt this one.

    Args:
        first: LaTeX.
        second: LaTeX.

    Returns:
        Its verdict; None if it may not be asked, cannot read one of them, or takes too long.

    Raises:
        ImportError: the package is not installed.

    Example:
        >>> verified("(1,2) \\cup (2,3)", "(2,3)\\cup(1,2)"), verified("x>3", "x<3")
        (True, False)

    References:
        H. Kydlíček. Math-Verify: a robust mathematical expression evaluation system. 2025.
    """
    if not (may_verify(first) and may_verify(second)):
        return None
    if importlib.util.find_spec("math_verify") is None:
        raise missing_package("math_verify", "comparing these expressions")
    with _LOCK:
        return _ask(json.dumps([first, second]))


def _ask(line: str) -> bool | None:
    program = _started()
    try:
        assert program.stdin is not None
        program.stdin.write(f"{line}\n")
        program.stdin.flush()
        return json.loads(_line(program, _SECONDS))
    except (OSError, ValueError, TimeoutError):
        _stop()
        return None


def _started() -> "subprocess.Popen[str]":
    if _PROGRAMS and _PROGRAMS[0].poll() is None and _PROGRAMS[0].args[-1] == str(os.getpid()):  # type: ignore[index]
        return _PROGRAMS[0]
    _PROGRAMS.clear()
    command = [sys.executable, "-I", str(Path(__file__).with_name("_verifier.py")), str(os.getpid())]
    program = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, encoding="utf-8"
    )
    _PROGRAMS.append(program)
    atexit.register(_stop)
    try:
        _line(program, _START_SECONDS)
    except TimeoutError:
        _stop()
        raise ImportError("math-verify does not start; is it installed as in jaxuq[language]?") from None
    return program


def _line(program: "subprocess.Popen[str]", seconds: float) -> str:
    """The next line of a program; `TimeoutError` when none comes, or it has ended."""
    lines: queue.Queue[str] = queue.Queue()
    assert program.stdout is not None
    threading.Thread(target=lambda: lines.put(program.stdout.readline()), daemon=True).start()  # type: ignore[union-attr]
    try:
        found = lines.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError from None
    if not found:
        raise TimeoutError
    return found


def _stop() -> None:
    while _PROGRAMS:
        program = _PROGRAMS.pop()
        program.kill()
        program.wait()
