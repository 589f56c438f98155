"""Public checkpoints of molecular backbones: every tensor accounted for, nothing run, and mistakes said clearly."""

import hashlib
import json

import jax
import numpy as np
import pytest

from jaxuq.checkpoints import CheckpointError, convert_backbone, load_backbone, read_torch_file
from jaxuq.checkpoints.grover import grover_config, grover_places, read_grover
from jaxuq.checkpoints.torchmdnet import read_torchmdnet, torchmdnet_config, torchmdnet_places
from jaxuq.checkpoints.unimol import UNIMOL_UNUSED, unimol_places
from jaxuq.networks import GroverConfig, TorchMDNetConfig, UniMolConfig
from tests.checkpoints.torch_writer import write_torch
from tests.networks.golden_backbones import GOLDEN

_TINY = UniMolConfig(vocab_size=31, width=8, intermediate_size=6, num_layers=2, num_heads=2, num_kernels=3)


def _size(places):
    return sum(int(np.prod(place.shape)) for place in places.values())


def test_the_tables_have_as_many_numbers_as_the_published_models():
    unimol = unimol_places(UniMolConfig())
    assert _size(unimol) == 47_330_626
    unused = {  # the rest of the published file: heads of pre-training
        "lm_head": 512 * 512 + 512 + 2 * 512 + 31 * 512 + 31,
        "pair2coord_proj": 64 * 64 + 64 + 64 + 1,
        "dist_head": 64 * 64 + 64 + 2 * 64 + 64 + 1,
        "encoder.final_head_layer_norm": 2 * 64,
    }
    assert _size(unimol) + sum(unused.values()) == 47_618_915
    assert {f"{name}." for name in unused} == set(UNIMOL_UNUSED)
    assert _size(torchmdnet_places(TorchMDNetConfig())) == 6_520_064 + 2 * (295_424 + 49_666)
    assert _size(grover_places(GroverConfig())) == 48_388_832


def _unimol_tensors():
    rng = np.random.default_rng(0)
    tensors = {name: rng.normal(size=place.shape) for name, place in unimol_places(_TINY).items()}
    return tensors | {"lm_head.bias": np.zeros(31), "encoder.final_head_layer_norm.weight": np.ones(2)}


def test_numbers_arrive_where_the_table_says_and_the_file_is_named_by_its_hash(tmp_path):
    tensors = _unimol_tensors()
    path = write_torch(tmp_path / "mol_pre_all_h.pt", {"model": tensors, "args": {"seed": 1, "lr": 0.5}})
    loaded = convert_backbone("unimol", path, tmp_path / "folder")
    assert loaded.config == _TINY and loaded.kind == "unimol" and loaded.source == "mol_pre_all_h.pt"
    assert loaded.source_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    fc1 = tensors["encoder.layers.1.fc1.weight"].astype(np.float32)
    np.testing.assert_array_equal(loaded.params["layers"]["up"]["kernel"][1], fc1.T)
    np.testing.assert_array_equal(loaded.params["pairs"]["scale"], tensors["gbf.mul.weight"].astype(np.float32)[:, 0])
    again = load_backbone(tmp_path / "folder")
    assert again.digest == loaded.digest
    jax.tree.map(np.testing.assert_array_equal, again.params, loaded.params)


