"""The readers of `Draws` by name, so that samples can be saved as names and arrays and read again elsewhere."""

from jaxuq._entries import Entries
from jaxuq.posterior.batch_ensemble import rank_one
from jaxuq.posterior.draws import Reader
from jaxuq.posterior.laplace import linearised_at
from jaxuq.posterior.mc_dropout import _dropped
from jaxuq.posterior.subtree import _merged

READERS: Entries[Reader] = Entries(
    "reader of samples",
    "jaxuq.readers",
    {"dropped": _dropped, "linearised_at": linearised_at, "merged": _merged, "rank_one": rank_one},
)
"""Those with a name; put that of your own `Draws` in, or declare an entry point of the group `jaxuq.readers`."""
