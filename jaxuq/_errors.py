"""The base of every error that is the user's to mend: a file, an option, an array; imports nothing of ours."""

import re

_LONGEST = 1500
_BREAKS = re.compile(r"\s*[\r\n]\s*")
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


class JaxuqError(Exception):
    """Something that the caller can mend; its text names the thing and the remedy.

    Every room's own error is one, so `except jaxuq.JaxuqError` catches what a user's input can cause and leaves faults
    of jaxuq itself to their tracebacks. Commands print its text as one line and end with exit code 2.

    Whatever of a damaged file, or of another library's many words, stands in it: the text is one line, without signs
    that move a terminal's cursor, and its middle is left out where it is too long to be read.
    """

    def __str__(self) -> str:
        text = _BREAKS.sub(" ", BaseException.__str__(self)).strip()
        text = _UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
        return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 500]} … {text[-500:]}"


class ArrayError(JaxuqError, ValueError):
    """An array of the wrong shape, type or rank for the function that got it."""


class OptionError(JaxuqError, ValueError):
    """An argument that is no array, out of its range or none of the choices."""


class StudyWarning(UserWarning):
    """Something about a result folder that its reader should know: results set aside, a damaged file computed again."""
