"""What can be wrong with a result folder."""

from jaxuq._errors import JaxuqError


class RunFolderError(JaxuqError, ValueError):
    """The output folder cannot take this run; the message says why and what to do."""


class StudyWarning(UserWarning):
    """Something about a result folder that its reader should know: results set aside, a damaged file computed again."""
