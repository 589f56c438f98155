"""The catalogue, the order in which data are found, and downloads."""

import gzip
import hashlib
import json
import shutil

import numpy as np
import pytest

from jaxuq.cli.main import main
from jaxuq.molecules import (
    DataError,
    DataWarning,
    dataset_info,
    finding,
    load_dataset,
    load_molecules,
)
from jaxuq.molecules.catalogue import DATASETS

# Table 2.3: molecules, tasks, category. QM7 and ToxCast differ in the files (6,830 and 8,576).
TABLE = {
    "bbbp": (2039, 1, "physiology"),
    "clintox": (1478, 2, "physiology"),
    "tox21": (7831, 12, "physiology"),
    "toxcast": (8575, 617, "physiology"),
    "sider": (1427, 27, "physiology"),
    "bace": (1513, 1, "biophysics"),
    "hiv": (41127, 1, "biophysics"),
    "muv": (93087, 17, "biophysics"),
    "esol": (1128, 1, "physical chemistry"),
    "freesolv": (642, 1, "physical chemistry"),
    "lipo": (4200, 1, "physical chemistry"),
    "qm7": (7160, 1, "quantum mechanics"),
    "qm8": (21786, 12, "quantum mechanics"),
    "qm9": (133885, 3, "quantum mechanics"),
}


def test_the_catalogue_is_the_published_table():
    assert {name: (i.published_size, i.num_tasks, i.category) for name, i in DATASETS.items()} == TABLE
    for info in DATASETS.values():
        expected = {"physical chemistry": "rmse", "quantum mechanics": "mae"}.get(info.category, "roc-auc")
        assert info.metric == expected
        assert info.task_type == ("classification" if expected == "roc-auc" else "regression")
        assert info.muben_metric == ("prc-auc" if info.name == "muv" else expected)


def test_names_are_forgiving_and_unknown_ones_get_a_suggestion():
    assert dataset_info("Lipophilicity") is dataset_info(" LIPO ") is DATASETS["lipo"]
    with pytest.raises(DataError, match="did you mean freesolv"):
        dataset_info("freesolve")
    with pytest.raises(DataError, match=r"did you mean .*tox21"):
        load_dataset("tox12")


@pytest.mark.parametrize(
    "name,first,label", [("esol", "OCC3OC", -0.77), ("freesolv", "CN(C)C", -11.01), ("bace", "O1CC", 1.0)]
)
def test_three_sets_need_neither_a_folder_nor_the_network(name, first, label):
    data = load_molecules(name, download=False)
    assert len(data.smiles) == DATASETS[name].num_molecules
    assert data.smiles[0].startswith(first)
    assert data.smiles == [text.strip() for text in data.smiles]
    np.testing.assert_allclose(data.labels[0, 0], label, rtol=1e-6)
    assert data.mask.all() and data.labels.dtype == np.float64 and not data.rejected
    assert data.metric == DATASETS[name].metric


@pytest.mark.data
@pytest.mark.parametrize("name", ["esol", "freesolv", "bace"])
def test_packaged_files_equal_the_published_ones(name, data_folder, monkeypatch):
    published = load_molecules(name)
    monkeypatch.delenv("JAXUQ_DATA")
    packaged = load_molecules(name)
    assert packaged.smiles == published.smiles
    np.testing.assert_array_equal(packaged.labels, published.labels)


@pytest.mark.data
def test_the_pinned_hashes_are_those_of_the_published_files(data_folder):
    checked = 0
    for info in DATASETS.values():
        if info.sha256 is not None:
            path = finding.find_raw(info, data_folder, download=False)
            if path.is_relative_to(data_folder):
                checked += hashlib.sha256(finding.read_bytes(path)).hexdigest() == info.sha256
    assert checked == 13


@pytest.mark.data
@pytest.mark.parametrize("name,rejected", [("bbbp", 11), ("qm7", 4), ("lipo", 0), ("sider", 0)])
def test_cleaning_gives_the_benchmarks_sizes(name, rejected, data_folder):
    data = load_molecules(name)
    assert (len(data.smiles), len(data.rejected)) == (DATASETS[name].num_molecules, rejected)
    assert data.labels.shape[1] == DATASETS[name].num_tasks


