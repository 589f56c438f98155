"""The extraction room works on text, on the host; it has no functions of JAX arrays."""

import jaxuq.extraction as extraction

_CONSTANTS = {name for name in extraction.__all__ if name.isupper()}

EXAMPLES: dict = {}
HOST: dict[str, str] = {
    name: "a constant"
    if name in _CONSTANTS
    else "a type"
    if isinstance(getattr(extraction, name), type)
    else "works on text, counts or files on the host"
    for name in extraction.__all__
}
