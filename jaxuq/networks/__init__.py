"""The networks room: flax modules and nothing else.

`apply_function` turns a module into the plain function that the rest of jaxuq works with.
"""

from jaxuq.networks.dnn import DNN
from jaxuq.networks.dropout import Dropout, keep_mask
from jaxuq.networks.functional import apply_function

__all__ = ["DNN", "Dropout", "apply_function", "keep_mask"]