@pytest.mark.data
def test_a_missing_training_file_is_completed_only_with_the_raw_file(data_folder, monkeypatch, tmp_path):
    with pytest.raises(DataError, match=r"qm9.*not on this machine.*hash.*Fetch https.*qm9\.csv"):
        load_dataset("qm9")


def _small_raw(folder, name="freesolv.csv", rows=12):
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["iupac,smiles,expt,calc", *(f"x,{'C' * (k + 1)},{k}.5,0" for k in range(rows))]
    (folder / name).write_text("\n".join(lines))
    return folder / name


def test_places_are_searched_in_order(tmp_path, monkeypatch):
    info = DATASETS["freesolv"]
    packaged = finding.find_raw(info, None, download=False)
    assert packaged.name == "freesolv.csv.gz"
    environment = _small_raw(tmp_path / "environment" / "moleculenet" / "raw")
    monkeypatch.setenv("JAXUQ_DATA", str(tmp_path / "environment"))
    assert finding.find_raw(info, None, download=False) == environment
    own = _small_raw(tmp_path / "own", "SAMPL.csv")
    assert finding.find_raw(info, tmp_path / "own", download=False) == own
    with pytest.warns(DataWarning, match="gives 12 molecules where the benchmark's freesolv has 642"):
        assert len(load_molecules("freesolv", tmp_path / "own").smiles) == 12
    monkeypatch.delenv("JAXUQ_DATA")
    cached = _small_raw(finding.cache_folder() / "moleculenet" / "raw", "Lipophilicity.csv")
    assert finding.find_raw(DATASETS["lipo"], None, download=False) == cached
    with pytest.raises(DataError, match="nowhere does not exist"):
        load_molecules("esol", tmp_path / "nowhere")


def test_what_is_missing_is_said_with_address_and_place():
    with pytest.raises(
        DataError, match=r"tox21 is not on this machine and downloading is switched off.*tox21\.csv\.gz"
    ):
        load_molecules("tox21", download=False)
    with pytest.raises(DataError, match=r"does not download it.*could not be verified.*JAXUQ_DATA"):
        load_molecules("qm9")


def _serve(monkeypatch, content, error=None):
    """Answer every download with `content`."""
    import pooch

    def retrieve(url, known_hash, path, fname):
        if error:
            raise error
        target = f"{path}/{fname}"
        with open(target, "wb") as stream:
            stream.write(content)
        return target

    monkeypatch.setattr(pooch, "retrieve", retrieve)


def test_a_download_is_kept_only_if_its_content_is_the_known_one(monkeypatch):
    text = b"smiles,exp,CMPD_CHEMBLID\n" + b"".join(b"%s,%d.5,a\n" % (b"C" * (k + 1), k) for k in range(5))
    info = DATASETS["lipo"]._replace(sha256=hashlib.sha256(text).hexdigest(), files=("lipo_test.csv.gz",))
    _serve(monkeypatch, gzip.compress(b"something else"))
    with pytest.raises(DataError, match="sent another file than the one that jaxuq knows"):
        finding.find_raw(info, None, download=True)
    assert not list(finding.cache_folder().rglob("*.csv"))
    _serve(monkeypatch, gzip.compress(text))
    path = finding.find_raw(info, None, download=True)
    assert path.read_bytes() == text and path.is_relative_to(finding.cache_folder())
    _serve(monkeypatch, b"", error=AssertionError("the cache should have been used"))
    assert finding.find_raw(info, None, download=True) == path
    assert [p.name for p in path.parent.iterdir()] == ["lipo_test.csv"]


def test_a_truncated_or_failed_download_says_how_to_do_it_by_hand(monkeypatch):
    info = DATASETS["tox21"]
    _serve(monkeypatch, gzip.compress(b"smiles" * 1000)[:40])
    with pytest.raises(DataError, match=r"not a complete gzip file.*Fetch https"):
        finding.find_raw(info, None, download=True)
    _serve(monkeypatch, b"", error=OSError("no route to host"))
    with pytest.raises(DataError, match=r"could not be downloaded.*no route to host.*Fetch https"):
        finding.find_raw(info, None, download=True)


