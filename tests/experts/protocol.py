"""What the experts room supplies to the protocol tests."""

import jax
import jax.numpy as jnp

from jaxuq.experts import AdapterCheckpoint, example_gradients, influence, precondition, project, select
from tests.experts.protocol_ensembles import ENSEMBLES, ON_HOST
from tests.experts.tiny import BATCH, DECODER, lora, params
from tests.protocol import Example

_LORA = lora()
_GRADIENTS = jax.tree.map(lambda leaf: jnp.sin(jnp.arange(8.0 * leaf.size)).reshape(8, *leaf.shape), _LORA)
_MOMENTS = jax.tree.map(lambda leaf: leaf**2 + 0.1, _LORA)
_KEY = jax.random.key(3)


def _project(kind):
    return Example(
        lambda key, gradients: project(key, gradients, dimension=40, kind=kind),
        (_KEY, _GRADIENTS["layers"]["query"]),
        differentiable=(1,),
        rows=1,
    )


EXAMPLES: dict = ENSEMBLES | {
    "example_gradients": Example(
        jax.jit(lambda lora, batch: example_gradients(DECODER, params(), lora, batch)),
        (_LORA, BATCH),
        whole=(0,),
        rows=1,
    ),
    "influence": Example(
        influence,
        (jax.random.normal(_KEY, (8, 4, 6)), jax.random.normal(_KEY, (8, 3, 6)), jnp.arange(1.0, 9.0)),
        differentiable=(0, 1),
    ),
    "precondition": Example(
        lambda gradients, first, second, count: precondition(
            gradients, AdapterCheckpoint(None, first, second, count, 0.1)
        ),
        (_GRADIENTS, _LORA, _MOMENTS, jnp.int32(4)),
        differentiable=(0, 1, 2),
        shardable=False,
    ),
    "project": [_project(kind) for kind in ("rademacher", "hadamard")],
    "select": Example(lambda scores: select(scores, 0.5), (jnp.sin(jnp.arange(8.0)),)),
}
# Where each takes labels of a known range: a label outside it makes the result NaN, or that of its entry alone.
LABELS: dict[str, int] = {"disagreement": 2}
HOST: dict[str, str] = ON_HOST | {
    "EvaluateConfiguration": "a type",
    "TrainConfiguration": "a type",
    "run_evaluation": "reads and writes a folder",
    "run_training": "reads and writes a folder",
    "CLUSTERINGS": "an open table",
    "CONVENTIONS": "an open table",
    "POOLINGS": "an open table",
    "PROJECTIONS": "an open table",
    "REDUCTIONS": "an open table",
    "ROUTINGS": "an open table",
    "TOKENS": "an open table",
    "AdapterCheckpoint": "a type",
    "Clusters": "a type",
    "GradientFeatures": "a type",
    "cluster_features": "calls scikit-learn",
    "gradient_features": "the host's loop over a data set",
    "gradient_tokens": "reads one example on the host",
    "load_adapter_checkpoints": "reads files",
}
