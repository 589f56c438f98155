"""Compiled programs are kept on disk, so that the second run of a command starts at once."""

import os


def keep_compiled_programs() -> None:
    """Use the folder `compiled` of the cache, unless `JAX_COMPILATION_CACHE_DIR` names another."""
    import jax

    from jaxuq._cache import cache_folder

    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        jax.config.update("jax_compilation_cache_dir", str(cache_folder() / "compiled"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
