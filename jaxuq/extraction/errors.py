"""What a user of this room can do wrong."""

from jaxuq._errors import JaxuqError


class ExtractionError(JaxuqError, ValueError):
    """The request or its data is at fault, not jaxuq; the message names the thing and says what to do."""
