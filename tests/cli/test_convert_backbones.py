"""`jaxuq models convert --kind`: what its users see."""

import hashlib

import pytest

from jaxuq.checkpoints import load_backbone
from jaxuq.cli import main
from tests.networks.golden_backbones import GOLDEN

SOURCES = {kind: GOLDEN / f"{kind}.pt" for kind in ("unimol", "torchmdnet", "grover")}
SOURCES["dmpnn"] = GOLDEN.parents[1] / "checkpoints" / "golden" / "dmpnn_classification.pt"


@pytest.mark.parametrize("kind", SOURCES)
def test_a_public_checkpoint_becomes_a_folder_and_its_hash_is_shown(kind, capsys, tmp_path):
    source = SOURCES[kind]
    main(["models", "convert", "--kind", kind, str(source), str(tmp_path / "folder")])
    shown = capsys.readouterr().out
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    assert f"parameters of {kind}" in shown and digest in shown.replace("\n", "")
    loaded = load_backbone(tmp_path / "folder")
    assert (loaded.kind, loaded.source_sha256) == (kind, digest)


def test_a_mistake_is_one_line_and_code_two(capsys, tmp_path):
    (tmp_path / "cut.pt").write_bytes((GOLDEN / "unimol.pt").read_bytes()[:5000])
    for file, message in ((GOLDEN / "grover.pt", "use --kind grover"), (tmp_path / "cut.pt", "cut short")):
        with pytest.raises(SystemExit) as stopped:
            main(["models", "convert", "--kind", "unimol", str(file), str(tmp_path / "folder")])
        error = capsys.readouterr().err
        assert stopped.value.code == 2 and error.startswith("jaxuq: ") and error.count("\n") == 1 and message in error
