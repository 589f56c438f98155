"""Label models side by side on one or several data sets, with a result folder: what `jaxuq tag` runs."""

from jaxuq.tagging.benchmark.active import run_active_tagging
from jaxuq.tagging.benchmark.apply import apply_model
from jaxuq.tagging.benchmark.configuration import TaggingConfiguration
from jaxuq.tagging.benchmark.methods import METHODS
from jaxuq.tagging.benchmark.run import run_tagging

__all__ = ["METHODS", "TaggingConfiguration", "apply_model", "run_active_tagging", "run_tagging"]
