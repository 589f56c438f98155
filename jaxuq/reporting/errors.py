"""The one error of this room."""

from jaxuq._errors import JaxuqError


class ReportError(JaxuqError, ValueError):
    """A folder is no result folder, or something in it cannot be read; the message names the file and what is wrong."""
