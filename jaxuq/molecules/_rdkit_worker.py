"""RDKit work on one molecule at a time, in a file that needs neither JAX nor the rest of jaxuq.

It is used in two ways: imported, for a few molecules, and run as a program by `_workers.py`, for many. A program
started from this file inherits neither threads nor devices of the caller, and does not run the caller's script again.

A program gets `{"task": …, "options": {…}}` as its argument, answers one line when it is ready, then reads a JSON list
of SMILES a line and answers with a JSON line (what was computed, or type and shape of the bytes that follow).
"""

import functools
import importlib.util
import json
import os
import sys

import numpy as np


def read_molecule(smiles):
    """A molecule and whether it took leaving out the valence check; None where even that does not help.

    Older RDKit accepted, for instance, six-valent aluminium; the benchmark's files hold such molecules.
    """
    from rdkit import Chem

    mol = Chem.MolFromSmiles(smiles)
    if mol is not None:
        return (mol, False) if mol.GetNumAtoms() else (None, False)
    mol = Chem.MolFromSmiles(smiles, sanitize=False)
    if mol is None or not mol.GetNumAtoms():
        return None, False
    try:
        mol.UpdatePropertyCache(strict=False)
        Chem.SanitizeMol(mol, Chem.SanitizeFlags.SANITIZE_ALL ^ Chem.SanitizeFlags.SANITIZE_PROPERTIES)
        Chem.AssignStereochemistry(mol, cleanIt=True, force=True)
    except (ValueError, RuntimeError):
        return None, False
    return mol, True


def _each(smiles, compute):
    """Apply `compute(row, molecule)` and say which rows were unreadable and which were read leniently.

    What RDKit refuses later, as it may of a molecule that it has read leniently, costs that molecule: it is unreadable.
    """
    unreadable, relaxed = [], []
    for row, text in enumerate(smiles):
        mol, lenient = read_molecule(text)
        if mol is None:
            unreadable.append(row)
            continue
        try:
            compute(row, mol)
        except (ValueError, RuntimeError):
            unreadable.append(row)
            continue
        if lenient:
            relaxed.append(row)
    return unreadable, relaxed


def scaffolds(smiles, include_chirality):
    """Bemis-Murcko scaffolds as SMILES, "" for acyclic molecules, None for unreadable ones."""
    from rdkit import Chem

    keys: list[str | None] = [None] * len(smiles)

    def compute(row, mol):
        framework = Chem.MurckoDecompose(mol)
        framework.ClearComputedProps()
        # RDKit's own function is strict, and refuses B, Br, O with a ring bond.
        framework.UpdatePropertyCache(strict=False)
        Chem.GetSymmSSSR(framework)
        keys[row] = Chem.MolToSmiles(framework, isomericSmiles=include_chirality)

    return keys, *_each(smiles, compute)


def heavy_atoms(smiles):
    """Number of atoms other than hydrogen by the strict reader; -1 for what it does not read."""
    from rdkit import Chem

    counts = np.full(len(smiles), -1, np.int64)
    for row, text in enumerate(smiles):
        mol = Chem.MolFromSmiles(text) if text else None
        if mol is not None:
            counts[row] = mol.GetNumHeavyAtoms()
    return counts, [], []


def canonical(smiles):
    """RDKit's SMILES of each molecule by the strict reader, None for what it does not read."""
    from rdkit import Chem

    forms: list[str | None] = [None] * len(smiles)
    for row, text in enumerate(smiles):
        mol = Chem.MolFromSmiles(text) if text else None
        if mol is not None:
            forms[row] = Chem.MolToSmiles(mol)
    return forms, [], []


