"""GROVER's features of atoms and bonds; a task of `_rdkit_worker.py`, which loads this file when it is wanted."""

import base64
import functools

import numpy as np

_SMARTS = {  # what may accept or donate a hydrogen bond, acids and bases, as the checkpoints were trained
    "acceptor": (
        "[$([O,S;H1;v2;!$(*-*=[O,N,P,S])]),$([O,S;H0;v2]),$([O,S;-]),$([N;v3;!$(N-*=[O,N,P,S])]),n&H0&+0,"
        "$([o,s;+0;!$([o,s]:n);!$([o,s]:c:n)])]"
    ),
    "donor": "[$([N;!H0;v3,v4&+1]),$([O,S;H1;+0]),n&H1&+0]",
    "acid": "[$([C,S](=[O,S,P])-[O;H1,-1])]",
    "base": (
        "[#7;+,$([N;H2&+0][$([C,a]);!$([C,a](=O))]),$([N;H1&+0]([$([C,a]);!$([C,a](=O))])[$([C,a]);!$([C,a](=O))]),"
        "$([N;H0&+0]([C;!$(C(=O))])([C;!$(C(=O))])[C;!$(C(=O))])]"
    ),
}
_SIZES = (101, 7, 6, 5, 6, 6)  # number, degree, charge, chirality, hydrogens, hybridisation; the last of each: other
_FLAGS = 150  # of an atom, without its mass


@functools.cache
def _patterns():
    from rdkit import Chem

    return [Chem.MolFromSmarts(smarts) for smarts in _SMARTS.values()]


def grover(each, smiles):
    """Bits of atoms and bonds, masses, and the two atoms of each bond (the lower number first), of every molecule."""
    values: list = [None] * len(smiles)

    def compute(row, mol):
        atoms, masses = _atoms(mol)
        pairs = sorted(tuple(sorted((bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()))) for bond in mol.GetBonds())
        bonds = np.zeros((len(pairs), 14), np.uint8)
        for place, ends in enumerate(pairs):
            bonds[place, _bond(mol.GetBondBetweenAtoms(*ends))] = 1
        packed = (base64.b64encode(np.packbits(bits, axis=1).tobytes()).decode() for bits in (atoms, bonds))
        values[row] = [*packed, masses, pairs]

    return values, *each(smiles, compute)


def _atoms(mol):
    from rdkit.Chem import HybridizationType, ValenceType

    kinds = [getattr(HybridizationType, name) for name in ("SP", "SP2", "SP3", "SP3D", "SP3D2")]
    flags, masses = np.zeros((mol.GetNumAtoms(), _FLAGS), np.uint8), []
    matched = [{atom for match in mol.GetSubstructMatches(p, maxMatches=10**6) for atom in match} for p in _patterns()]
    rings = mol.GetRingInfo()
    for index, atom in enumerate(mol.GetAtoms()):
        number, kind = atom.GetAtomicNum(), atom.GetHybridization()
        choices = (
            number - 1 if 1 <= number <= 100 else 100,
            min(atom.GetTotalDegree(), 6),
            _charge(atom.GetFormalCharge()),
            min(int(atom.GetChiralTag()), 4),
            min(atom.GetTotalNumHs(), 5),
            kinds.index(kind) if kind in kinds else 5,
        )
        place = 0
        for choice, size in zip(choices, _SIZES):
            flags[index, place + choice] = 1
            place += size
        flags[index, place] = atom.GetIsAromatic()
        flags[index, place + 1 + min(max(_implicit(atom, ValenceType), 0), 7)] = 1
        flags[index, place + 9 : place + 13] = [index in found for found in matched]
        flags[index, place + 13 :] = [rings.IsAtomInRingOfSize(index, size) for size in range(3, 9)]
        masses.append(atom.GetMass() * 0.01)
    return flags, masses


def _charge(charge):
    """Place 0 to 5: the original uses the charge itself as an index from the front or from the back."""
    charge = min(max(charge, -6), 5)
    return charge if charge >= 0 else 6 + charge


def _implicit(atom, kind):
    try:
        return atom.GetValence(kind.IMPLICIT)
    except (AttributeError, RuntimeError):  # an older RDKit; an atom whose valence was not checked
        return 7


def _bond(bond):
    """Which of the 14 flags are set."""
    from rdkit.Chem import BondType

    places = [8 - 1 + min(int(bond.GetStereo()), 6)]
    kinds = (BondType.SINGLE, BondType.DOUBLE, BondType.TRIPLE, BondType.AROMATIC)
    if bond.GetBondType() in kinds:
        places.append(1 + kinds.index(bond.GetBondType()))
    return places + [5] * bond.GetIsConjugated() + [6] * bond.IsInRing()
