"""Every reader of what users bring: its small valid files, and how they are read. A public reader that is missing here
fails `tests/test_soak.py`."""

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator

import jaxuq
from readers import answers, extraction, kept, models, molecules, questions, serving, tags
from readers.files import Reader

READERS: dict[str, Reader] = {
    name: one
    for room in (molecules, tags, questions, answers, extraction, models, kept, serving)
    for name, one in room.READERS.items()
}
"""By name, as the page shows them."""

NOT_READERS = {
    "read_compiled": "what XLA compiled in this process",
    "load_molecules": "data sets by name, in the package or checked against their digests",
    "load_checkpoint": "folders of orbax, which reads them; what it says is turned into one error by tests/training",
    "read_resamples": "resamples of a run's own folder, made again where they are damaged (tests/study/test_faults.py)",
    "combine_math": "published sets, by `read_published`",
    "open_run": "a run's own folder, by `read_run`",
}
"""Public names that look like readers, and why they have no row."""
_NAMES = re.compile(r"(read|load|parse|open|inspect|find|replay|schema_of)_")


def public_readers() -> Iterator[str]:
    """Public functions that by their name, or by a path among their first arguments, read what a user brings."""
    for info in pkgutil.walk_packages(jaxuq.__path__, "jaxuq."):
        if not info.ispkg:
            continue
        room = importlib.import_module(info.name)
        for name in getattr(room, "__all__", ()):
            made = getattr(room, name)
            if callable(made) and not inspect.isclass(made) and _NAMES.match(name):
                yield name
