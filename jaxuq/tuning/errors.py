"""What a user can get wrong when tuning."""


class TuningError(ValueError):
    """Data, options or a folder cannot be used for tuning; the message says why and what to do."""
