"""Descriptors against descriptastorus and published check values; fingerprints, worker processes, and the cache."""

import logging
import subprocess
import sys
import threading
import warnings

import numpy as np
import pytest

from jaxuq.molecules import (
    DataError,
    DataWarning,
    _workers,
    cache_folder,
    descriptor_names,
    load_molecules,
    morgan_fingerprints,
    rdkit_descriptors,
)

ASPIRIN = "CC(=O)Oc1ccccc1C(=O)O"
DIVERSE = [
    *("C", "[Na+].[Cl-]", "[H][H]", "[Hg]", "[As](C)(C)C", "*C", "[2H]C([2H])([2H])[2H]", "O", "[NH4+].[Cl-]", "N#N"),
    *("CC(=O)[O-].[Na+]", "C[N+](C)(C)CC(=O)[O-]", "Cl[Pt](Cl)(N)N", "[O-][99Tc](=O)(=O)=O", "F[P-](F)(F)(F)(F)F"),
    *("CCCCCCCCCCCCCCCC", "c1ccc2c(c1)ccc1ccccc12", "C[C@H](N)C(=O)O", "C/C=C/C#CC=O", "O=C1NS(=O)(=O)c2ccccc12"),
    *("CN1C(=O)CN=C(c2ccccc2)c2cc(Cl)ccc21", "OC[C@H]1O[C@@H](O)[C@H](O)[C@@H](O)[C@@H]1O", "B(O)(O)c1ccccc1", "[CH3]"),
    *(
        "CC(C)Cc1ccc(cc1)C(C)C(=O)O.CNC",
        "C1CC2CCC1C2",
        "O=[N+]([O-])c1ccc(N=Nc2ccc(O)cc2)cc1",
        "[Si](C)(C)(C)OC",
        "S=C=N",
    ),
    *("CC1(C)SC2C(NC(=O)Cc3ccccc3)C(=O)N2C1C(=O)O", "FC(F)(F)c1cc(Br)c(I)cc1P(=O)(O)O", "N[C@@H](CS)C(=O)NCC(=O)O"),
    "CCCCCCCCCCCCCCCCCC(=O)OCC(COP(=O)([O-])OCC[N+](C)(C)C)OC(=O)CCCCCCCC=CCCCCCCCC",
]


