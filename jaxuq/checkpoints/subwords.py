"""Words into the sub-words of an encoder: every word by itself, nothing cut."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from jaxuq._arguments import typed
from jaxuq.checkpoints.errors import CheckpointError, refused
from jaxuq.checkpoints.plain_tokens import plain_tokens


class SubwordTokenizer(NamedTuple):
    """The sub-words of single words.

    Attributes:
        first: token that begins every text.
        last: token that ends it.
        unknown: token of a word that has no sub-words, such as one of control characters.
        padding: token in padding.
        tokenizer: of transformers.
    """

    first: int
    last: int
    unknown: int
    padding: int
    tokenizer: Any

    def encode(self, words: Iterable[str]) -> list[list[int]]:
        """Sub-words of each word, at least one; a word such as `[SEP]` is its letters.

        Args:
            words: as a data set has them.

        Returns:
            Tokens, without special ones.
        """
        plain = ["".join(letter for letter in word if letter.isprintable()) for word in words]
        if not plain:
            return []
        return [tokens or [self.unknown] for tokens in plain_tokens(self.tokenizer, plain)]


@typed()
def load_subwords(folder: Path) -> SubwordTokenizer:
    """The tokenizer of an encoder's folder.

    A limit on the length that the folder sets is lifted: sentences are divided into windows, not cut. Words of
    byte-level tokenizers (RoBERTa) are encoded as they are after a blank.

    Args:
        folder: with `tokenizer.json`, `vocab.txt` (BERT), or `vocab.json` and `merges.txt` (RoBERTa).

    Returns:
        `SubwordTokenizer`.

    Raises:
        CheckpointError: the files are missing or damaged, or the tokenizer has no beginning and end tokens.

    Example:
        >>> load_subwords(Path("no such folder"))
        Traceback (most recent call last):
        jaxuq.checkpoints.errors.CheckpointError: no such folder holds no tokenizer: ...
    """
    if not any((folder / name).is_file() for name in ("tokenizer.json", "vocab.txt", "vocab.json")):
        raise CheckpointError(f"{folder} holds no tokenizer: expected tokenizer.json, vocab.txt, or vocab.json")
    from transformers import AutoTokenizer

    with refused(f"the tokenizer in {folder} cannot be read"):
        tokenizer = AutoTokenizer.from_pretrained(
            str(folder), local_files_only=True, use_fast=True, trust_remote_code=False, add_prefix_space=True
        )
    first = tokenizer.cls_token_id if tokenizer.cls_token_id is not None else tokenizer.bos_token_id
    last = tokenizer.sep_token_id if tokenizer.sep_token_id is not None else tokenizer.eos_token_id
    if first is None or last is None:
        raise CheckpointError(f"the tokenizer in {folder} has no tokens that begin and end a text")
    padding = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else last
    unknown = tokenizer.unk_token_id if tokenizer.unk_token_id is not None else padding
    tokenizer.model_max_length = 10**9
    return SubwordTokenizer(int(first), int(last), int(unknown), int(padding), tokenizer)
