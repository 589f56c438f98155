"""SMILES tokens against the published examples of ChemBERTa's tokenizer, and a table of parts."""

import json

import pytest

from jaxuq.checkpoints import CheckpointError, load_smiles_tokenizer

_CHEMBERTA = {"[PAD]": 0, "N": 23, ".": 24, "n": 25, "-": 31} | {
    name: number
    for number, name in enumerate(
        ["[UNK]", "[CLS]", "[SEP]", "[MASK]", "c", "C", "(", ")", "O", "1", "2", "="], start=11
    )
}


def test_chemberta_drops_what_is_no_character_of_its_table(tmp_path):
    (tmp_path / "vocab.json").write_text(json.dumps(_CHEMBERTA))
    (tmp_path / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = load_smiles_tokenizer(tmp_path)
    assert tokenizer.encode(["CCO", "CCCl", "c1cc[nH]c1", "C[C@@H](N)C(=O)[O-]", ""]) == [
        [12, 16, 16, 19, 13],
        [12, 16, 16, 16, 13],
        [12, 15, 20, 15, 15, 25, 15, 20, 13],
        [12, 16, 16, 17, 23, 18, 16, 17, 22, 19, 18, 19, 31, 13],
        [12, 13],
    ]
    assert tokenizer.encode(["CCCCCC"], max_tokens=4) == [[12, 16, 16, 13]]


def test_a_list_of_parts_keeps_atoms_whole_and_knows_what_it_does_not_know(tmp_path):
    parts = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "C", "Cl", "[nH]", "c", "1", "%12", ">>", "."]
    (tmp_path / "vocab.txt").write_text("\n".join(parts) + "\n")
    tokenizer = load_smiles_tokenizer(tmp_path)
    assert tokenizer.encode(["CCl.[nH]c1[Xe]%12>>B"]) == [[2, 4, 5, 11, 6, 7, 8, 1, 9, 10, 1, 3]]


def test_other_vocabularies_are_refused(tmp_path):
    (tmp_path / "vocab.json").write_text(json.dumps({"a": 0}))
    with pytest.raises(CheckpointError, match=r"has no \[CLS\]"):
        load_smiles_tokenizer(tmp_path)
    (tmp_path / "merges.txt").write_text("a b\n")
    with pytest.raises(CheckpointError, match="merges characters"):
        load_smiles_tokenizer(tmp_path)
