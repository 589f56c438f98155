"""The language room: decoder language models, to load, to generate with, to score given text, and to adapt.

The network itself is `jaxuq.networks.Decoder`; this room reads its checkpoints, runs it, and trains adapters for it.
"""

from jaxuq.language.architectures import decoder_config
__all__: list[str] = ["decoder_config"]
