"""The serving room speaks with the world; it has no functions of JAX arrays."""

import jaxuq.serving as serving

EXAMPLES: dict = {}
HOST: dict[str, str] = {
    name: "a constant"
    if name.isupper()
    else "a type"
    if isinstance(getattr(serving, name), type)
    else "works on requests and addresses on the host"
    for name in serving.__all__
}
