"""The experts room: which examples move a model's adapters alike, and ensembles of adapters that know it.

Gradients of single examples, preconditioned and projected, are features: to choose data (LESS, TRAK), and to divide it
into clusters whose adapters are experts (ELREA).
"""

from jaxuq.experts.adapter_checkpoints import load_adapter_checkpoints
from jaxuq.experts.clustering import Clusters, cluster_features
from jaxuq.experts.features import GradientFeatures, gradient_features
from jaxuq.experts.gradients import example_gradients, gradient_tokens
from jaxuq.experts.influence import influence, select
from jaxuq.experts.preconditioning import AdapterCheckpoint, precondition
from jaxuq.experts.projection import PROJECTIONS, project

__all__ = [
    "PROJECTIONS",
    "AdapterCheckpoint",
    "Clusters",
    "GradientFeatures",
    "cluster_features",
    "example_gradients",
    "gradient_features",
    "gradient_tokens",
    "influence",
    "load_adapter_checkpoints",
    "precondition",
    "project",
    "select",
]
