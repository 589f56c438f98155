"""The benchmark's backbones that read SMILES as text: ChemBERTa, rxnfp, or any other BERT or RoBERTa."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxuq.checkpoints import SmilesTokenizer, load_encoder, load_smiles_tokenizer
from jaxuq.molecules.muben.backbones import Backbone, Count
from jaxuq.molecules.muben.configuration import MubenConfiguration
from jaxuq.molecules.muben.recipe import Recipe
from jaxuq.molecules.records import DataError
from jaxuq.networks import SmilesEncoder, TokenRows


def chemberta(configuration: MubenConfiguration) -> Backbone:
    """ChemBERTa from a folder with `config.json`, `vocab.json` and weights.

    Args:
        configuration: names the folder.

    Returns:
        The backbone.

    Raises:
        DataError: no folder is named.
        CheckpointError: the folder cannot be read.
    """
    path = configuration.checkpoint_of("chemberta")
    if path is None:
        raise DataError(
            "backbone chemberta starts from pretrained weights: name a folder with config.json, vocab.json and "
            "model.safetensors or pytorch_model.bin (DeepChem/ChemBERTa-77M-MLM) with --checkpoint FOLDER"
        )
    return _of_folder(path)


def rxnfp(configuration: MubenConfiguration) -> Backbone:
    """The encoder of the package `rxnfp`, trained on reactions; fetched unless a folder is named.

    Args:
        configuration: may name a folder.

    Returns:
        The backbone.

    Raises:
        CheckpointError: the weights cannot be had or read.
    """
    return _of_folder(configuration.checkpoint_of("rxnfp") or "rxnfp")


def _of_folder(folder: str | Path) -> Backbone:
    loaded = load_encoder(folder)
    tokenizer, config = load_smiles_tokenizer(loaded.path), loaded.module.config
    params: dict[str, Any] = {"encoder": {name: part for name, part in loaded.params.items() if name != "pooler"}}
    if "pooler" in loaded.params:
        params["pool"] = loaded.params["pooler"]
    return Backbone(
        lambda smiles, progress: token_rows(tokenizer, smiles, config.max_tokens, progress),
        lambda num_outputs: SmilesEncoder(num_outputs, config),
        Recipe(1e-5, 128, 200, 40),
        molecules_at_once=128,
        pretrained=lambda: params,
        weights=loaded.digest,
    )


def token_rows(tokenizer: SmilesTokenizer, smiles: Sequence[str], max_tokens: int, progress: Count = None) -> TokenRows:
    """SMILES as padded rows of tokens.

    Args:
        tokenizer: of the encoder.
        smiles: the molecules.
        max_tokens: the encoder's; what is longer is cut.
        progress: called once, at the end.

    Returns:
        NumPy arrays.
    """
    encoded = tokenizer.encode(smiles, max_tokens)
    lengths = np.array([len(tokens) for tokens in encoded], np.int32)
    table = np.zeros((len(encoded), int(lengths.max(initial=1))), np.int32)
    for row, tokens in zip(table, encoded):
        row[: len(tokens)] = tokens
    if progress is not None:
        progress(len(encoded), len(encoded))
    percentiles = tuple(int(np.ceil(length)) for length in np.percentile(lengths, np.arange(101)))
    return TokenRows(table, lengths, percentiles)
