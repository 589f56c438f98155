"""What is installed on demand: which extra of jaxuq brings which packages, and one message where one is missing."""

import importlib
import importlib.util
from collections.abc import Iterable
from types import ModuleType

from jaxuq._errors import JaxuqError

EXTRAS = {
    "molecules": ("descriptastorus", "jraph", "pandas", "pooch", "rdkit", "scipy", "six"),
    "language": ("gguf", "huggingface_hub", "jinja2", "math_verify", "mpmath", "tokenizers", "transformers"),
    "tagging": ("pandas", "tokenizers", "transformers"),
    "extraction": ("httpx2",),
    "serve": ("starlette", "uvicorn"),
    "constrained": ("llguidance",),
    "spacy": ("spacy",),
    "reports": ("jinja2", "matplotlib", "pandas"),
    "cluster": ("ray",),
    "tables": ("openpyxl", "pyarrow"),
    "export": ("flatbuffers",),
}
"""Packages by the extra that brings them, as they are imported."""


class MissingPackageError(JaxuqError, ImportError):
    """A package is not installed that an extra of jaxuq brings; its text has the command that installs it."""


def needed_package(name: str, purpose: str) -> ModuleType:
    """Import a package that not everybody has.

    Args:
        name: of the package or a module of it.
        purpose: what needs it, as the subject of the message.

    Returns:
        The module.

    Raises:
        MissingPackageError: the package, or one that it needs itself, is not installed.

    Example:
        >>> needed_package("json", "this").dumps([])
        '[]'
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise missing_package(error.name or name, purpose) from None


def missing_package(name: str, purpose: str) -> MissingPackageError:
    """The error of a module that was not found.

    Args:
        name: of the module.
        purpose: what needs it.

    Returns:
        An error to raise. One that no extra brings is named alone.

    Example:
        >>> print(missing_package("rdkit.Chem", "reading molecules"))
        reading molecules needs the package rdkit, which is not installed: pip install 'jaxuq[molecules]'
    """
    package = name.partition(".")[0]
    extra = next((extra for extra, packages in EXTRAS.items() if package in packages), None)
    return _missing([package], [extra] if extra else [], purpose)


def check_extras(extras: Iterable[str], purpose: str) -> None:
    """Say what is not installed before any work is done; nothing is imported.

    Args:
        extras: that the work needs.
        purpose: what needs them.

    Raises:
        MissingPackageError: naming all packages that are missing, and one command for them.
    """
    lacking = {
        extra: packages
        for extra in extras
        if (packages := [name for name in EXTRAS[extra] if importlib.util.find_spec(name) is None])
    }
    if lacking:
        names = dict.fromkeys(name for packages in lacking.values() for name in packages)
        raise _missing([*names], [*lacking], purpose)


def _missing(packages: list[str], extras: list[str], purpose: str) -> MissingPackageError:
    several = len(packages) > 1
    named = ", ".join(packages[:-1]) + (" and " if several else "") + packages[-1]
    what = f"the package{'s' * several} {named}, which {'are' if several else 'is'} not installed"
    remedy = f"'jaxuq[{','.join(extras)}]'" if extras else named
    return MissingPackageError(f"{purpose} needs {what}: pip install {remedy}", name=packages[0])
