"""What a user of this room can do wrong."""

from jaxuq.extraction.errors import ExtractionError


class ServingError(ExtractionError):
    """An address, a key or an option is at fault; what chat models of this room raise where no request can succeed."""
