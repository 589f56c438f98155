"""The array functions of routing, decoding and mixtures, as `tests/experts/protocol.py` takes them."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxuq import experts
from tests.protocol import Example


def _normal(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


_WEIGHTS = jax.nn.softmax(_normal(0, 8, 3))
_LAYER = (_normal(1, 8, 2, 5), _normal(2, 3, 5, 2), _normal(3, 3, 2, 4), jax.nn.softmax(_normal(4, 8, 2, 3)))

ENSEMBLES: dict = {
    "route": Example(experts.route, (_normal(5, 8, 6), _normal(6, 5, 6)), {"top_k": 3}, differentiable=(0, 1)),
    "combine_logits": Example(experts.combine_logits, (_normal(7, 8, 3, 6), _WEIGHTS), differentiable=(0, 1)),
    "disagreement": Example(
        experts.disagreement, (_normal(8, 8, 3, 6), _WEIGHTS, jnp.arange(8) % 6), differentiable=(0, 1)
    ),
    "mixture_output": Example(
        experts.mixture_output, _LAYER, differentiable=(0, 1, 2, 3), shardable=False, keeps_type=True
    ),
    "merged_output": Example(
        experts.merged_output, _LAYER, differentiable=(0, 1, 2, 3), shardable=False, keeps_type=True
    ),
    "gate_weights": Example(experts.gate_weights, (_normal(9, 8, 2, 6), _normal(10, 6, 3)), differentiable=(0, 1)),
}
ON_HOST: dict[str, str] = {
    "ANSWER_KINDS": "a constant",
    "MIXINGS": "an open table",
    "Disagreement": "a type",
    "ExpertAnswer": "a type",
    "ExpertParams": "a type",
    "MemberScores": "a type",
    "expert_model": "functions of a module; what they give is tested through generation",
    "ExpertsError": "a type",
    "Routing": "a type",
    "answer_by_experts": "loops over batches on the host",
    "boxed_solution": "works on text",
    "combine_math": "reads and writes files",
    "embed_sentences": "reads an encoder's files and loops on the host",
    "generate_by_experts": "compiled itself; its decoder and options are static",
    "init_gates": "makes a tree from the shapes of another",
    "mixing": "a context",
    "mixture_adapters": "rearranges a tree of adapters",
    "train_gates": "loops over batches on the host",
    "vote": "works on text",
}
