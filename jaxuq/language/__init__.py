"""The language room: decoder language models, to load, to generate with, to score given text, and to adapt.

The network itself is `jaxuq.networks.Decoder`; this room reads its checkpoints, runs it, and trains adapters for it.
"""

from jaxuq.language.architectures import decoder_config
from jaxuq.language.sampling import (
    GREEDY,
    Sampling,
    check_sampling,
    filter_logits,
    min_p_mask,
    sample_token,
    top_k_mask,
    top_p_mask,
)

__all__ = [
    "GREEDY",
    "Sampling",
    "check_sampling",
    "decoder_config",
    "filter_logits",
    "min_p_mask",
    "sample_token",
    "top_k_mask",
    "top_p_mask",
]
