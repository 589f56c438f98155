"""Make the golden files of the graph networks: torch_geometric's GIN, and chemprop's equations in loops over bonds.

    python tests/networks/golden/make_graph_networks.py

Needs PyTorch and torch_geometric. Each file holds the weights, the graphs of a few molecules, the outputs of every
molecule and the gradient of the sum of their squares by every weight, all in float32.
"""

import pathlib

import numpy as np
import torch
from torch_geometric.nn import GIN, global_add_pool

from jaxuq.molecules import molecular_graphs

HERE = pathlib.Path(__file__).parent
SMILES = ["CCO", "[Na+].[Cl-]", "c1ccccc1C(=O)[O-]", "C[C@H](N)C(=O)O", "F/C=C/F", "[2H]C#N", "C*", "S(=O)(=O)(O)O"]


def _save(name: str, module: torch.nn.Module, outputs: torch.Tensor) -> None:
    (outputs**2).sum().backward()
    arrays = {f"weight:{key}": value.detach().numpy() for key, value in module.named_parameters()}
    arrays |= {f"gradient:{key}": value.grad.numpy() for key, value in module.named_parameters()}
    np.savez_compressed(HERE / f"{name}.npz", smiles=SMILES, outputs=outputs.detach().numpy(), **arrays)


def make_gin() -> None:
    """Width 6, three layers, 20 elements; the molecules as one batch with hydrogens."""
    torch.manual_seed(0)
    module = torch.nn.Module()
    module.embedding = torch.nn.Embedding(20, 6)
    module.gin = GIN(6, 6, 3, 6, jk="cat", act="relu")
    module.output = torch.nn.Linear(6, 2)
    graphs = molecular_graphs(SMILES, cache=False)
    numbers, edges, batch, first = [], [], [], 0
    for row, (atoms, bonds) in enumerate(zip(graphs.num_atoms, graphs.num_edges)):
        numbers += graphs.atoms[row, :atoms].tolist()
        begins = graphs.sources[row, :bonds].astype(np.int64) + first
        edges.append(np.stack([begins, begins.reshape(-1, 2)[:, ::-1].reshape(-1)]))
        batch += [row] * int(atoms)
        first += int(atoms)
    index = torch.from_numpy(np.concatenate(edges, axis=1))
    h = module.gin(module.embedding(torch.tensor(numbers).clamp(max=19)), index)
    _save("gin", module, module.output(global_add_pool(h, torch.tensor(batch))))


def make_dmpnn() -> None:
    """Width 5, depth 3; one molecule after another, one directed bond after another."""
    torch.manual_seed(1)
    module = torch.nn.Module()
    module.W_i = torch.nn.Linear(86, 5, bias=False)
    module.W_h = torch.nn.Linear(5, 5, bias=False)
    module.W_o = torch.nn.Linear(77, 5)
    module.hidden = torch.nn.Linear(5, 5)
    module.output = torch.nn.Linear(5, 2)
    from rdkit import Chem

    outputs = []
    for smiles in SMILES:
        mol = Chem.MolFromSmiles(smiles)
        atoms = [torch.tensor(_atom(atom)) for atom in mol.GetAtoms()]
        bonds = {}
        for bond in mol.GetBonds():
            ends = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
            bonds[ends] = bonds[ends[::-1]] = torch.tensor(_bond(bond))
        initial = {(v, w): module.W_i(torch.cat([atoms[v], bond])) for (v, w), bond in bonds.items()}
        messages = {edge: torch.relu(value) for edge, value in initial.items()}
        for _ in range(2):
            messages = {
                (v, w): torch.relu(
                    initial[v, w] + module.W_h(_sum(m for (a, b), m in messages.items() if b == v and a != w))
                )
                for v, w in messages
            }
        total = _sum(
            torch.relu(module.W_o(torch.cat([x, _sum(m for (_, b), m in messages.items() if b == v)])))
            for v, x in enumerate(atoms)
        )
        outputs.append(module.output(torch.relu(module.hidden(total / 100))))
    _save("dmpnn", module, torch.stack(outputs))


def _sum(vectors) -> torch.Tensor:
    return sum(vectors, torch.zeros(5))


def _one_hot(value, choices) -> list[float]:
    return [float(value == choice) for choice in choices] + [float(value not in choices)]


def _atom(atom) -> list[float]:
    hybridisation = ("S", "SP", "SP2", "SP2D", "SP3", "SP3D", "SP3D2")
    return [
        *_one_hot(atom.GetAtomicNum(), [*range(1, 37), 53]),
        *_one_hot(atom.GetTotalDegree(), range(6)),
        *_one_hot(atom.GetFormalCharge(), [-1, -2, 1, 2, 0]),
        *_one_hot(int(atom.GetChiralTag()), range(4)),
        *_one_hot(atom.GetTotalNumHs(), range(5)),
        *_one_hot(str(atom.GetHybridization()), hybridisation),
        float(atom.GetIsAromatic()),
        atom.GetMass() * 0.01,
    ]


def _bond(bond) -> list[float]:
    kinds = [str(bond.GetBondType()) == kind for kind in ("SINGLE", "DOUBLE", "TRIPLE", "AROMATIC")]
    flags = [bond.GetIsConjugated(), bond.IsInRing()]
    return [0.0, *map(float, kinds), *map(float, flags), *_one_hot(int(bond.GetStereo()), range(6))]


if __name__ == "__main__":
    make_gin()
    make_dmpnn()
