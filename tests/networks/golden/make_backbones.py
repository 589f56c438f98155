"""Make the golden files of Uni-Mol, TorchMD-NET and GROVER: tiny random models of MUBen's code and what they compute.

    python tests/networks/golden/make_backbones.py [unimol] [torchmdnet] [grover]

Needs PyTorch, torch_geometric and the benchmark's package, `muben==0.0.2` (without its dependencies), and RDKit. Two
functions of compiled companions of torch_geometric are written out below, slowly: `scatter` and `radius_graph`.

Each `<name>.pt` is a checkpoint packed as the public one is. Each `<name>.npz` holds inputs (`input:`), tensors of the
head that fine-tuning adds (`head:`), outputs (`output:`), and by the checkpoint's names the gradients (`gradient:`) of
the sum of outputs times `weights:`.
"""

import argparse
import importlib
import pathlib
import sys
import types

import numpy as np
import torch

FOLDER = pathlib.Path(__file__).parent


def scatter(values, index, dim=0, dim_size=None, reduce="add"):
    """Sum rows of `values` by `index`."""
    assert dim == 0 and reduce in ("add", "sum")
    size = int(index.max()) + 1 if dim_size is None else dim_size
    return torch.zeros(size, *values.shape[1:], dtype=values.dtype).index_add(0, index, values)


def radius_graph(positions, r, batch, loop, max_num_neighbors):
    """All ordered pairs nearer than `r`; nothing is left out, so the cap must not matter."""
    near = (positions[:, None] - positions[None]).norm(dim=-1) < r
    near &= batch[:, None] == batch[None]
    assert loop and near.sum(1).max() <= max_num_neighbors
    centre, neighbor = near.nonzero(as_tuple=True)
    return torch.stack([neighbor, centre])


def muben(name):
    """A module of the benchmark's package, without running its `__init__` files, which import all of it."""
    root = pathlib.Path(importlib.util.find_spec("muben").submodule_search_locations[0])
    importlib.import_module("torch_geometric.nn")  # before its companions seem to be there
    folders = ("model", "dataset", "model.torchmdnet", "model.grover", "model.unimol", "dataset.dataset_grover")
    for parent in (f"muben.{folder}" for folder in folders):
        if parent not in sys.modules:
            package = types.ModuleType(parent)
            package.__path__ = [str(root.joinpath(*parent.split(".")[1:]))]
            sys.modules[parent] = package
    for missing, function in (("torch_scatter", scatter), ("torch_cluster", radius_graph)):
        sys.modules[missing] = types.ModuleType(missing)
        setattr(sys.modules[missing], function.__name__, function)
    sys.modules["muben.layers"] = types.ModuleType("muben.layers")
    sys.modules["muben.layers"].OutputLayer = OutputLayer
    if "muben.dataset.dataset" not in sys.modules:  # only its `Batch` is needed, as a base class
        stand_in = types.ModuleType("muben.dataset.dataset")
        stand_in.Batch = type("Batch", (), {"_register_tensor_members": lambda self, name, value: None})
        sys.modules["muben.dataset.dataset"] = stand_in
    return importlib.import_module(f"muben.{name}")


class OutputLayer(torch.nn.Module):
    """The benchmark's output layer of a Gaussian or Bernoulli likelihood: one linear layer."""

    def __init__(self, width, outputs, *_, **__):
        super().__init__()
        self.output_layer = torch.nn.Linear(width, outputs)

    def initialize(self):
        return self

    def forward(self, x):
        return self.output_layer(x)


class Settings(argparse.Namespace):
    """Arguments that are also items."""

    def __getitem__(self, name):
        return getattr(self, name)


