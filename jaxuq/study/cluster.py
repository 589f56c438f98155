"""Independent calls, each in a process of its own, begun again when its process dies: here, or as tasks of Ray."""

import contextlib
import functools
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol

from jaxuq._errors import OptionError
from jaxuq._extras import needed_package
from jaxuq.study.errors import ClusterError
from jaxuq.study.workers import local_workers

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

    On this machine workers are Python's own (see `LocalWorkers`): a program that calls this does its work under
    `if __name__ == "__main__":`. On a cluster they are Ray's, whose telemetry and dashboard stay off. Either way
    `function` is sent by its name, so it must be importable on the workers, and the arguments pickled.

    Args:
        function: what to call; an exception it raises is its outcome and is not tried again.
        calls: by the name of each task, the positional arguments.
        address: `"local"` for worker processes on this machine, or a running cluster of Ray: `"auto"`, `"host:6379"`,
            `"ray://host:10001"`.
        workers: calls at a time, at least 1. Where there are accelerators, the workers share them evenly.
        retries: how often a call whose process died is tried again.
        started: told the name when a call is handed over, and how many processes have died of it before.
        finished: told the name and the outcome when it has one; other calls go on meanwhile.

    Returns:
        By name, in the order of `calls`: what the function returned, the exception it raised, or a `ClusterError` when
        its process died `1 + retries` times.

    Raises:
        ClusterError: there is no cluster at `address`, or the call cannot be sent to another process.
        MissingPackageError: Ray is not installed, and the address is a cluster's.
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
    outcomes: dict[str, Any] = {}
    with _local(workers) if address == LOCAL else _of_ray(address, workers) as pool:
        waiting, running, news = list(calls), {}, []
        deaths = dict.fromkeys(calls, 0)
        try:
            while waiting or running or news:
                while waiting and len(running) < workers:
                    name = waiting.pop(0)
                    running[name] = pool.begin(name, function, calls[name])
                    started(name, deaths[name])
                for name in news:
                    finished(name, outcomes[name])
                done = pool.finished(list(running.values()), 1.0) if running else []
                news = []
                for name in [name for name, worker in running.items() if worker in done]:
                    outcomes[name], death = pool.outcome(running.pop(name))
                    deaths[name] += bool(death)
                    if death and deaths[name] <= retries:
                        waiting.insert(0, name)
                        continue
                    if death:
                        outcomes[name] = ClusterError(f"its worker process died {deaths[name]} times ({death})")
                    news.append(name)
        finally:
            for worker in running.values():
                with contextlib.suppress(Exception):
                    pool.cancel(worker)
    return {name: outcomes[name] for name in calls}


class _Pool(Protocol):
    """Where calls are made."""

    def begin(self, name: str, function: Callable[..., Any], arguments: tuple[Any, ...], /) -> Any:
        """Make a call; the worker that makes it."""

    def finished(self, running: list[Any], timeout: float, /) -> list[Any]:
        """Workers of which there is news."""
        ...

    def outcome(self, worker: Any, /) -> tuple[Any, str]:
        """What became of a call that is finished, and what its process died of, if it did."""
        ...

    def cancel(self, worker: Any, /) -> None:
        """End it."""


def _local(workers: int) -> contextlib.AbstractContextManager[_Pool]:
    import jax

    accelerators = jax.local_device_count() if jax.default_backend() == "gpu" else 0
    share = 1.0 / -(-workers // accelerators) if accelerators else 0.0
    return local_workers(functools.partial(_prepare, *_context(share)), accelerators)


class _Ray(NamedTuple):
    """Tasks of Ray."""

    ray: Any
    task: Any
    context: tuple[Any, ...]

    def begin(self, name: str, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        return self.task.options(name=name).remote(self.context, function, arguments)

    def finished(self, running: list[Any], timeout: float) -> list[Any]:
        return self.ray.wait(running, timeout=timeout)[0]

    def outcome(self, worker: Any) -> tuple[Any, str]:
        try:
            return self.ray.get(worker), ""
        except self.ray.exceptions.RayTaskError as error:
            return error.cause or error, ""
        except self.ray.exceptions.RayError as error:
            return None, f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}"

    def cancel(self, worker: Any) -> None:
        self.ray.cancel(worker, force=True)


@contextlib.contextmanager
def _of_ray(address: str, workers: int) -> Iterator[_Pool]:
    with _connected(address) as ray:
        accelerators = ray.cluster_resources().get("GPU", 0.0)
        share = 1.0 / -(-workers // accelerators) if accelerators else 0.0
        task = ray.remote(num_cpus=1, num_gpus=share, max_retries=0, max_calls=1)(_call)  # retried, and told, here
        yield _Ray(ray, task, _context(share))


def _context(share: float) -> tuple[str, dict[str, Any], float]:
    """What decides the numbers that a worker computes, and its share of an accelerator."""
    import jax

    return os.getcwd(), {name: getattr(jax.config, name) for name in _SETTINGS}, share


def _prepare(folder: str, settings: dict[str, Any], share: float) -> None:
    """What a worker does first, before JAX has looked for devices."""
    import jax

    os.chdir(folder)
    for name, value in settings.items():
        jax.config.update(name, value)
    if 0 < share < 1:
        os.environ.setdefault("XLA_PYTHON_CLIENT_MEM_FRACTION", f"{0.75 * share:.3f}")


def _call(context: tuple[Any, ...], function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    _prepare(*context)
    return function(*arguments)


@contextlib.contextmanager
def _connected(address: str) -> Iterator[Any]:
    """Ray, connected; a connection that the caller's program has already is used and left alone."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray = needed_package("ray", "a cluster")
    needed_package("ray.exceptions", "a cluster")
    if ray.is_initialized():
        yield ray
        return
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.CRITICAL)
    except Exception as error:  # Ray raises ConnectionError, RuntimeError, ValueError, ImportError, ... for this
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ClusterError(f"no Ray cluster could be had at {address!r}: {reason}") from error
    try:
        yield ray
    finally:
        ray.shutdown()
