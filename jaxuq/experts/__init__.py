"""Ensembles of low-rank experts, routed by the direction of a question's gradient (ELREA), and what they are made of.

A base adapter is trained on all instructions; gradients of single examples, preconditioned and projected, are features:
to choose data (LESS, TRAK), and to divide it into clusters, each of which gets an expert that goes on from the base
adapter. A question's weights over the experts follow from its own gradient, and the experts' logits are added while
decoding. Every step is a transform of its own; `run_training` and `run_evaluation` run them all.
"""

from jaxuq.experts.adapter_checkpoints import load_adapter_checkpoints
from jaxuq.experts.answering import ExpertAnswer, answer_by_experts
from jaxuq.experts.clustering import CLUSTERINGS, Clusters, cluster_features
from jaxuq.experts.decoding import ExpertParams, MemberScores, expert_model, generate_by_experts
from jaxuq.experts.disagreement import Disagreement, combine_logits, disagreement
from jaxuq.experts.errors import ExpertsError
from jaxuq.experts.features import GradientFeatures, gradient_features
from jaxuq.experts.gating import train_gates
from jaxuq.experts.gradients import REDUCTIONS, TOKENS, example_gradients, gradient_tokens
from jaxuq.experts.grading import ANSWER_KINDS, vote
from jaxuq.experts.influence import influence, select
from jaxuq.experts.math_combined import boxed_solution, combine_math
from jaxuq.experts.mixture import (
    MIXINGS,
    gate_weights,
    init_gates,
    merged_output,
    mixing,
    mixture_adapters,
    mixture_output,
)
from jaxuq.experts.pipeline.configuration import EvaluateConfiguration, TrainConfiguration
from jaxuq.experts.pipeline.evaluation import run_evaluation
from jaxuq.experts.pipeline.training import run_training
from jaxuq.experts.preconditioning import CONVENTIONS, AdapterCheckpoint, precondition
from jaxuq.experts.projection import PROJECTIONS, project
from jaxuq.experts.routing import ROUTINGS, Routing, route
from jaxuq.experts.sentences import POOLINGS, embed_sentences

__all__ = [
    "ANSWER_KINDS",
    "CLUSTERINGS",
    "CONVENTIONS",
    "MIXINGS",
    "POOLINGS",
    "PROJECTIONS",
    "REDUCTIONS",
    "ROUTINGS",
    "TOKENS",
    "AdapterCheckpoint",
    "Clusters",
    "Disagreement",
    "EvaluateConfiguration",
    "ExpertAnswer",
    "ExpertParams",
    "ExpertsError",
    "GradientFeatures",
    "MemberScores",
    "Routing",
    "TrainConfiguration",
    "answer_by_experts",
    "boxed_solution",
    "cluster_features",
    "combine_logits",
    "combine_math",
    "disagreement",
    "embed_sentences",
    "example_gradients",
    "expert_model",
    "gate_weights",
    "generate_by_experts",
    "gradient_features",
    "gradient_tokens",
    "influence",
    "init_gates",
    "load_adapter_checkpoints",
    "merged_output",
    "mixing",
    "mixture_adapters",
    "mixture_output",
    "precondition",
    "project",
    "route",
    "run_evaluation",
    "run_training",
    "select",
    "train_gates",
    "vote",
]
