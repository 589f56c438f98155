"""The parallel room: a leading member axis mapped over the devices of one machine or of many."""

from jaxuq.parallel.members import STRATEGIES, gather_members, map_members, resolve_strategy, use_cpu_cores

__all__ = ["STRATEGIES", "gather_members", "map_members", "resolve_strategy", "use_cpu_cores"]
