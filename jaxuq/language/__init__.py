"""The language room: decoder language models, to load, to generate with, to score given text, and to adapt.

The network itself is `jaxuq.networks.Decoder`; this room reads its checkpoints, runs it, and trains adapters for it.
"""

from jaxuq.language.adapters import init_adapters, merge_adapters, stack_adapters

__all__ = [
    "init_adapters",
    "merge_adapters",
    "stack_adapters",
]
