"""What can be wrong with a result folder, and what its reader should know."""

from jaxuq._errors import JaxuqError, StudyWarning

__all__ = ["ClusterError", "RunFolderError", "StudyWarning"]


class RunFolderError(JaxuqError, ValueError):
    """The output folder cannot take this run; the message says why and what to do."""


class ClusterError(JaxuqError, RuntimeError):
    """There is no cluster at that address, what is to be called cannot be sent to another process, or a call has lost
    its process too often; the message says which."""
