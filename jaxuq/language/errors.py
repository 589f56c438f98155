"""What goes wrong with a user's files and texts, said in one line."""


class CheckpointError(ValueError):
    """A model's files are missing, damaged, or of an architecture that is not supported; the message names the file."""


class PromptError(ValueError):
    """A prompt, a chat, or a response that cannot be used as given."""
