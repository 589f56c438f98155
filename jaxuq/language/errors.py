"""What goes wrong with a user's files and texts, said in one line."""

from jaxuq._errors import JaxuqError
from jaxuq.checkpoints import CheckpointError

__all__ = ["CheckpointError", "ConstraintError", "PromptError"]


class PromptError(JaxuqError, ValueError):
    """A prompt, a chat, or a response that cannot be used as given."""


class ConstraintError(JaxuqError, ValueError):
    """A form of answers that cannot be kept to: not supported, too complex, or impossible."""
