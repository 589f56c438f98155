"""What a user can get wrong when tuning."""

from jaxuq._errors import JaxuqError


class TuningError(JaxuqError, ValueError):
    """Data, options or a folder cannot be used for tuning; the message says why and what to do."""
