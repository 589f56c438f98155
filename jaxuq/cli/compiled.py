"""How a command sets JAX up: compiled programs are kept on disk, and cores may be devices of their own."""

import os


def keep_compiled_programs() -> None:
    """Use the folder `compiled` of the cache, unless `JAX_COMPILATION_CACHE_DIR` names another."""
    import jax

    from jaxuq._cache import cache_folder

    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        jax.config.update("jax_compilation_cache_dir", str(cache_folder() / "compiled"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)


def use_all_cores() -> None:
    """Let JAX see each core that this process may use as a device of its own; accelerators are not touched."""
    from jaxuq.parallel import use_cpu_cores

    use_cpu_cores(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
