"""The mistake of a user of experts, said in one sentence."""

from jaxuq._errors import JaxuqError


class ExpertsError(JaxuqError, ValueError):
    """Data, options or artefacts that experts cannot be made from; the message says what to do."""