def perturb(model, scale):
    """Random numbers in every parameter, norms and biases too, so that none could be left out unnoticed."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(scale * torch.randn_like(parameter))


def store(name, model, state, head, inputs, outputs, checkpoint, legacy=False):
    """Write both files; the gradients are of the weighted sum of all outputs that are given weights."""
    weights = {key: torch.randn_like(value) for key, value in outputs.items() if value.requires_grad}
    model.zero_grad()
    sum((weights[key] * outputs[key]).sum() for key in weights).backward()
    gradients = {key: p.grad for key, p in model.named_parameters() if p.grad is not None}
    arrays = {f"input:{key}": np.asarray(value) for key, value in inputs.items()}
    arrays |= {f"head:{key}": value.detach().numpy() for key, value in state.items() if key.startswith(head)}
    arrays |= {f"output:{key}": value.detach().numpy() for key, value in outputs.items()}
    arrays |= {f"weights:{key}": value.numpy() for key, value in weights.items()}
    arrays |= {f"gradient:{key}": value.numpy() for key, value in gradients.items()}
    np.savez_compressed(FOLDER / f"{name}.npz", **arrays)
    torch.save(checkpoint, FOLDER / f"{name}.pt", _use_new_zipfile_serialization=not legacy)
    print(name, [(path.name, path.stat().st_size) for path in sorted(FOLDER.glob(f"{name}.*"))])


def make_unimol():
    """Two conformers of two molecules, the second one padded."""
    torch.manual_seed(0)
    module, parts = muben("model.unimol.unimol"), muben("model.unimol.module")
    tokens = torch.tensor([[1, 4, 6, 4, 5, 3, 2], [1, 10, 4, 9, 2, 0, 0]])
    real = tokens.gt(2) | tokens.eq(3)

    class Dictionary:
        pad = staticmethod(lambda: 0)
        __len__ = lambda self: 31  # noqa: E731

    settings = Settings(
        encoder_layers=2, encoder_embed_dim=16, encoder_ffn_embed_dim=24, encoder_attention_heads=4, emb_dropout=0.1,
        dropout=0.1, attention_dropout=0.1, activation_dropout=0.0, pooler_dropout=0.1, max_seq_len=512,
        activation_fn="gelu", pooler_activation_fn="Tanh", delta_pair_repr_norm_loss=1.0, masked_coord_loss=1.0,
        masked_dist_loss=1.0, n_lbs=2, n_tasks=1, uncertainty_method="none", task_type="regression",
        bbp_prior_sigma=0.1, disable_checkpoint_loading=True,
    )  # fmt: skip
    model = module.UniMol(settings, Dictionary())
    model.gbf, model.gbf_proj = parts.GaussianLayer(8, 31**2), parts.NonLinearHead(8, 4, "gelu")
    perturb(model, 0.2)
    model.eval()
    coordinates = torch.where(real[:, None, :, None], torch.randn(2, 2, 7, 3) * 2, torch.zeros(()))
    distances = (coordinates[:, :, :, None] - coordinates[:, :, None]).norm(dim=-1)
    types_ = tokens[:, :, None] * 31 + tokens[:, None]
    padding = tokens.eq(0)
    pairs = ~(padding[:, :, None] | padding[:, None])
    outputs = []
    for conformer in range(2):
        batch = Settings(
            atoms=tokens, distances=distances[:, conformer] * pairs, edge_types=torch.where(pairs, types_, 0)
        )
        outputs.append(model(batch))
    state = model.state_dict()
    head = ("hidden_layer", "output_layer")
    stored = {key: value for key, value in state.items() if not key.startswith(head)}
    stored |= {
        "lm_head.dense.weight": torch.zeros(16, 16), "lm_head.dense.bias": torch.zeros(16),
        "lm_head.layer_norm.weight": torch.ones(16), "lm_head.layer_norm.bias": torch.zeros(16),
        "lm_head.weight": state["embed_tokens.weight"], "lm_head.bias": torch.zeros(31),
    }  # fmt: skip
    checkpoint = {
        "args": argparse.Namespace(arch="unimol", encoder_layers=2, seed=1),
        "model": stored,
        "extra_state": {"epoch": 3, "val_loss": 0.5},
    }
    inputs = {"tokens": tokens, "coordinates": coordinates}
    results = {"conformers": torch.stack(outputs, 1)}
    store("unimol", model, state, head, inputs, results, checkpoint)


def make_torchmdnet():
    """Two molecules; vectors with the whitening as published, without, and with a multiple of the identity."""
    torch.manual_seed(1)
    module, et = muben("model.torchmdnet.torchmdnet"), muben("model.torchmdnet.et")
    hyper = {
        "model": "equivariant-transformer", "embedding_dimension": 16, "num_layers": 2, "num_rbf": 8, "num_heads": 2,
        "rbf_type": "expnorm", "trainable_rbf": False, "activation": "silu", "attn_activation": "silu",
        "neighbor_embedding": True, "distance_influence": "both", "cutoff_lower": 0.0, "cutoff_upper": 5.0,
        "max_z": 100, "max_num_neighbors": 32, "layernorm_on_vec": "whitened", "seed": 1, "lr": 4e-4,
    }  # fmt: skip
    settings = Settings(
        **hyper, dropout=0.1, n_lbs=2, n_tasks=1, uncertainty_method="none", task_type="regression",
        bbp_prior_sigma=0.1, checkpoint_path="unused",
    )  # fmt: skip
    module.torch = types.SimpleNamespace(**vars(torch) | {"load": lambda *_, **__: {"state_dict": {}}})
    model = module.TorchMDNET(settings)
    perturb(model, 0.1)
    model.eval()
    numbers = torch.tensor([6, 8, 1, 1, 1, 1, 7, 1, 1, 1])
    positions = torch.randn(10, 3) * 1.5
    positions[6:] += 40.0
    positions[5] = positions[0] + torch.tensor([0.0, 0.0, 7.0])  # out of reach of some
    molecules = torch.tensor([0] * 6 + [1] * 4)
    published = et.EquivariantLayerNorm.forward

    def isotropic(self, inputs):
        centred = self.mean_center(inputs.double())
        covariance = self.covariance(centred) + 2e-5 * torch.eye(3, dtype=torch.float64)
        return (self.symsqrtinv(covariance) @ centred).float() * self.weight.reshape(1, 1, -1)

    def compute(whitening):
        et.EquivariantLayerNorm.forward = whitening
        out = model(Settings(atoms=numbers, coords=positions, mol_ids=molecules))
        x, vectors, *_ = model.representation_model(numbers, positions, batch=molecules)
        noise = model.output_model_noise.pre_reduce(x, vectors, numbers, positions, molecules)
        first, second = model.output_model.output_network
        energy = scatter(second(*first(x, vectors))[0], molecules)
        return out, noise, energy[:, 0]

    outputs = {}
    with torch.no_grad():
        for name, form in (("isotropic", isotropic), ("none", lambda self, inputs: inputs)):
            outputs |= dict(zip((f"{name}-out", f"{name}-noise", f"{name}-energy"), compute(form)))
    outputs |= dict(zip(("published-out", "published-noise", "published-energy"), compute(published)))
    state = model.state_dict()
    head = ("linear.", "output_layer.")
    stored = {f"model.{key}": value for key, value in state.items() if not key.startswith(head)}
    stored |= {
        "model.pos_normalizer.acc_sum": torch.zeros(3), "model.pos_normalizer.acc_squared_sum": torch.ones(3),
        "model.pos_normalizer.acc_count": torch.ones(1), "model.pos_normalizer.num_accumulations": torch.ones(1),
        "model.mean": torch.tensor(0.0), "model.std": torch.tensor(1.0),
    }  # fmt: skip
    checkpoint = {
        "epoch": 1, "global_step": 400000, "pytorch-lightning_version": "1.3.8", "state_dict": stored,
        "hyper_parameters": hyper, "callbacks": {}, "optimizer_states": [], "lr_schedulers": [],
    }  # fmt: skip
    inputs = {"numbers": numbers, "positions": positions, "molecules": molecules}
    store("torchmdnet", model, state, head, inputs, outputs, checkpoint)


def make_grover():
    """A batch of molecules by the original's own featuriser, with its padding row and with that row kept at zero."""
    torch.manual_seed(2)
    graphs, layers, module = (
        muben(name) for name in ("dataset.dataset_grover.molgraph", "model.grover.layers", "model.grover.model")
    )
    smiles = ["CC(=O)[O-]", "C[N+](C)(C)C", "C", "F/C=C\\[C@H](O)c1cc[nH]c1", "[Na+].[2H]C1CC1"]
    saved = Settings(
        hidden_size=8, bias=False, depth=4, dropout=0.1, activation="PReLU", undirected=False, dense=False,
        num_attn_head=4, num_mt_block=1, embedding_output_type="both", backbone="gtrans", dist_coff=0.1,
        self_attention=False, attn_hidden=4, attn_out=128, weight_decay=0.0, fine_tune_coff=1,
    )  # fmt: skip
    settings = Settings(
        checkpoint_path="unused", n_lbs=2, n_tasks=1, uncertainty_method="none", task_type="regression",
        bbp_prior_sigma=0.1, ffn_num_layers=2, ffn_hidden_size=6, disable_checkpoint_loading=True,
    )  # fmt: skip
    loaded = {"args": saved, "state_dict": {}}
    module.torch = types.SimpleNamespace(**vars(torch) | {"load": lambda *_, **__: loaded})
    model = module.GROVER(settings)
    perturb(model, 0.3)
    with torch.no_grad():
        model.readout.cached_zero_vector.zero_()
    model.eval()
    single = [graphs.MolGraph(text) for text in smiles]
    batch = Settings(molecule_graphs=graphs.BatchMolGraph(single))
    with torch.no_grad():
        leaking = torch.stack(model(batch), 1)
        alone = torch.cat(
            [torch.stack(model(Settings(molecule_graphs=graphs.BatchMolGraph([one]))), 1) for one in single]
        )
    original = layers.select_neighbor_and_aggregate

    def clean(feature, index):
        return original(torch.cat([torch.zeros_like(feature[:1]), feature[1:]]), index)

    layers.select_neighbor_and_aggregate = clean
    outputs = {"batch": leaking, "alone": alone, "none": torch.stack(model(batch), 1)}
    embedded = model.grover(batch.molecule_graphs.components)
    outputs |= {"bond_from_atom": embedded["bond_from_atom"][1:], "bond_from_bond": embedded["bond_from_bond"][1:]}
    state = model.state_dict()
    head = ("mol_atom", "atom_output", "bond_output", "readout")
    stored = {key: value for key, value in state.items() if not key.startswith(head)}
    stored |= {
        "av_task_atom.linear.weight": torch.zeros(5, 8), "av_task_atom.linear_rev.bias": torch.zeros(5),
        "bv_task_bond.linear.weight": torch.zeros(5, 8), "fg_task_all.linear_aa.weight": torch.zeros(85, 8),
    }  # fmt: skip
    checkpoint = {
        "args": argparse.Namespace(**vars(saved)), "state_dict": stored, "optimizer": {}, "epoch": 7,
        "scheduler_step": 100, "data_scaler": None, "features_scaler": None,
    }  # fmt: skip
    inputs = {"smiles": np.asarray(smiles)}
    for number, graph in enumerate(single):
        ends = [(graph.b2a[b], graph.b2a[graph.b2revb[b]]) for b in range(graph.n_bonds)]
        inputs |= {
            f"atoms-{number}": np.asarray(graph.f_atoms, np.float32),
            f"bonds-{number}": np.asarray([row[151:] for row in graph.f_bonds], np.float32).reshape(-1, 14),
            f"ends-{number}": np.asarray(ends, np.int32).reshape(-1, 2),
        }
    store("grover", model, state, head, inputs, outputs, checkpoint, legacy=True)


if __name__ == "__main__":
    for chosen in sys.argv[1:] or ("unimol", "torchmdnet", "grover"):
        {"unimol": make_unimol, "torchmdnet": make_torchmdnet, "grover": make_grover}[chosen]()
