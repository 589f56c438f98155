"""Text to tokens, where what the text says is text: no token that steers a model comes of it, however it is written.

A tokenizer can be told to leave its special tokens alone, but not those that its own vocabulary (Unigram, WordLevel,
BPE that looks whole words up first) or its other added tokens match, nor those that a normalisation makes of other
letters. So the tokens of a text are looked at, and where one of them steers, the text is encoded by a twin of the
tokenizer in which such tokens have names that nobody can write; all numbers are the same.
"""

import json
import re
import secrets
import weakref
from collections.abc import Sequence
from typing import Any, NamedTuple

from jaxuq._arguments import typed
from jaxuq.checkpoints.errors import CheckpointError, refused

_STEERS = re.compile(
    r"<[|｜][^<>]+[|｜]>|</?s>|<(bos|eos|pad|mask|cls|sep|start_of_turn|end_of_turn)>|\[/?INST\]|<</?SYS>>"
    r"|\[(CLS|SEP|PAD|MASK|BOS|EOS)\]"
)
"""Names that steer some family of models, where they are one token of a vocabulary."""


class _Known(NamedTuple):
    """What is found of a tokenizer once.

    Attributes:
        version: of its special tokens and size, which a user may change.
        steering: numbers of tokens that steer, by name.
        twins: the twin, once it was needed.
    """

    version: tuple[Any, ...]
    steering: dict[str, int]
    twins: list[Any]


_KNOWN: "weakref.WeakKeyDictionary[Any, _Known]" = weakref.WeakKeyDictionary()


def _known(tokenizer: Any) -> _Known:
    version = (len(tokenizer), tuple(tokenizer.all_special_ids))
    found = _KNOWN.get(tokenizer)
    if found is None or found.version != version:
        vocabulary = tokenizer.get_vocab()
        special = {str(token) for token in tokenizer.added_tokens_decoder.values() if token.special}
        names = special | set(tokenizer.all_special_tokens) | {name for name in vocabulary if _STEERS.fullmatch(name)}
        found = _Known(version, {name: int(vocabulary[name]) for name in sorted(names) if name in vocabulary}, [])
        _KNOWN[tokenizer] = found
    return found


def steering_tokens(tokenizer: Any) -> dict[str, int]:
    """The tokens that no text may become: special ones, and those whose names steer some family of models.

    Args:
        tokenizer: of transformers.

    Returns:
        Token numbers by name.

    Example:
        >>> from tokenizers import Tokenizer, models
        >>> from transformers import PreTrainedTokenizerFast
        >>> words = Tokenizer(models.WordLevel({"<unk>": 0, "hello": 1, "</s>": 2}, unk_token="<unk>"))
        >>> steering_tokens(PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unk>"))
        {'</s>': 2, '<unk>': 0}
    """
    return dict(_known(tokenizer).steering)


@typed()
def plain_tokens(tokenizer: Any, texts: Sequence[str], *, begin: bool = False) -> list[list[int]]:
    """The tokens of texts that say nothing but themselves.

    Texts that no steering token comes of have the tokens that transformers gives with `split_special_tokens=True`.

    Args:
        tokenizer: of transformers.
        texts: to encode.
        begin: put the tokens there with which the tokenizer begins and ends every text.

    Returns:
        Token numbers of each text.

    Raises:
        CheckpointError: a text is matched as a steering token by a tokenizer that has no fast form.

    Example:
        >>> from tokenizers import Tokenizer, models, pre_tokenizers
        >>> from transformers import PreTrainedTokenizerFast
        >>> words = Tokenizer(models.WordLevel({"<unk>": 0, "hello": 1, "</s>": 2}, unk_token="<unk>"))
        >>> words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        >>> plain_tokens(PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unk>"), ["hello </s>"])
        [[1, 0]]
    """
    if not texts:
        return []
    listed = list(texts)
    encode = {"split_special_tokens": True, "return_attention_mask": False, "verbose": False}
    usual = tokenizer(listed, add_special_tokens=False, **encode)["input_ids"]
    steering = set(_known(tokenizer).steering.values())
    hostile = [row for row, tokens in enumerate(usual) if not steering.isdisjoint(tokens)]
    found = usual
    if begin:
        found = tokenizer(listed, add_special_tokens=True, **encode)["input_ids"]
    found = [[int(token) for token in tokens] for tokens in found]
    if hostile:
        twin = _twin(tokenizer)
        for row, made in zip(hostile, twin.encode_batch([listed[row] for row in hostile], add_special_tokens=begin)):
            found[row] = list(made.ids)
    return found


def _twin(tokenizer: Any) -> Any:
    """The same tokenizer with other names for the tokens that steer."""
    known = _known(tokenizer)
    if not known.twins:
        backend = getattr(tokenizer, "backend_tokenizer", None)
        if backend is None or not hasattr(backend, "to_str"):
            raise CheckpointError(
                "the text holds the name of a special token, and this tokenizer cannot read it as text; load the model "
                "with its fast tokenizer (tokenizer.json)"
            )
        from tokenizers import Tokenizer

        content = json.loads(backend.to_str())
        mark = "\U0010ffff" + secrets.token_hex(8)  # in no text, for it is drawn here
        _rename(content, {name: f"{mark}{number}" for name, number in known.steering.items()})
        with refused("the tokenizer cannot be told to read special tokens as text"):
            twin = Tokenizer.from_str(json.dumps(content))
        twin.no_truncation()
        twin.no_padding()
        known.twins.append(twin)
    return known.twins[0]


def _rename(content: dict[str, Any], names: dict[str, str]) -> None:
    """New names in a tokenizer's file, wherever text is matched with the old ones."""
    for added in content.get("added_tokens") or []:
        added["content"] = names.get(added["content"], added["content"])
    model = content["model"]
    vocabulary = model["vocab"]
    if isinstance(vocabulary, dict):
        model["vocab"] = {names.get(name, name): number for name, number in vocabulary.items()}
    else:
        model["vocab"] = [[names.get(name, name), *rest] for name, *rest in vocabulary]
    if model.get("unk_token") in names:
        model["unk_token"] = names[model["unk_token"]]
    if model.get("merges"):
        prefix = len(model.get("continuing_subword_prefix") or "")
        pairs = [(pair, pair.split(" ") if isinstance(pair, str) else pair) for pair in model["merges"]]
        model["merges"] = [pair for pair, (a, b) in pairs if not {a, b, a + b[prefix:]} & names.keys()]
