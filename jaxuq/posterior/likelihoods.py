"""The likelihoods that have a name; a user's own joins them here or by an entry point."""

from jaxuq._entries import Entries
from jaxuq._errors import OptionError
from jaxuq.posterior.continuous_likelihoods import evidential, gaussian
from jaxuq.posterior.discrete_likelihoods import bernoulli, categorical, poisson
from jaxuq.posterior.likelihood import Likelihood

LIKELIHOODS: Entries[Likelihood] = Entries(
    "likelihood",
    "jaxuq.likelihoods",
    {
        "gaussian": gaussian(),
        "bernoulli": bernoulli(),
        "categorical": categorical(),
        "poisson": poisson(),
        "evidential": evidential(),
    },
)
"""Those with a name; put your own in, or declare an entry point of the group `jaxuq.likelihoods`."""


def likelihood_of(likelihood: str | Likelihood) -> Likelihood:
    """The likelihood of a name, or the record itself.

    Args:
        likelihood: a name in `LIKELIHOODS`, or a record.

    Returns:
        The record.

    Raises:
        OptionError: a name that there is not, or something that is neither.

    Example:
        >>> likelihood_of("bernoulli") is likelihood_of(likelihood_of("bernoulli"))
        True
    """
    if isinstance(likelihood, Likelihood):
        return likelihood
    if isinstance(likelihood, str):
        return LIKELIHOODS[likelihood]
    raise OptionError(f"likelihood is {likelihood!r}; expected a name ({', '.join(LIKELIHOODS)}) or a Likelihood")