@pytest.fixture(scope="module")
def reference():
    """The published implementation, one molecule and one number at a time."""
    logging.disable(logging.CRITICAL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from descriptastorus.descriptors.rdNormalizedDescriptors import RDKit2DNormalized

        generator = RDKit2DNormalized()
        yield lambda smiles: np.nan_to_num(np.array([generator.process(text)[1:] for text in smiles], float))
    logging.disable(logging.NOTSET)


def test_values_equal_the_published_implementation(reference):
    sample = load_molecules("bace").smiles[::400] + load_molecules("esol").smiles[::200]
    actual = rdkit_descriptors(DIVERSE + sample, cache=False)
    np.testing.assert_allclose(actual, reference(DIVERSE + sample), rtol=0, atol=1e-6)
    assert actual.dtype == np.float32 and actual.min() >= 0 and actual.max() <= 1


def test_names_equal_the_published_ones(reference):
    from descriptastorus.descriptors.rdDescriptors import RDKIT_PROPS

    assert descriptor_names() == RDKIT_PROPS["1.0.0"]


def test_check_values():
    features = rdkit_descriptors(["CCO", ASPIRIN, "c1ccccc1"], cache=False)
    np.testing.assert_allclose(features.astype(np.float64).sum(axis=1), [23.6803, 39.1743, 19.3393], atol=6e-5)
    names = descriptor_names()
    aspirin = dict(zip(names, features[1]))
    for name, value in {"TPSA": 0.3640, "MolLogP": 0.1080, "qed": 0.4289, "NumHDonors": 0.4745}.items():
        np.testing.assert_allclose(aspirin[name], value, atol=6e-5)
    for name in (
        "VSA_EState1",
        "VSA_EState3",
        "VSA_EState4",
        "VSA_EState6",
        "SMR_VSA8",
        "SlogP_VSA9",
        "fr_prisulfonamd",
    ):
        np.testing.assert_allclose(features[:, names.index(name)], 5.3e-5, atol=5e-7)


def test_one_two_three_benzene_rings():
    rings = ["C", "c1ccccc1", "c1ccccc1-c1ccccc1", "c1ccccc1-c1ccccc1-c1ccccc1"]
    column = rdkit_descriptors(rings, cache=False)[:, descriptor_names().index("fr_benzene")]
    np.testing.assert_allclose(column, [0.0347, 0.3582, 0.6353, 0.9640], atol=6e-5)


def test_unreadable_molecules_are_zeros_and_named():
    with pytest.warns(DataWarning, match=r"cannot read 2 of 3 .*features are 0 \(row 0: 'nonsense\('; row 2: ''\)"):
        features = rdkit_descriptors(["nonsense(", "CCO", ""], cache=False)
    assert not features[[0, 2]].any()
    np.testing.assert_allclose(features[1], rdkit_descriptors(["CCO"], cache=False)[0])


def test_molecules_that_only_break_valence_rules_are_read_without_them():
    with pytest.warns(DataWarning, match="1 of 1 SMILES only without its valence check"):
        features = rdkit_descriptors(["CC(=O)O[AlH3](O)O"], cache=False)
    assert features[0, descriptor_names().index("HeavyAtomCount")] > 0


def test_nothing_and_a_single_string():
    assert rdkit_descriptors([], cache=False).shape == (0, 200)
    assert morgan_fingerprints([], cache=False).shape == (0, 1024)
    with pytest.raises(DataError, match=r"write \['CCO'\]"):
        rdkit_descriptors("CCO")
    with pytest.raises(DataError, match="workers must be at least 1"):
        rdkit_descriptors(["CCO"], workers=0, cache=False)
    with pytest.raises(DataError, match="radius=-1"):
        morgan_fingerprints(["CCO"], radius=-1)


def test_fingerprints_equal_rdkits_older_function():
    from rdkit import Chem
    from rdkit.Chem import AllChem

    for radius, size in ((2, 1024), (3, 100)):
        actual = morgan_fingerprints(DIVERSE, radius, size, cache=False)
        for row, text in zip(actual, DIVERSE):
            expected = AllChem.GetMorganFingerprintAsBitVect(Chem.MolFromSmiles(text), radius, nBits=size)
            np.testing.assert_array_equal(row, np.array(expected))


def test_workers_give_the_same_and_report_progress():
    smiles = (DIVERSE * 5)[:150]
    calls, lock = [], threading.Lock()

    def progress(done, total):
        with lock:
            calls.append((done, total))

    alone = morgan_fingerprints(smiles, workers=1, cache=False)
    together = morgan_fingerprints(smiles, workers=2, cache=False, progress=progress)
    np.testing.assert_array_equal(alone, together)
    assert sorted(calls) == calls and calls[-1] == (150, 150) and len(calls) == 3


def test_a_molecule_that_kills_its_worker_costs_only_itself(monkeypatch):
    fatal = "CCCCCCCl"
    original = _workers._Worker.__call__

    def call(self, smiles, time_limit=None):
        if fatal in smiles:
            self.process.kill()
            self.process.wait()
        return original(self, smiles, time_limit)

    monkeypatch.setattr(_workers._Worker, "__call__", call)
    monkeypatch.setattr(_workers, "_CHUNK", 4)
    smiles = ["CCO"] * 5 + [fatal] + ["CCN"] * 4
    with pytest.warns(DataWarning, match=r"cannot read 1 of 10 .*row 5: 'CCCCCCCl'"):
        bits = morgan_fingerprints(smiles, workers=2, cache=False)
    monkeypatch.undo()
    expected = morgan_fingerprints(smiles, workers=1, cache=False)
    expected[5] = 0
    np.testing.assert_array_equal(bits, expected)


def test_a_worker_that_cannot_start_says_why():
    with pytest.raises(RuntimeError, match=r"(?s)did not start: .*no_such_descriptor"):
        _workers.run_rdkit("descriptors", ["C"] * 130, {"names": ["no_such_descriptor"]}, workers=2)


def test_an_error_in_progress_ends_the_work():
    def progress(done, total):
        raise KeyError("stop")

    with pytest.raises(KeyError, match="stop"):
        morgan_fingerprints(["C"] * 200, workers=2, cache=False, progress=progress)


def test_features_are_stored_and_damaged_files_are_made_again(monkeypatch):
    first = morgan_fingerprints(["CCO", "CCN"])
    (stored,) = (cache_folder() / "features").iterdir()
    with monkeypatch.context() as patch:
        patch.setattr("jaxuq.molecules.descriptors.run_rdkit", None)  # would fail if it were computed again
        np.testing.assert_array_equal(morgan_fingerprints(["CCO", "CCN"]), first)
        with pytest.raises(TypeError):
            morgan_fingerprints(["CCN", "CCO"])
    for damage in (stored.read_bytes()[:-30], b"", b"not an archive"):
        stored.write_bytes(damage)
        with pytest.warns(DataWarning, match=r"are damaged .* and are computed again"):
            np.testing.assert_array_equal(morgan_fingerprints(["CCO", "CCN"]), first)
    morgan_fingerprints(["CCO", "CCN"], size=512)
    assert len(list((cache_folder() / "features").iterdir())) == 2  # no temporary file is left


def test_stored_features_still_name_what_was_unreadable(tmp_path):
    for _ in range(2):
        with pytest.warns(DataWarning, match="row 1: 'nonsense"):
            morgan_fingerprints(["CCO", "nonsense("], cache=tmp_path / "here")
    assert len(list((tmp_path / "here").iterdir())) == 1


def test_a_cache_that_cannot_be_written_is_only_warned_about(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.warns(DataWarning, match="could not be stored"):
        assert morgan_fingerprints(["CCO"], cache=tmp_path / "file" / "below").shape == (1, 1024)


@pytest.mark.parametrize(
    "code,forbidden",
    [
        ("import jaxuq.molecules", ("rdkit", "pandas", "sklearn", "scipy.stats", "pooch")),
        ("import runpy; runpy.run_path({worker!r})", ("jax", "jaxuq", "rdkit")),
    ],
)
def test_imports_are_light(code, forbidden):
    from jaxuq.molecules import _rdkit_worker

    program = (
        code.format(worker=_rdkit_worker.__file__)
        + f"\nimport sys; print([m for m in {forbidden} if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
