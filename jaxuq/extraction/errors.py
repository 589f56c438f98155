"""What a user of this room can do wrong."""


class ExtractionError(ValueError):
    """The request or its data is at fault, not jaxuq; the message names the thing and says what to do."""
