"""D-MPNN checkpoints of chemprop 2: chemprop's own predictions, every setting used or refused, nothing run."""

import copy
import dataclasses
import pathlib
import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxuq.checkpoints import BACKBONE_WEIGHTS, CheckpointError, convert_backbone, fetch_packaged, read_torch_file
from jaxuq.checkpoints.dmpnn import dmpnn_places, read_dmpnn
from jaxuq.checkpoints.torch_pickle import Name, Record
from jaxuq.molecules import molecular_graphs
from jaxuq.networks import DMPNN, DMPNNConfig, DMPNNOutputs, apply_function
from tests.checkpoints.mutations import WRONG

GOLDEN = pathlib.Path(__file__).parent / "golden"
STORED = np.load(GOLDEN / "dmpnn.npz")
FILES = {path.stem.removeprefix("dmpnn_"): path for path in sorted(GOLDEN.glob("dmpnn_*"))}
FEW = ("regression", "classification", "multiclass", "foundation")


@pytest.fixture(scope="module")
def graphs():
    found = molecular_graphs(STORED["smiles"].tolist(), "chemprop", hydrogens=False, cache=False)
    return jax.tree.map(jnp.asarray, found.replace(atom_spread=None, edge_spread=None))


def _predict(config, params, graphs):
    outputs = config.outputs
    module = DMPNN(1 if outputs is None else outputs.width, config)
    inputs = (graphs, jnp.asarray(STORED["descriptors"])) if config.num_descriptors else graphs
    if outputs is not None:
        return jax.jit(apply_function(module, method="predictions"))(params, inputs)
    return jax.jit(apply_function(module, method="features"))(params, inputs)


@pytest.mark.parametrize("name", [one if one in FEW else pytest.param(one, marks=pytest.mark.long) for one in FILES])
def test_predictions_are_chemprops_own(name, graphs, tmp_path):
    """All kinds of prediction, features, aggregations, activations, with descriptors, normalisation and scalers."""
    loaded = convert_backbone("dmpnn", FILES[name], tmp_path / "folder")
    np.testing.assert_allclose(_predict(loaded.config, loaded.params, graphs), STORED[name], rtol=1e-5, atol=1e-6)


def test_outputs_of_each_kind_are_read_as_chemprop_reads_them(graphs):
    """The layers before are those of the files above; here only the last one's numbers go in."""
    for name, path in FILES.items():
        config, params = read_dmpnn(read_torch_file(path))
        if config.outputs is not None:
            assert config.outputs.width == params["output"]["bias"].size
            shape = jax.eval_shape(config.outputs.read, jnp.zeros((20, config.outputs.width))).shape
            assert shape == STORED[name].shape


def test_the_configuration_says_what_the_file_does():
    config, _ = read_dmpnn(read_torch_file(FILES["classification"]))
    assert config == DMPNNConfig(
        4, 3, 0.0, "v1", "prelu", bias=True, undirected=True, aggregation="mean", hidden=(5, 5),
        head_activation="prelu", head_dropout_rate=0.0,
        outputs=DMPNNOutputs("classification", ("task 0", "task 1", "task 2")),
    )  # fmt: skip
    config, _ = read_dmpnn(read_torch_file(FILES["regression"]))
    assert (config.outputs.mean, config.outputs.scale) == ((3.0, -50.0), (2.0, 7.0))
    np.testing.assert_allclose(config.descriptor_mean, STORED["descriptors"].mean(0), rtol=1e-5)
    config, params = read_dmpnn(read_torch_file(FILES["foundation"]))
    assert (config.aggregation, config.hidden, config.outputs, config.depth) == ("mean", (), None, 5)
    assert set(params) == {"begin", "step", "end"}


def test_tables_have_as_many_numbers_as_the_published_models():
    def size(config, **options):
        return sum(int(np.prod(place.shape)) for place in dmpnn_places(config, **options).values())

    assert size(DMPNNConfig(outputs=DMPNNOutputs("regression", ("one",)))) == 318_301
    chemeleon = DMPNNConfig(width=2048, depth=6, aggregation="mean", hidden=())
    assert size(chemeleon, foundation=True) == 86 * 2048 + 2048**2 + (72 + 2048 + 1) * 2048