def morgan(smiles, radius, size):
    """Morgan fingerprints, eight bits a byte."""
    from rdkit.Chem import rdFingerprintGenerator

    generator = rdFingerprintGenerator.GetMorganGenerator(radius=radius, fpSize=size)
    bits = np.zeros((len(smiles), (size + 7) // 8), np.uint8)

    def compute(row, mol):
        bits[row] = np.packbits(generator.GetFingerprintAsNumPy(mol))

    return bits, *_each(smiles, compute)


def _principal_quantum_number(atomic_number):
    return 1 + sum(atomic_number > last for last in (2, 10, 18, 36, 54, 86))


def _estate_indices(mol):
    """E-state indices, summed in the order in which RDKit's own double loop adds them, so equal to the last bit."""
    from rdkit import Chem

    table = Chem.GetPeriodicTable()
    intrinsic = np.zeros(mol.GetNumAtoms())
    for i, atom in enumerate(mol.GetAtoms()):
        degree = atom.GetDegree()
        if degree > 0:
            number = atom.GetAtomicNum()
            valence = table.GetNOuterElecs(number) - atom.GetTotalNumHs()
            quantum = _principal_quantum_number(number)
            intrinsic[i] = (4.0 / (quantum * quantum) * valence + 1) / degree
    distance = Chem.GetDistanceMatrix(mol, useBO=False, useAtomWts=False) + 1
    terms = np.where(distance < 1e6, (intrinsic[:, None] - intrinsic[None, :]) / (distance * distance), 0.0)
    return np.cumsum(terms, axis=1)[:, -1] + intrinsic


def _drug_likeness(mol):
    """QED; without explicit hydrogen the molecule's own logP is used instead of that of a copy."""
    from rdkit import Chem
    from rdkit.Chem import QED, rdMolDescriptors

    if any(atom.GetAtomicNum() == 1 for atom in mol.GetAtoms()):
        return QED.qed(mol)
    rings = Chem.GetSSSR(Chem.DeleteSubstructs(Chem.Mol(mol), QED.AliphaticRings))
    properties = QED.QEDproperties(
        MW=rdMolDescriptors._CalcMolWt(mol),
        ALOGP=rdMolDescriptors.CalcCrippenDescriptors(mol)[0],
        HBA=sum(len(mol.GetSubstructMatches(pattern)) for pattern in QED.Acceptors),
        HBD=rdMolDescriptors.CalcNumHBD(mol),
        PSA=rdMolDescriptors.CalcTPSA(mol),
        ROTB=rdMolDescriptors.CalcNumRotatableBonds(mol, rdMolDescriptors.NumRotatableBondsOptions.Strict),
        AROM=len(rings),
        ALERTS=sum(mol.HasSubstructMatch(alert) for alert in QED.StructuralAlerts),
    )
    return QED.qed(mol, qedProperties=properties)


def _calculators(names):
    """One function per descriptor: RDKit's, but for one pattern of version 1 of the set and for shared work."""
    from rdkit import Chem
    from rdkit.Chem import Descriptors

    chain = Chem.MolFromSmarts("[R0;D2][R0;D2][R0;D2][R0;D2]")
    functions = dict(Descriptors.descList) | {
        "fr_unbrch_alkane": lambda mol: len(mol.GetSubstructMatches(chain, uniquify=True)),
        "MaxEStateIndex": lambda mol: mol._eStateIndices.max(),
        "MinEStateIndex": lambda mol: mol._eStateIndices.min(),
        "MaxAbsEStateIndex": lambda mol: np.abs(mol._eStateIndices).max(),
        "MinAbsEStateIndex": lambda mol: np.abs(mol._eStateIndices).min(),
        "qed": _drug_likeness,
    }
    return [functions[name] for name in names]


def descriptors(smiles, names):
    """Raw RDKit descriptors `[molecules, names]`, float64; NaN where one cannot be computed."""
    calculators = _calculators(names)
    values = np.full((len(smiles), len(names)), np.nan)

    def compute(row, mol):
        try:
            mol._eStateIndices = _estate_indices(mol)
        except Exception:
            mol.__dict__.pop("_eStateIndices", None)
        for column, calculate in enumerate(calculators):
            try:
                values[row, column] = calculate(mol)
            except Exception:  # whatever a single descriptor raises costs that one value
                values[row, column] = np.nan

    with np.errstate(all="ignore"):
        return values, *_each(smiles, compute)


def _number(atom):
    return [atom.GetAtomicNum()]


def _chemprop_atom(atom):
    """Element and hybridisation by RDKit's numbers, categories as chemprop 2 divides them, and the mass.

    Each of chemprop's sets of features has places of its own for elements and hybridisations; the last category of the
    others is "other".
    """
    return [
        atom.GetAtomicNum(),
        min(atom.GetTotalDegree(), 6),
        {-1: 0, -2: 1, 1: 2, 2: 3, 0: 4}.get(atom.GetFormalCharge(), 5),
        min(int(atom.GetChiralTag()), 4),
        min(atom.GetTotalNumHs(), 5),
        int(atom.GetHybridization()),
        int(atom.GetIsAromatic()),
        round(atom.GetMass(), 4),
    ]


def _chemprop_bond(bond):
    from rdkit.Chem import BondType

    kinds = (BondType.SINGLE, BondType.DOUBLE, BondType.TRIPLE, BondType.AROMATIC)
    kind = bond.GetBondType()
    return [
        kinds.index(kind) if kind in kinds else 4,
        int(bond.GetIsConjugated()),
        int(bond.IsInRing()),
        min(int(bond.GetStereo()), 6),
    ]


_GRAPHS = {"numbers": (_number, lambda bond: []), "chemprop": (_chemprop_atom, _chemprop_bond)}


def graphs(smiles, features, hydrogens):
    """Atoms (a list of numbers each) and bonds (two atoms and a list of numbers each) of every molecule."""
    from rdkit import Chem

    of_atom, of_bond = _GRAPHS[features]
    values = [[[], []] for _ in smiles]

    def compute(row, mol):
        mol = Chem.AddHs(mol) if hydrogens else mol
        bonds = [[bond.GetBeginAtomIdx(), bond.GetEndAtomIdx(), *of_bond(bond)] for bond in mol.GetBonds()]
        values[row] = [[of_atom(atom) for atom in mol.GetAtoms()], bonds]

    return values, *_each(smiles, compute)


TASKS = {
    "scaffolds": scaffolds,
    "heavy_atoms": heavy_atoms,
    "canonical": canonical,
    "morgan": morgan,
    "descriptors": descriptors,
    "graphs": graphs,
}
_ELSEWHERE = {"conformers": "_rdkit_conformers.py", "grover": "_rdkit_grover.py"}  # files beside this one


def _task(name):
    """The function of a task; those in other files are given `_each`, as they cannot import this one."""
    if name in TASKS:
        return TASKS[name]
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), _ELSEWHERE[name])
    spec = importlib.util.spec_from_file_location(f"jaxuq_task_{name}", path)
    assert spec is not None and spec.loader is not None  # the file is there
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    TASKS[name] = functools.partial(getattr(module, name), _each)
    return TASKS[name]


def run_task(task, smiles, options):
    """One task in this process, with RDKit's messages switched off meanwhile."""
    from rdkit import rdBase

    with rdBase.BlockLogs():
        return _task(task)(smiles, **options)


def main():
    """Answer requests until the input ends."""
    request = json.loads(sys.argv[1])
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print must not mix with the answers
    run_task(request["task"], ["C"], request["options"])
    answers.write(b"ready\n")
    answers.flush()
    for line in sys.stdin.buffer:
        values, unreadable, relaxed = run_task(request["task"], json.loads(line), request["options"])
        header = {"unreadable": unreadable, "relaxed": relaxed}
        if isinstance(values, np.ndarray):
            header |= {"dtype": values.dtype.str, "shape": values.shape}
            payload = values.tobytes()
        else:
            header |= {"texts": values}
            payload = b""
        answers.write(json.dumps(header).encode() + b"\n" + payload)
        answers.flush()


if __name__ == "__main__":
    main()
