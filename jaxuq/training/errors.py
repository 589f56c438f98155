"""What a training can end in that is no result."""

from jaxuq._errors import JaxuqError


class DivergedError(JaxuqError, ArithmeticError):
    """A training whose parameters or validation scores are no numbers; the message names members and epochs."""
