"""What goes wrong with a model's files, said in one line."""

from jaxuq._errors import JaxuqError


class CheckpointError(JaxuqError, ValueError):
    """A model's files are missing, damaged, or of an architecture that is not supported; the message names the file."""
