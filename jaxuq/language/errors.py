"""What goes wrong with a user's files and texts, said in one line."""

from jaxuq.checkpoints import CheckpointError

__all__ = ["CheckpointError", "PromptError"]


class PromptError(ValueError):
    """A prompt, a chat, or a response that cannot be used as given."""
