"""Posteriors around tuned adapters, by name: an open table of functions from a key and what was tuned to samples."""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from jaxuq._entries import Entries, Entry
from jaxuq._keys import named_key
from jaxuq.language import stack_adapters
from jaxuq.posterior import mc_dropout
from jaxuq.tuning.answers import answer_loss
from jaxuq.tuning.posteriors.bayesianise import isotropic_samples, largest_scale
from jaxuq.tuning.posteriors.chains import blob_draws, sgld_draws, swag_draws
from jaxuq.tuning.posteriors.laplace_fit import fit_adapter_laplace, laplace_draws
from jaxuq.tuning.posteriors.tuned import Drawn, Tuned
from jaxuq.tuning.predicting import forecast_answers

_SCALES = (1e-4, 0.1)  # bracket of the deviation that training-free Bayesianisation looks for
_SCALE_STEPS = 8


def _as_tuned(rng_key: Key[Array, ""], tuned: Tuned) -> Drawn:
    return stack_adapters(list(tuned.members)), {}


def _dropped(rng_key: Key[Array, ""], tuned: Tuned) -> Drawn:
    method = mc_dropout()
    return method.sample(rng_key, method.init(rng_key, tuned.members[0]), tuned.num_samples), {}


def _laplace(rng_key: Key[Array, ""], tuned: Tuned, last_block: bool = False) -> Drawn:
    state = fit_adapter_laplace(tuned.model, tuned.prompts, tuned.labels, last_block=last_block)
    draws = laplace_draws(rng_key, tuned.model, state, tuned.num_samples)
    return draws, {"prior_precision": float(state.prior_precision)}


def _last_block_laplace(rng_key: Key[Array, ""], tuned: Tuned) -> Drawn:
    return _laplace(rng_key, tuned, last_block=True)


def _bayesianised(rng_key: Key[Array, ""], tuned: Tuned) -> Drawn:
    """The deviation at which the tuned model's own answers lose 0.3 % of their log likelihood."""
    centre, count = tuned.members[0], tuned.num_samples
    before = forecast_answers(tuned.model, stack_adapters([centre]), tuned.prompts)
    own = jnp.asarray(np.argmax(before.log_probs, 1))

    def loss(scale: float) -> float:
        samples = isotropic_samples(rng_key, centre, jnp.float32(scale), count)
        log_probs = forecast_answers(tuned.model, samples, tuned.prompts).log_probs
        return float(jnp.mean(answer_loss(jnp.asarray(log_probs), own)))

    scale = largest_scale(loss, lower=_SCALES[0], upper=_SCALES[1], steps=_SCALE_STEPS)
    return isotropic_samples(rng_key, centre, scale, count), {"deviation": scale}


def _chain(draws: Callable[[Key[Array, ""], Tuned], Drawn]) -> Callable[[Key[Array, ""], Tuned], Drawn]:
    """Chains have always had a key of their own name."""

    def draw(rng_key: Key[Array, ""], tuned: Tuned) -> Drawn:
        return draws(named_key(rng_key, "chain"), tuned)

    return draw


POSTERIORS: Entries[Entry] = Entries(
    "posterior",
    "jaxuq.adapter_posteriors",
    {
        "none": Entry("none", "Tuned", {"draw": _as_tuned}, about={"samples": 1}),
        "laplace": Entry("laplace", "Laplace", {"draw": _laplace}),
        "laplace-last": Entry("laplace-last", "Laplace, last block", {"draw": _last_block_laplace}),
        "dropout": Entry(
            "dropout", "Adapter dropout (BayesLoRA)", {"draw": _dropped}, needs=("dropout",), about={"shared": False}
        ),
        "ensemble": Entry("ensemble", "Ensemble", {"draw": _as_tuned}, needs=("members",)),
        "tfb": Entry("tfb", "TFB", {"draw": _bayesianised}),
        "swag": Entry("swag", "SWAG", {"draw": _chain(swag_draws)}),
        "sgld": Entry("sgld", "SGLD", {"draw": _chain(sgld_draws)}),
        "blob": Entry("blob", "BLoB", {"draw": _chain(blob_draws)}),
    },
    role="draw",
)
"""Posteriors by name. The functions of an entry hold `draw(rng_key, Tuned) -> Drawn`. It may need `members` (several
tunings) or `dropout` (adapters tuned with it); `about` says `samples`, if it always gives so many, and `shared: False`
if a sample differs from question to question. Put yours in, or declare an entry point of the group."""


def num_members(entry: Entry, members: int) -> int:
    """How many adapters are tuned for a posterior: `members` if it needs them, else one."""
    return members if "members" in entry.needs else 1


def num_samples(entry: Entry, samples: int, members: int) -> int:
    """How many samples a posterior gives where `samples` are asked for, or `members` if it needs them."""
    return entry.about.get("samples", members if "members" in entry.needs else samples)
