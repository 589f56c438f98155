"""The scaffold rule on cases worked by hand, and equality with the published files."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxuq.molecules import DataError, DataWarning, load_dataset, load_molecules, random_split, scaffold_split
from jaxuq.molecules.catalogue import DATASETS
from jaxuq.molecules.datasets import _published
from jaxuq.molecules.finding import find_split
from jaxuq.molecules.records import take_split

BENZENES, PYRIDINES = ["c1ccccc1" + "C" * k for k in range(20)], ["n1ccccc1" + "C" * k for k in range(20)]


def _contents(data):
    return sorted(
        (s, tuple(y), tuple(m)) for s, y, m in zip(data.smiles, np.float32(data.labels).tolist(), data.mask.tolist())
    )


def test_a_group_that_does_not_fit_does_not_close_a_part():
    # 20 rows, cuts at 16 and 18: 15 benzenes to train; the 3 acyclic ones exceed 16 there, but 18 rows fit train and
    # valid together; of the two singles the later one still fills train to 16, the other exceeds 18.
    smiles = [*BENZENES[:15], "C", "CC", "CCC", "n1ccccc1", "o1cccc1"]
    train, valid, test = scaffold_split(smiles, order="assignment")
    assert valid.tolist() == [15, 16, 17]
    assert train.tolist() == [*range(15), 19]  # of the equal sizes the later row comes first
    assert test.tolist() == [18]


def test_equal_sizes_are_taken_from_the_latest_first_row():
    smiles = ["C1CC1", "C1CCC1", "C1CCCC1", "C1CCCCC1", "C1CCCCCC1", "c1ccccc1", "n1ccccc1", "o1cccc1", "s1cccc1", "C"]
    train, valid, test = scaffold_split(smiles, order="assignment")
    assert (train.tolist(), valid.tolist(), test.tolist()) == ([9, 8, 7, 6, 5, 4, 3, 2], [1], [0])


def test_rows_are_read_back_in_the_order_of_their_decimal_strings():
    smiles = [*BENZENES[:16], "C", "CC", "n1ccccc1", "o1cccc1"]
    assigned = scaffold_split(smiles, order="assignment").train.tolist()
    published = scaffold_split(smiles, order="published").train.tolist()
    assert published == [assigned[k] for k in (0, 1, 10, 11, 12, 13, 14, 15, 2, 3, 4, 5, 6, 7, 8, 9)]
    assert scaffold_split(smiles, order="row").train.tolist() == sorted(assigned)


def test_chirality_separates_scaffolds():
    # Cuts at 8 and 9. A pair with one scaffold joins the six benzenes; as two scaffolds it comes last, later row first.
    smiles = [*BENZENES[:6], "O=C1N[C@@H]2CCCC[C@H]2C1", "O=C1N[C@H]2CCCC[C@@H]2C1", "C", "n1ccccc1"]
    together = scaffold_split(smiles, include_chirality=False, order="row")
    assert [part.tolist() for part in together] == [[*range(8)], [9], [8]]
    apart = scaffold_split(smiles, order="row")
    assert [part.tolist() for part in apart] == [[*range(6), 8, 9], [7], [6]]


@settings(max_examples=15, deadline=None)
@given(
    st.lists(
        st.sampled_from([*BENZENES, *PYRIDINES, "C1CC1", "C1CCC1C", "o1cccc1", "s1cccc1C", "C1CCCC1"]),
        min_size=12,
        max_size=40,
    )
)
def test_parts_are_disjoint_complete_and_share_no_scaffold(smiles):
    from rdkit.Chem.Scaffolds import MurckoScaffold

    try:
        parts = scaffold_split(smiles, workers=1)
    except DataError:
        return
    assert sorted(itertools.chain(*(part.tolist() for part in parts))) == list(range(len(smiles)))
    keys = [{MurckoScaffold.MurckoScaffoldSmiles(smiles[row]) for row in part} for part in parts]
    assert not (keys[0] & keys[1] or keys[0] & keys[2] or keys[1] & keys[2])
    assert len(parts.train) <= 0.8 * len(smiles)


def test_an_unreadable_molecule_is_a_group_of_its_own_and_is_named():
    smiles = [*BENZENES[:8], "C", "nonsense("]
    with pytest.warns(DataWarning, match=r"cannot read 1 of 10.*row 9: 'nonsense\('"):
        parts = scaffold_split(smiles, order="row")
    assert sorted(itertools.chain(*(part.tolist() for part in parts))) == list(range(10))


@pytest.mark.parametrize("smiles", [["CCO"], ["C", "CC", "CCC"], []])
def test_a_split_with_an_empty_part_is_refused(smiles):
    with pytest.raises(DataError, match="would be empty"):
        scaffold_split(smiles)


def test_wrong_arguments_are_named():
    with pytest.raises(DataError, match=r"fractions.*0\.9"):
        scaffold_split(BENZENES, fractions=(0.9, 0.1, 0.1))
    with pytest.raises(DataError, match=r"order must be one of.*'sorted'"):
        scaffold_split(BENZENES, order="sorted")
    with pytest.raises(DataError, match="not one string"):
        scaffold_split("CCO")
    with pytest.raises(DataError, match="2 molecules cannot be split"):
        random_split(2, seed=0)


@pytest.mark.parametrize("num_molecules,seed", [(3, 0), (10, 1), (101, 7)])
def test_random_parts_are_disjoint_and_complete(num_molecules, seed):
    parts = random_split(num_molecules, seed)
    assert sorted(np.concatenate(parts).tolist()) == list(range(num_molecules))
    assert [len(part) for part in parts[1:]] == [max(1, num_molecules // 10)] * 2


@pytest.mark.data
@pytest.mark.parametrize(
    "name",
    ["esol", "freesolv", "bace", "bbbp", "qm7", pytest.param("tox21", marks=pytest.mark.slow)],
)
@pytest.mark.filterwarnings("ignore::jaxuq.molecules.DataWarning")
def test_the_rule_gives_the_published_scaffold_split(name, data_folder):
    data = load_molecules(name)
    made = take_split(data, scaffold_split(data.smiles))
    published = _published(DATASETS[name], find_split(DATASETS[name], "scaffold", None, None))
    for mine, theirs in zip(made, published):
        assert _contents(mine) == _contents(theirs)
        assert mine.smiles == theirs.smiles  # also row by row


@pytest.mark.data
@pytest.mark.slow
def test_the_rule_gives_the_published_parts_of_qm8_and_the_rest_is_for_training(data_folder):
    data = load_molecules("qm8")
    made = take_split(data, scaffold_split(data.smiles))
    loaded = load_dataset("qm8")
    for mine, theirs in zip(made, loaded):
        assert _contents(mine) == _contents(theirs)
    assert made.valid.smiles == loaded.valid.smiles
    assert loaded.train.task_names == loaded.test.task_names == DATASETS["qm8"].task_columns


@pytest.mark.data
@pytest.mark.parametrize("name", ["bace", "esol", "freesolv"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_published_random_splits_are_reproduced(name, seed, data_folder, tmp_path, monkeypatch):
    published = load_dataset(name, split="random", seed=seed)
    monkeypatch.delenv("JAXUQ_DATA")
    made = load_dataset(name, split="random", seed=seed)  # from the packaged file, through the scaffold rule
    for mine, theirs in zip(made, published):
        assert _contents(mine) == _contents(theirs)
