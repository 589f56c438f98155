"""The posteriors of a run: from tuned adapters to samples of them."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key, PyTree

from jaxuq._keys import named_key
from jaxuq.language import stack_adapters
from jaxuq.posterior import mc_dropout
from jaxuq.tuning.answers import answer_loss
from jaxuq.tuning.configuration import TuneConfiguration
from jaxuq.tuning.posteriors.bayesianise import isotropic_samples, largest_scale
from jaxuq.tuning.posteriors.laplace_fit import fit_adapter_laplace, laplace_draws
from jaxuq.tuning.predicting import forecast_answers
from jaxuq.tuning.preparation import Prepared

if TYPE_CHECKING:
    from jaxuq.language import LanguageModel

_SCALES = (1e-4, 0.1)  # bracket of the deviation that training-free Bayesianisation looks for
_SCALE_STEPS = 8


def draw_posterior(
    rng_key: Key[Array, ""],
    posterior: str,
    members: Sequence[PyTree],
    prepared: Prepared,
    configuration: TuneConfiguration,
    token_loss: Callable[..., Any],
) -> tuple[PyTree, dict[str, float]]:
    """Samples of a posterior around tuned adapters.

    Args:
        rng_key: of the samples.
        posterior: one of `POSTERIORS`.
        members: tuned adapters; all are used by an ensemble, only the first by the others.
        prepared: model and questions.
        configuration: of the run.
        token_loss: with which the adapters were tuned, for posteriors that go on tuning.

    Returns:
        Samples of the adapters (or `jaxuq.posterior.Draws`), and what was chosen on the way (a prior precision, a
        deviation).
    """
    first, count = members[0], configuration.samples
    model = prepared.model._replace(lora=first)
    if posterior == "none":
        return stack_adapters([first]), {}
    if posterior == "ensemble":
        return stack_adapters(list(members)), {}
    if posterior == "dropout":
        method = mc_dropout()
        return method.sample(rng_key, method.init(rng_key, first), count), {}
    if posterior in ("laplace", "laplace-last"):
        state = fit_adapter_laplace(
            model, prepared.tuned.prompts, prepared.tuned.labels, last_block=posterior == "laplace-last"
        )
        return laplace_draws(rng_key, model, state, count), {"prior_precision": float(state.prior_precision)}
    if posterior == "tfb":
        scale = _bayesianised_scale(rng_key, model, prepared, count)
        return isotropic_samples(rng_key, first, scale, count), {"deviation": scale}
    from jaxuq.tuning.posteriors.chains import chain_draws

    return chain_draws(named_key(rng_key, "chain"), posterior, model, prepared.examples, configuration, token_loss)


def _bayesianised_scale(rng_key: Key[Array, ""], model: "LanguageModel", prepared: Prepared, count: int) -> float:
    """The deviation at which the tuned model's own answers lose 0.3 % of their log likelihood."""
    prompts = prepared.tuned.prompts
    before = forecast_answers(model, stack_adapters([model.lora]), prompts)
    own = jnp.asarray(np.argmax(before.log_probs, 1))

    def loss(scale: float) -> float:
        samples = isotropic_samples(rng_key, model.lora, jnp.float32(scale), count)
        log_probs = forecast_answers(model, samples, prompts).log_probs
        return float(jnp.mean(answer_loss(jnp.asarray(log_probs), own)))

    return largest_scale(loss, lower=_SCALES[0], upper=_SCALES[1], steps=_SCALE_STEPS)