@pytest.mark.weights
@pytest.mark.parametrize("kind", ["classification", "regression"])
def test_admet_ais_ensembles_predict_as_in_chemprop(kind, graphs, tmp_path):
    """Ten trained networks; see the script beside the golden file."""
    stored = np.load(GOLDEN / "admet.npz")
    try:
        first = fetch_packaged(BACKBONE_WEIGHTS[f"admet-{kind}"])
    except CheckpointError as error:
        pytest.skip(f"the weights cannot be had: {error}")
    files = [first.with_name(f"model_{member}.pt") for member in range(5)]
    loaded = [convert_backbone("dmpnn", file, tmp_path / file.stem) for file in files]
    network = DMPNN(loaded[0].config.outputs.width, dataclasses.replace(loaded[0].config, outputs=None))
    infer = jax.jit(apply_function(network))
    for one, expected in zip(loaded, stored[kind]):
        assert dataclasses.replace(one.config, outputs=None) == network.config
        assert list(one.config.outputs.tasks) == stored[f"{kind}_tasks"].tolist()
        predicted = one.config.outputs.read(infer(one.params, graphs))
        np.testing.assert_allclose(predicted, expected, rtol=1e-5, atol=1e-4)


def _changed(name, place, value):
    """A file of chemprop with one setting changed; None takes it out."""
    file = read_torch_file(FILES[name])
    part = file.content["hyper_parameters"]
    *outer, last = place.split(".")
    for key in outer:
        part = part.state if isinstance(part, Record) else part
        part = part[key]
    part = part.state if isinstance(part, Record) else part
    part[last] = value
    return file


@pytest.mark.parametrize(
    ("name", "place", "value", "message"),
    [
        ("regression", "message_passing.cls", Name("chemprop", "AtomMessagePassing"), "class AtomMessagePassing; supp"),
        ("regression", "message_passing.d_v", 106, "d_v 106 and d_e 14, .* v2 72 and 14, v1 133 and 14"),
        ("regression", "message_passing.d_h", 5, r"is \[4, 86\], expected \[5, 86\]"),
        ("regression", "message_passing.d_h", 8, "input_dim below d_h, 8"),
        ("regression", "message_passing.d_vd", 3, "d_vd is '3': descriptors of atoms are not supported"),
        ("regression", "message_passing.depth", 2**30, "depth is 1073741824, larger than any model's"),
        ("regression", "message_passing.bias", True, r"2 missing \(message_passing.W_i.bias, message_passing.W_h.bias"),
        ("regression", "message_passing.activation", "softsign", "activation is 'softsign'; expected one of 'relu'"),
        ("regression", "message_passing.activation", Record(Name("os", "system"), ("rm",)), "activation is system; "),
        ("regression", "message_passing.graph_transform", Record(Name("x", "GraphTransform"), ()), "graph_transform"),
        ("regression", "message_passing.norming", 1, "says norming, which this reader does not know"),
        ("regression", "agg.cls", Name("chemprop.nn.agg", "AttentiveAggregation"), "class AttentiveAggregation"),
        ("regression", "agg.norm", 0.0, "norm is 0.0; expected a finite number"),
        ("regression", "predictor.cls", Name("chemprop.nn", "SpectralFFN"), "class SpectralFFN; supported are Regr"),
        ("regression", "predictor.n_layers", 2**31 - 1, "n_layers is 2147483647, larger"),
        ("regression", "predictor.n_layers", 2, r"missing \(predictor.ffn.2.2.weight"),
        ("regression", "predictor.output_transform", None, "unexpected .*predictor.output_transform.mean"),
        ("regression", "predictor.n_tasks", 3, "output_columns that are not the names of its 3 tasks"),
        ("regression", "X_d_transform", None, "unexpected .*X_d_transform.mean"),
        ("regression", "batch_norm", False, "unexpected .*bn.weight"),
        ("regression", "atom_predictor", {}, "says atom_predictor, which this reader does not know"),
        ("regression", "message_passing", None, "lacks 'message_passing'"),
        ("foundation", "d_e", None, "lacks 'd_e'"),
        ("foundation", "undirected", 1, "has a int as 'undirected', expected bool"),
    ],
)  # fmt: skip
def test_settings_are_used_or_refused_by_name(name, place, value, message):
    with pytest.raises(CheckpointError, match=message):
        read_dmpnn(_changed(name, place, value))