def _write_split(folder, train=True):
    folder.mkdir(parents=True)
    parts = {"valid": ["CCCCCC"], "test": ["CCCCCCC"]} | ({"train": ["C", "CC"]} if train else {})
    for part, smiles in parts.items():
        rows = [f"{k},{text},[{k}.25],[1.0]" for k, text in enumerate(smiles)]
        (folder / f"{part}.csv").write_text("\n".join([",smiles,labels,masks", *rows]))
    (folder / "meta.json").write_text(json.dumps({"task_type": "regression", "n_tasks": 1, "classes": None}))


def test_published_split_files_are_preferred(tmp_path):
    _write_split(tmp_path / "moleculenet" / "scaffold" / "freesolv")
    split = load_dataset("freesolv", folder=tmp_path)
    assert (split.train.smiles, split.valid.smiles) == (["C", "CC"], ["CCCCCC"])
    assert split.train.task_names == ("expt",) and split.train.metric == "rmse"
    _write_split(tmp_path / "moleculenet" / "random" / "freesolv" / "seed-4")
    assert load_dataset("freesolv", "random", seed=4, folder=tmp_path).test.smiles == ["CCCCCCC"]
    assert len(load_dataset("freesolv", "random", seed=5, folder=tmp_path).train.smiles) == 2


def test_a_training_part_that_is_not_published_is_the_rest(tmp_path):
    _write_split(tmp_path / "scaffold" / "freesolv", train=False)
    _small_raw(tmp_path / "raw")
    with pytest.warns(DataWarning, match="12 molecules"):
        split = load_dataset("freesolv", folder=tmp_path)
    assert split.train.smiles == ["C" * k for k in range(1, 13) if k not in (6, 7)]
    assert split.valid.smiles == ["CCCCCC"]


def test_a_csv_file_and_a_folder_are_data_sets_too(tmp_path):
    path = tmp_path / "mine.csv"
    rings = {"c1ccccc1": 8, "n1ccccc1": 8, "o1cccc1": 8, "C1CC1": 3, "C1CCC1": 3}
    rows = [f"{ring}{'C' * k},{k}.5" for ring, count in rings.items() for k in range(count)]
    path.write_text("\n".join(["smiles,y", *rows]))
    split = load_dataset(str(path))
    assert [part.smiles[0] for part in split] == ["c1ccccc1", "C1CCC1", "C1CC1"]
    assert [len(part.smiles) for part in split] == [24, 3, 3]
    random = load_dataset(path, "random", seed=3)
    assert [len(part.smiles) for part in random] == [24, 3, 3]
    with pytest.raises(DataError, match="split must be 'scaffold' or 'random', got 'stratified'"):
        load_dataset(path, "stratified")
    _write_split(tmp_path / "folder")
    assert load_dataset(tmp_path / "folder").train.smiles == ["C", "CC"]
    shutil.rmtree(tmp_path / "folder")
    with pytest.raises(DataError, match="no data set is called"):
        load_dataset(str(tmp_path / "folder"))


@pytest.mark.parametrize(
    ("name", "value"),
    [("smiles_column", "smiles"), ("task_columns", ["y"]), ("task_type", "regression"), ("separator", ";"),
     ("decimal", ","), ("part_column", "part"), ("weight_column", "weight")],
)  # fmt: skip
def test_options_of_tables_are_refused_where_no_table_is_read(name, value, tmp_path, capsys):
    for part in ("train", "valid", "test"):
        (tmp_path / f"{part}.csv").write_text("smiles,labels,masks\nCC,[1.5],[1]\n")
    said = rf"--{name.replace('_', '-')} \({name} in Python\) says how a table is read, and"
    with pytest.raises(DataError, match=rf"{said} esol is a data set by name"):
        load_dataset("esol", **{name: value})
    with pytest.raises(DataError, match=rf"{said} .* is a folder of three parts"):
        load_dataset(tmp_path, **{name: value})
    typed = f"--{name.replace('_', '-')}".replace("smiles-column", "smiles-columns")
    with pytest.raises(SystemExit):
        main(["molecules", "fit", "esol", typed, value if isinstance(value, str) else value[0]])
    assert f"jaxuq: {typed} (" in capsys.readouterr().err
