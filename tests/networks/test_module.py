"""What `help` and completion show of a network."""

import inspect
import pydoc

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest

from jaxuq import networks

MODULES = [
    name
    for name in networks.__all__
    if inspect.isclass(getattr(networks, name)) and issubclass(getattr(networks, name), nn.Module)
]


@pytest.mark.parametrize("name", MODULES)
def test_help_shows_what_a_network_has_of_its_own(name):
    kind = getattr(networks, name)
    said = pydoc.plain(pydoc.render_doc(kind))
    assert len(said.splitlines()) < 110
    own = {one for one, given in vars(kind).items() if inspect.isfunction(given) and one[0] != "_"} - set(
        dir(nn.Module)
    )
    assert all(one in said for one in own)
    assert "inherited from flax" not in said


def test_an_instance_still_completes_to_all_that_flax_gives():
    network = networks.DNN(num_outputs=1)
    assert {"init", "apply", "bind", "features", "width"} <= set(dir(network))
    params = network.init(jax.random.key(0), jnp.zeros((1, 3)))
    assert network.apply(params, jnp.zeros((2, 3))).shape == (2, 1)
