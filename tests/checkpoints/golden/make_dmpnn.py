"""Make the golden files of D-MPNN checkpoints: tiny models of chemprop 2, and what ADMET-AI's own predict.

    python tests/checkpoints/golden/make_dmpnn.py

Needs chemprop 2 and `admet-ai==2.0.1` with PyTorch. Each `dmpnn_*.pt` is a file as chemprop writes it, of random
weights; `dmpnn.npz` holds molecules, descriptors and each model's predictions, and `admet.npz` those of the ten models
inside the package, which are fetched when they are compared.
"""

import pathlib
import tempfile

import numpy as np
import torch
from chemprop import data, featurizers, models, nn
from chemprop.featurizers.atom import get_multi_hot_atom_featurizer
from chemprop.featurizers.bond import MultiHotBondFeaturizer, RIGRBondFeaturizer
from chemprop.models.utils import load_model, load_output_columns, save_model
from lightning import pytorch

HERE = pathlib.Path(__file__).parent
SMILES = [
    "CCO", "[Na+].[Cl-]", "c1ccccc1C(=O)[O-]", "C[C@H](N)C(=O)O", "F/C=C/F", "[2H]C#N", "C*", "S(=O)(=O)(O)O", "C",
    "CC(=O)Oc1ccccc1C(=O)O", "Ic1ccc(Br)cc1Cl", "[Se]1C=CC=C1", "OB(O)c1ccncc1", "FS(F)(F)(F)(F)F", "[CH3]", "[Fe+2]",
    "CN1C=NC2=C1C(=O)N(C(=O)N2C)C", "C1CC2CCC1CC2", "O=[N+]([O-])c1ccccc1", "CC(C)(C)P(=O)(c1ccccc1)N=[N+]=[N-]",
]  # fmt: skip
DESCRIPTORS = np.random.default_rng(3).normal(40.0, 9.0, (len(SMILES), 3)).astype(np.float32)


def _mpnn(predictor, *, agg=None, atoms="v2", width=4, batch_norm=False, descriptors=False, **message):
    featurizer = get_multi_hot_atom_featurizer(atoms)
    bonds = 2 if atoms == "rigr" else 14
    passing = nn.BondMessagePassing(len(featurizer), bonds, width, **message)
    scaler = nn.ScaleTransform(DESCRIPTORS.mean(0), DESCRIPTORS.std(0)) if descriptors else None
    return models.MPNN(passing, agg or nn.NormAggregation(norm=10.0), predictor, batch_norm, X_d_transform=scaler)


def _models():
    unscale = nn.UnscaleTransform([3.0, -50.0], [2.0, 7.0])
    wide = {"input_dim": 4, "hidden_dim": 5}
    yield "regression", "v2", _mpnn(
        nn.RegressionFFN(2, 7, 5, output_transform=unscale, activation="tanh"), batch_norm=True, descriptors=True,
        activation="leakyrelu", depth=4,
    )  # fmt: skip
    yield "mve", "organic", _mpnn(nn.MveFFN(2, **wide, output_transform=unscale), atoms="organic", activation="elu")
    yield "evidential", "v2", _mpnn(nn.EvidentialFFN(2, **wide, output_transform=unscale), depth=1)
    yield "quantile", "v2", _mpnn(nn.QuantileFFN(2, 4, 5, 0, output_transform=unscale), activation=torch.nn.SELU())
    yield "classification", "v1", _mpnn(
        nn.BinaryClassificationFFN(3, **wide, n_layers=2, activation="prelu"), agg=nn.MeanAggregation(), atoms="v1",
        activation="prelu", bias=True, undirected=True,
    )  # fmt: skip
    yield "dirichlet", "v2", _mpnn(nn.BinaryDirichletFFN(2, **wide), agg=nn.SumAggregation(), activation="tanh")
    yield "multiclass", "rigr", _mpnn(nn.MulticlassClassificationFFN(3, 2, **wide), atoms="rigr")
    yield "multiclass_dirichlet", "v2", _mpnn(nn.MulticlassDirichletFFN(3, 2, **wide), dropout=0.2)


def _data(atoms, *, descriptors=False, labels=None):
    points = [
        data.MoleculeDatapoint.from_smi(
            one, y=None if labels is None else labels[row], x_d=DESCRIPTORS[row] if descriptors else None
        )
        for row, one in enumerate(SMILES)
    ]
    bonds = RIGRBondFeaturizer() if atoms == "rigr" else MultiHotBondFeaturizer()
    featurizer = featurizers.SimpleMoleculeMolGraphFeaturizer(get_multi_hot_atom_featurizer(atoms), bonds)
    return data.MoleculeDataset(points, featurizer)


def _predictions(model, atoms, descriptors=False):
    batch = data.collate_batch(list(_data(atoms, descriptors=descriptors)))
    with torch.inference_mode():
        return model.eval()(batch.bmg, batch.V_d, batch.X_d).numpy()


def make_tiny() -> None:
    """One model for each kind of prediction, a foundation model's layout, and a checkpoint in training."""
    arrays = {"smiles": SMILES, "descriptors": DESCRIPTORS}
    torch.manual_seed(0)
    for name, atoms, model in _models():
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm1d):
                module.running_mean.uniform_(-0.1, 0.1), module.running_var.uniform_(0.5, 2.0)
                torch.nn.init.uniform_(module.weight, 0.5, 1.5), torch.nn.init.uniform_(module.bias, -0.5, 0.5)
        columns = [f"task {number}" for number in range(model.n_tasks)]
        save_model(HERE / f"dmpnn_{name}.pt", model, columns)
        arrays[name] = _predictions(model, atoms, descriptors=name == "regression")

    passing = nn.BondMessagePassing(d_h=6, depth=5)
    settings = {key: value for key, value in passing.hparams.items() if key not in ("cls", "graph_transform")}
    torch.save({"hyper_parameters": settings, "state_dict": passing.state_dict()}, HERE / "dmpnn_foundation.pt")
    batch = data.collate_batch(list(_data("v2")))
    with torch.inference_mode():
        arrays["foundation"] = nn.MeanAggregation()(passing(batch.bmg), batch.bmg.batch).numpy()

    labels = np.random.default_rng(4).normal(5.0, 3.0, (len(SMILES), 1))
    dataset = _data("v2", labels=labels)
    scaler = dataset.normalize_targets()
    model = _mpnn(nn.RegressionFFN(1, 4, 5, output_transform=nn.UnscaleTransform.from_standard_scaler(scaler)))
    with tempfile.TemporaryDirectory() as folder:
        trainer = pytorch.Trainer(max_epochs=2, logger=False, enable_checkpointing=False, default_root_dir=folder)
        trainer.fit(model, data.build_dataloader(dataset, batch_size=5), data.build_dataloader(dataset, shuffle=False))
        trainer.save_checkpoint(HERE / "dmpnn_training.ckpt")
    arrays["training"] = _predictions(model, "v2")
    np.savez_compressed(HERE / "dmpnn.npz", **arrays)


def make_admet() -> None:
    """What each of the ten models says of each molecule."""
    from admet_ai.constants import DEFAULT_MODELS_DIR

    arrays = {"smiles": SMILES}
    for kind in ("classification", "regression"):
        files = sorted((pathlib.Path(DEFAULT_MODELS_DIR) / f"admet_{kind}").glob("*.pt"))
        arrays[kind] = np.stack([_predictions(load_model(file), "v2") for file in files])
        arrays[f"{kind}_tasks"] = load_output_columns(files[0])
    np.savez_compressed(HERE / "admet.npz", **arrays)


if __name__ == "__main__":
    make_tiny()
    make_admet()
