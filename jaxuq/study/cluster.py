"""Independent calls as tasks of a Ray cluster: each in a process of its own, begun again when its process dies."""

import contextlib
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from jaxuq._errors import JaxuqError, OptionError
from jaxuq._extras import needed_package

LOCAL = "local"
# What decides an array's bits or saves a compilation: a worker computes as the process that asked it to.
_SETTINGS = (
    "jax_num_cpu_devices",
    "jax_threefry_partitionable",
    "jax_enable_x64",
    "jax_default_matmul_precision",
    "jax_compilation_cache_dir",
    "jax_persistent_cache_min_compile_time_secs",
)


class ClusterError(JaxuqError, RuntimeError):
    """There is no Ray, no cluster at that address, or a task has lost its process too often; the message says which."""


def run_on_cluster(
    function: Callable[..., Any],
    calls: Mapping[str, tuple[Any, ...]],
    *,
    address: str = LOCAL,
    workers: int = 2,
    retries: int = 3,
    started: Callable[[str, int], None] = lambda name, attempt: None,
    finished: Callable[[str, Any], None] = lambda name, outcome: None,
) -> dict[str, Any]:
    """Make every call in a worker process of its own, a few at a time, and gather what they return.

    A process that dies (killed, out of memory, its machine gone) costs its call another attempt and nothing else, so
    `function` should keep what it has done on disk and go on from there. Workers have this process's working folder and
    its JAX settings for devices, precision and compiled programs, so that they compute the same numbers; those on this
    machine have its environment as well. Not for splitting one computation over devices, which is
    `jaxuq.parallel.map_members`.

    Ray sends `function` by its name, so it must be importable on the workers, and the arguments pickled. Its telemetry
    and its dashboard stay off.

    Args:
        function: what to call; an exception it raises is its outcome and is not tried again.
        calls: by the name of each task, the positional arguments.
        address: `"local"` for worker processes on this machine, or a running cluster: `"auto"`, `"host:6379"`,
            `"ray://host:10001"`.
        workers: calls at a time, at least 1. Where there are accelerators, the workers share them evenly.
        retries: how often a call whose process died is tried again.
        started: told the name when a call is handed over, and how many processes have died of it before.
        finished: told the name and the outcome when it has one; other calls go on meanwhile.

    Returns:
        By name, in the order of `calls`: what the function returned, the exception it raised, or a `ClusterError` when
        its process died `1 + retries` times.

    Raises:
        ClusterError: Ray is not installed, or there is no cluster at `address`.
        OptionError: `workers` is below 1.

    Example:
        >>> run_on_cluster(divmod, {})  # nothing to do starts no cluster
        {}

    References:
        Moritz et al., Ray: A Distributed Framework for Emerging AI Applications, OSDI, 2018.
    """
    if workers < 1:
        raise OptionError(f"workers is {workers}; at least one is needed")
    if not calls:
        return {}
    import jax

    outcomes: dict[str, Any] = {}
    with _connected(address, workers) as ray:
        accelerators = ray.cluster_resources().get("GPU", 0.0)
        share = 1.0 / -(-workers // accelerators) if accelerators else 0.0
        task = ray.remote(num_cpus=1, num_gpus=share, max_retries=0, max_calls=1)(_call)  # retried, and told, here
        context = (os.getcwd(), {name: getattr(jax.config, name) for name in _SETTINGS}, share)
        waiting, running, news = list(calls), {}, []
        deaths = dict.fromkeys(calls, 0)
        try:
            while waiting or running or news:
                while waiting and len(running) < workers:
                    name = waiting.pop(0)
                    running[task.options(name=name).remote(context, function, calls[name])] = name
                    started(name, deaths[name])
                for name in news:
                    finished(name, outcomes[name])
                news = []
                done = ray.wait(list(running), timeout=1.0)[0] if running else []
                for reference in done:
                    name = running.pop(reference)
                    outcomes[name], death = _outcome(ray, reference)
                    deaths[name] += bool(death)
                    if death and deaths[name] <= retries:
                        waiting.insert(0, name)
                        continue
                    if death:
                        outcomes[name] = ClusterError(f"its worker process died {deaths[name]} times ({death})")
                    news.append(name)
        finally:
            for reference in running:
                with contextlib.suppress(Exception):
                    ray.cancel(reference, force=True)
    return {name: outcomes[name] for name in calls}


def _call(context: tuple[str, dict[str, Any], float], function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    """What a worker does, before JAX has looked for devices."""
    import jax

    folder, settings, share = context
    os.chdir(folder)
    for name, value in settings.items():
        jax.config.update(name, value)
    if 0 < share < 1:
        os.environ.setdefault("XLA_PYTHON_CLIENT_MEM_FRACTION", f"{0.75 * share:.3f}")
    return function(*arguments)


def _outcome(ray: Any, reference: Any) -> tuple[Any, str]:
    """What became of a call, and what its process died of, if it did."""
    try:
        return ray.get(reference), ""
    except ray.exceptions.RayTaskError as error:
        return error.cause or error, ""
    except ray.exceptions.RayError as error:
        return None, f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}"


@contextlib.contextmanager
def _connected(address: str, workers: int) -> Iterator[Any]:
    """Ray, connected; a connection that the caller's program has already is used and left alone."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray = needed_package("ray", "a cluster")
    needed_package("ray.exceptions", "a cluster")
    if ray.is_initialized():
        yield ray
        return
    options: dict[str, Any] = {"num_cpus": workers, "include_dashboard": False} if address == LOCAL else {}
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.CRITICAL, **options)
    except Exception as error:  # Ray raises ConnectionError, RuntimeError, ValueError, ImportError, ... for this
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ClusterError(f"no Ray cluster could be had at {address!r}: {reason}") from error
    try:
        yield ray
    finally:
        ray.shutdown()
