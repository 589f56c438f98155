"""SMILES into the tokens of the encoders that read them."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from jaxuq._arguments import typed
from jaxuq.checkpoints.errors import CheckpointError
from jaxuq.checkpoints.safetensors import read_json, read_text
from jaxuq.checkpoints.settings import Settings

# Atoms in brackets, elements of two letters, two- and three-digit ring closures, the arrow of a reaction, characters.
_PARTS = re.compile(r"\[[^\]]*\]|Br|Cl|%\d\d|%\(\d{3}\)|>>|.", re.DOTALL)


class SmilesTokenizer(NamedTuple):
    """Tokens of SMILES by table.

    Attributes:
        tokens: number of each part.
        first: token that begins every text.
        last: token that ends it.
        unknown: of a part that is not in the table; None leaves such parts out.
        whole_atoms: whether an atom in brackets, and an element of two letters, is one part; or else every character.
    """

    tokens: Mapping[str, int]
    first: int
    last: int
    unknown: int | None
    whole_atoms: bool

    def encode(self, smiles: Iterable[str], max_tokens: int = 512) -> list[list[int]]:
        """Tokens of each SMILES, the first and last one included.

        Args:
            smiles: molecules; an empty string is the first and last token alone.
            max_tokens: what is longer is cut, and still ends with the last token.

        Returns:
            Tokens.
        """
        encoded = []
        for text in smiles:
            parts = _PARTS.findall(text) if self.whole_atoms else list(text)
            known = (self.tokens.get(part, self.unknown) for part in parts)
            tokens = [self.first, *(token for token in known if token is not None)]
            encoded.append([*tokens[: max_tokens - 1], self.last])
        return encoded


@typed()
def load_smiles_tokenizer(folder: Path) -> SmilesTokenizer:
    """The tokenizer in the folder of an encoder of SMILES.

    A `vocab.txt` lists parts of SMILES (rxnfp, and what DeepChem calls its SMILES tokenizer); what is not there becomes
    `[UNK]`. A `vocab.json` is ChemBERTa's: its list of merges is empty, so each character is a token by itself and,
    as in the published results, a character that is no token is left out (`Cl` becomes `C`, `[nH]` becomes `n`).

    Args:
        folder: with `vocab.txt`, or `vocab.json` and `merges.txt`.

    Returns:
        `SmilesTokenizer`.

    Raises:
        CheckpointError: neither is there, the special tokens are missing, or there are merges.

    Example:
        >>> load_smiles_tokenizer(Path("no such folder"))
        Traceback (most recent call last):
        jaxuq.checkpoints.errors.CheckpointError: no such folder holds no tokenizer of SMILES: expected vocab.txt or ...
    """
    listed, table = folder / "vocab.txt", folder / "vocab.json"
    if listed.is_file():
        tokens = {part: number for number, part in enumerate(read_text(listed).splitlines())}
    elif table.is_file():
        settings = Settings(read_json(table), table)
        tokens = {part: settings.count(part, minimum=0) for part in read_json(table)}
        merges = folder / "merges.txt"
        lines = read_text(merges).splitlines() if merges.is_file() else []
        if any(line.strip() and not line.startswith("#") for line in lines):
            raise CheckpointError(f"{merges} merges characters; only tables of single characters are read as SMILES")
    else:
        raise CheckpointError(f"{folder} holds no tokenizer of SMILES: expected vocab.txt or vocab.json")
    missing = [name for name in ("[CLS]", "[SEP]", "[UNK]") if name not in tokens]
    if missing:
        raise CheckpointError(f"the vocabulary in {folder} has no {missing[0]}: it is not one of SMILES")
    whole = listed.is_file()
    return SmilesTokenizer(tokens, tokens["[CLS]"], tokens["[SEP]"], tokens["[UNK]"] if whole else None, whole)
