"""How a backbone is fine-tuned: its published hyper-parameters, and the optimiser that they describe."""

from typing import Literal, NamedTuple

import optax

WEIGHT_DECAY = 0.01


class Recipe(NamedTuple):
    """Published fine-tuning hyper-parameters of AdamW with weight decay 0.01.

    Attributes:
        learning_rate: the highest.
        batch_size: molecules a step.
        epochs: at most.
        patience: epochs without a better validation score.
        schedule: after the warm-up the rate stays, or falls in a straight line to 0 at the last step.
        warmup: share of all steps in which the rate rises from 0.
        clip_norm: longest gradient over all parameters; None: any.
        b1: decay of AdamW's first moment.
        b2: of its second.
        eps: added to the root of the second.
    """

    learning_rate: float
    batch_size: int
    epochs: int
    patience: int
    schedule: Literal["constant", "linear"] = "constant"
    warmup: float = 0.0
    clip_norm: float | None = None
    b1: float = 0.9
    b2: float = 0.999
    eps: float = 1e-8


def recipe_optimizer(recipe: Recipe, num_molecules: int) -> optax.GradientTransformation:
    """The optimiser of a recipe.

    Args:
        recipe: hyper-parameters; a schedule covers `recipe.epochs` epochs, even if training stops early.
        num_molecules: of the training part, which together with the batch size gives the steps of an epoch.

    Returns:
        An optax transformation.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> recipe = Recipe(0.1, batch_size=4, epochs=10, patience=1, schedule="linear", warmup=0.5)
        >>> optimizer = recipe_optimizer(recipe, num_molecules=8)  # 20 steps
        >>> params, sizes = jnp.zeros(()), []
        >>> state = optimizer.init(params)
        >>> with jax.numpy_dtype_promotion("standard"):  # only needed where jax is set to be strict
        ...     for _ in range(20):
        ...         update, state = optimizer.update(jnp.ones(()), state, params)
        ...         sizes.append(round(abs(float(update)), 3))
        >>> sizes[0], sizes[5], sizes[10], sizes[15]
        (0.0, 0.05, 0.1, 0.05)
    """
    steps = recipe.epochs * -(-num_molecules // min(recipe.batch_size, num_molecules))
    rising = round(recipe.warmup * steps)
    rate: optax.ScalarOrSchedule = recipe.learning_rate
    if recipe.schedule == "linear" or rising:
        last = 0.0 if recipe.schedule == "linear" else recipe.learning_rate
        rate = optax.join_schedules(
            [
                optax.linear_schedule(0.0, recipe.learning_rate, max(rising, 1)),
                optax.linear_schedule(recipe.learning_rate, last, max(steps - rising, 1)),
            ],
            [rising],
        )
    adamw = optax.adamw(rate, recipe.b1, recipe.b2, recipe.eps, weight_decay=WEIGHT_DECAY)
    return adamw if recipe.clip_norm is None else optax.chain(optax.clip_by_global_norm(recipe.clip_norm), adamw)