def test_a_module_of_another_slope_is_refused():
    module = Record(Name("torch.nn.modules.activation", "LeakyReLU"), ())
    module.state = {"negative_slope": 0.01}
    with pytest.raises(CheckpointError, match=r"activation is LeakyReLU with negative_slope 0.01; supported are"):
        read_dmpnn(_changed("regression", "message_passing.activation", module))


def test_settings_of_any_value_give_a_model_or_one_error():
    rng, refused = np.random.default_rng(5), 0
    whole = {name: read_torch_file(FILES[name]) for name in FEW}

    def places(holder):
        holder = holder.state if isinstance(holder, Record) else holder
        for key, value in holder.items() if isinstance(holder, dict) else ():
            yield holder, key
            yield from places(value)

    for number in range(400):
        file = whole[FEW[number % len(FEW)]]
        content = {**file.content, "hyper_parameters": copy.deepcopy(file.content["hyper_parameters"])}
        holder, key = (found := list(places(content["hyper_parameters"])))[int(rng.integers(len(found)))]
        holder[key] = copy.deepcopy(WRONG[int(rng.integers(len(WRONG)))])
        try:
            read_dmpnn(file._replace(content=content))
        except CheckpointError as error:
            assert str(file.path) in str(error)
            refused += 1
    assert refused > 100


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_a_file_cut_short_is_recognised_wherever_it_ends(share, tmp_path):
    whole = FILES["regression"].read_bytes()
    (tmp_path / "cut.pt").write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(CheckpointError, match=r"cut.pt .*(cut short|damaged|does not begin)"):
        convert_backbone("dmpnn", tmp_path / "cut.pt", tmp_path / "folder")


def test_a_class_that_would_run_is_data_and_refused(tmp_path):
    with zipfile.ZipFile(FILES["regression"]) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    (pickle,) = [name for name in members if name.endswith("data.pkl")]
    aggregation = b"cchemprop.nn.agg\nNormAggregation\n"
    touched = tmp_path / "touched"
    call = b"cos\nsystem\n(X" + bytes([len(str(touched)) + 6, 0, 0, 0]) + f"touch {touched}".encode() + b"tR"
    for harm, said in ((b"cposix\nsystem\n", "class system; supported are Norm"), (call, "class <jaxuq")):
        assert members[pickle].count(aggregation) == 1
        with zipfile.ZipFile(tmp_path / "harm.pt", "w") as archive:
            for name, content in members.items():
                archive.writestr(name, content.replace(aggregation, harm) if name == pickle else content)
        with pytest.raises(CheckpointError, match=said):
            convert_backbone("dmpnn", tmp_path / "harm.pt", tmp_path / "folder")
    assert not touched.exists()
    assert not (tmp_path / "folder").exists()


def test_other_models_of_chemprop_are_known(tmp_path):
    from tests.checkpoints.torch_writer import write_torch

    old = write_torch(tmp_path / "old.pt", {"state_dict": {"encoder.encoder.0.W_i.weight": np.ones((2, 3))}})
    with pytest.raises(CheckpointError, match="it is a model of chemprop 1, which `chemprop convert` turns into"):
        convert_backbone("dmpnn", old, tmp_path / "folder")
    bare = write_torch(tmp_path / "bare.pt", {"message_passing.W_i.weight": np.ones((2, 3))})
    with pytest.raises(CheckpointError, match="holds the tensors of dmpnn themselves, and has no entry 'state_dict'"):
        convert_backbone("dmpnn", bare, tmp_path / "folder")
    with pytest.raises(CheckpointError, match="it looks like one of dmpnn: use --kind dmpnn"):
        convert_backbone("grover", FILES["training"], tmp_path / "folder")