def test_both_formats_of_pytorch_are_read_and_objects_stay_data():
    zipped, plain = read_torch_file(GOLDEN / "unimol.pt"), read_torch_file(GOLDEN / "grover.pt")
    assert zipped.settings("args") == {"arch": "unimol", "encoder_layers": 2, "seed": 1}
    settings = plain.settings("args")
    assert settings["depth"] == 4 and settings["activation"] == "PReLU" and settings["bias"] is False
    assert plain.tensors("state_dict")["grover.encoders.node_blocks.0.W_i.weight"].shape == (8, 151)
    slope = plain.tensors("state_dict")["grover.encoders.act_func_node.weight"].read()
    assert slope.dtype == np.float32 and slope.shape == (1,) and abs(slope[0]) < 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"encoder.layers.0.fc1.bias": None}, r"1 missing \(encoder.layers.0.fc1.bias\)"),
        ({"encoder.relative.weight": np.ones(3)}, r"1 unexpected \(encoder.relative.weight\)"),
        ({"encoder.layers.1.fc2.weight": np.ones((8, 5))}, r"is \[8, 5\], expected \[8, 6\]"),
        ({"gbf.means.weight": np.full((1, 3), np.nan)}, "holds NaN"),
        ({"gbf.means.weight": None, "other": np.ones(2)}, "it is of an unknown architecture"),
    ],
)
def test_tensors_that_do_not_fit_are_named(change, message, tmp_path):
    tensors = {name: value for name, value in (_unimol_tensors() | change).items() if value is not None}
    path = write_torch(tmp_path / "file.pt", {"model": tensors})
    with pytest.raises(CheckpointError, match=message):
        convert_backbone("unimol", path, tmp_path / "folder")
    assert not (tmp_path / "folder").exists()


def test_another_architecture_is_recognised(tmp_path):
    with pytest.raises(CheckpointError, match="it looks like one of grover: use --kind grover"):
        convert_backbone("torchmdnet", GOLDEN / "grover.pt", tmp_path / "folder")
    with pytest.raises(CheckpointError, match="kind is 'gin'; expected one of unimol, torchmdnet, grover"):
        convert_backbone("gin", GOLDEN / "grover.pt", tmp_path / "folder")


@pytest.mark.parametrize("name", ["unimol", "grover"])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.05, 0.5, 0.999])
def test_a_file_cut_short_is_recognised_wherever_it_ends(name, share, tmp_path):
    whole = (GOLDEN / f"{name}.pt").read_bytes()
    path = tmp_path / "cut.pt"
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(CheckpointError, match=r"cut.pt .*(cut short|damaged|does not begin)"):
        convert_backbone(name, path, tmp_path / "folder")


def test_nothing_in_a_file_is_run_and_no_tensor_reaches_beyond_its_storage(tmp_path):
    call = b"cos\nsystem\n(X" + b"\x0f\0\0\0" + b"touch /dev/null" + b"tR"
    path = write_torch(tmp_path / "file.pt", {"model": {"weight": np.ones(3)}}, extra=call)
    record = read_torch_file(path).content["extra"]
    assert (record.name, record.arguments) == (("os", "system"), ("touch /dev/null",))
    path = write_torch(tmp_path / "long.pt", {"model": {"weight": np.ones((3, 2))}}, lie=5)
    with pytest.raises(CheckpointError, match=r"weight in .* needs 16 numbers, 6 are there"):
        read_torch_file(path).tensors("model")["weight"].read()
    (tmp_path / "page.pt").write_text("<html>not found</html>")
    with pytest.raises(CheckpointError, match=r"page.pt cannot be read as a PyTorch file"):
        read_torch_file(tmp_path / "page.pt")


def test_variants_that_are_not_supported_are_named(tmp_path):
    base = read_torch_file(GOLDEN / "grover.pt").settings("args")
    for change, message in (({"dense": True}, "dense True; supported is False"), ({"num_mt_block": 2}, "num_mt_block")):
        with pytest.raises(CheckpointError, match=message):
            grover_config(base | change, tmp_path)
    hyper = read_torch_file(GOLDEN / "torchmdnet.pt").settings("hyper_parameters")
    assert torchmdnet_config(hyper | {"layernorm_on_vec": None}, tmp_path).vector_norm == "none"
    for change, message in (({"rbf_type": "gauss"}, "rbf_type 'gauss'"), ({"embedding_dimension": 15}, "width is 15")):
        with pytest.raises(CheckpointError, match=message):
            torchmdnet_config(hyper | change, tmp_path)


@pytest.mark.parametrize("head", ["mol_atom_from_atom_ffn.1.weight", "mol_atom_from_bond_ffn.4.bias", "readout.W1"])
def test_the_trained_heads_of_a_fine_tuned_grover_are_not_dropped_in_silence(head):
    file = read_torch_file(GOLDEN / "grover.pt")
    tensors = file.content["state_dict"]
    tensors[head] = tensors["grover.encoders.act_func_node.weight"]
    with pytest.raises(CheckpointError, match=rf"grover.pt is of a fine-tuned model: its trained heads \({head}\)"):
        read_grover(file)


