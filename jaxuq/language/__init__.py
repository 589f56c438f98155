"""The language room: decoder language models, to load, to generate with, to score given text, and to adapt.

The network itself is `jaxuq.networks.Decoder`; this room reads its checkpoints, runs it, and trains adapters for it.
"""

from jaxuq.language.adapters import init_adapters, merge_adapters, stack_adapters
from jaxuq.language.peft import load_peft, save_peft

__all__ = [
    "init_adapters",
    "load_peft",
    "merge_adapters",
    "save_peft",
    "stack_adapters",
]
