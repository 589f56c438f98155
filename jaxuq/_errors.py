"""The base of every error that is the user's to mend: a file, an option, an array; imports nothing."""


class JaxuqError(Exception):
    """Something that the caller can mend; its text names the thing and the remedy.

    Every room's own error is one, so `except jaxuq.JaxuqError` catches what a user's input can cause and leaves faults
    of jaxuq itself to their tracebacks. Commands print its text as one line and end with exit code 2.
    """


class ArrayError(JaxuqError, ValueError):
    """An array of the wrong shape, type or rank for the function that got it."""


class OptionError(JaxuqError, ValueError):
    """An argument that is no array, out of its range or none of the choices."""


class StudyWarning(UserWarning):
    """Something about a result folder that its reader should know: results set aside, a damaged file computed again."""
