"""Ensembles of low-rank experts, routed by the direction of a question's gradient (ELREA).

A base adapter is trained on all instructions; instructions whose gradients point the same way form clusters; each
cluster gets an expert that goes on from the base adapter; a question's weights over the experts follow from its own
gradient, and the experts' logits are added while decoding. Every step is a transform of its own.
"""

from jaxuq.experts.decoding import ExpertGeneration, generate_by_experts
from jaxuq.experts.disagreement import Disagreement, combine_logits, disagreement
from jaxuq.experts.families import FAMILIES, family_answer, make_families, write_families
from jaxuq.experts.mixture import (
    MIXINGS,
    gate_weights,
    init_gates,
    merged_output,
    mixing,
    mixture_adapters,
    mixture_output,
)
from jaxuq.experts.routing import Routing, route

__all__ = [
    "FAMILIES",
    "MIXINGS",
    "Disagreement",
    "ExpertGeneration",
    "Routing",
    "combine_logits",
    "disagreement",
    "family_answer",
    "gate_weights",
    "generate_by_experts",
    "init_gates",
    "make_families",
    "merged_output",
    "mixing",
    "mixture_adapters",
    "mixture_output",
    "route",
    "write_families",
]
