"""Tests never touch the user's cache, and see no data folder unless they ask for it."""

import os
import pathlib

import pytest

_DATA = os.environ.get("JAXUQ_DATA")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXUQ_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("JAXUQ_DATA", raising=False)


@pytest.fixture
def data_folder(monkeypatch):
    """The folder JAXUQ_DATA, for tests marked `data`."""
    assert _DATA, "tests marked `data` need the environment variable JAXUQ_DATA; leave them out with -m 'not data'"
    monkeypatch.setenv("JAXUQ_DATA", _DATA)
    return pathlib.Path(_DATA)


@pytest.fixture
def write(tmp_path):
    """Writes a file of the user's, text or bytes, and gives its path."""

    def write(text, name="mine.csv"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write
