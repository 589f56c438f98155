"""The base of the networks that are public: `help` shows what each has of its own, not flax's thousand lines."""

import flax.linen as nn

_FLAX = {*dir(nn.Module), "name", "parent", "scope"}


class _Brief(type(nn.Module)):
    def __dir__(cls) -> list[str]:
        own = {name for base in cls.__mro__ if base.__module__.startswith("jaxuq.") for name in vars(base)}
        return ["__call__", *sorted(name for name in own - _FLAX if not name.startswith("_"))]


class Module(nn.Module, metaclass=_Brief):
    """A module of flax. What every module of flax has is on its instances, and out of `dir` of its class alone."""
