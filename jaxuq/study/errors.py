"""What can be wrong with a result folder, and what its reader should know."""

from jaxuq._errors import JaxuqError, StudyWarning

__all__ = ["RunFolderError", "StudyWarning"]


class RunFolderError(JaxuqError, ValueError):
    """The output folder cannot take this run; the message says why and what to do."""