def test_the_trained_heads_of_a_fine_tuned_unimol_are_named(tmp_path):
    tensors = _unimol_tensors() | {"classification_heads.esol.dense.weight": np.ones((8, 8))}
    path = write_torch(tmp_path / "tuned.pt", {"model": tensors})
    with pytest.raises(CheckpointError, match=r"trained heads \(classification_heads.esol.dense.weight\)"):
        convert_backbone("unimol", path, tmp_path / "folder")


def test_an_entry_that_is_missing_is_named(tmp_path):
    path = write_torch(tmp_path / "bare.pt", _unimol_tensors())
    with pytest.raises(CheckpointError, match=r"holds the tensors of unimol themselves, and has no entry 'model'"):
        convert_backbone("unimol", path, tmp_path / "folder")


def test_a_normalisation_of_which_the_settings_do_not_tell_is_named():
    file = read_torch_file(GOLDEN / "torchmdnet.pt")
    assert file.content["hyper_parameters"].pop("layernorm_on_vec") == "whitened"
    with pytest.raises(CheckpointError, match=r"lack layernorm_on_vec, .* its tensor .*out_norm_vec.weight"):
        read_torchmdnet(file)
    name = next(name for name in file.content["state_dict"] if name.endswith("out_norm_vec.weight"))
    del file.content["state_dict"][name]
    assert read_torchmdnet(file)[0].vector_norm == "none"


def test_a_converted_folder_that_was_changed_is_refused(tmp_path):
    convert_backbone("unimol", GOLDEN / "unimol.pt", tmp_path / "folder")
    with pytest.raises(CheckpointError, match="exists already"):
        convert_backbone("unimol", GOLDEN / "unimol.pt", tmp_path / "folder")
    with pytest.raises(CheckpointError, match=r"is a file, not a folder; make one .*--kind unimol"):
        load_backbone(GOLDEN / "unimol.pt")
    path = tmp_path / "folder" / "config.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"architecture": "llama"}))
    with pytest.raises(CheckpointError, match="its architecture is 'llama', expected one of unimol"):
        load_backbone(tmp_path / "folder")


def _change_one_number(tensors):
    name = min(tensors)
    tensors[name] = tensors[name].copy()
    tensors[name].flat[0] += 1e-3


def _rename(tensors):
    tensors["stranger"] = tensors.pop(min(tensors))


@pytest.mark.parametrize("kind", ["unimol", "torchmdnet", "grover", "dmpnn"])
def test_weights_and_settings_that_were_changed_after_conversion_are_refused(kind, tmp_path):
    """A tensor that is absent would start at random, and one of another shape end in flax's own error."""
    from safetensors.numpy import load_file, save_file

    dmpnn = GOLDEN.parents[1] / "checkpoints" / "golden" / "dmpnn_classification.pt"
    source = dmpnn if kind == "dmpnn" else GOLDEN / f"{kind}.pt"
    loaded = convert_backbone(kind, source, tmp_path / "folder")
    config, weights = tmp_path / "folder" / "config.json", tmp_path / "folder" / "model.safetensors"
    content, tensors = json.loads(config.read_text()), load_file(weights)
    assert load_backbone(tmp_path / "folder").digest == loaded.digest == content["digest"]
    message = rf"folder does not .* convert it again, `jaxuq models convert --kind {kind} {source.name} NEW_FOLDER`"
    for change in (lambda some: some.pop(min(some)), _change_one_number, _rename):
        changed = dict(tensors)
        change(changed)
        save_file(changed, weights)
        with pytest.raises(CheckpointError, match=message):
            load_backbone(tmp_path / "folder")
    save_file(tensors, weights)
    field, value = next((name, value) for name, value in content["config"].items() if type(value) is int)
    for other in (
        content | {"config": content["config"] | {field: 2 * value}},
        {name: part for name, part in content.items() if name != "digest"},
    ):
        config.write_text(json.dumps(other))
        with pytest.raises(CheckpointError, match=message):
            load_backbone(tmp_path / "folder")
