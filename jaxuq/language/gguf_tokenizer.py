"""The tokenizer inside a GGUF file: byte-level BPE as of GPT-2, or SentencePiece's BPE as of Llama 2 and Gemma."""

from typing import TYPE_CHECKING, Any

from jaxuq.checkpoints.errors import refused
from jaxuq.checkpoints.settings import Settings
from jaxuq.language.errors import CheckpointError
from jaxuq.language.gguf import GGUFFile

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

_UNKNOWN, _CONTROL, _USER_DEFINED = 2, 3, 4
_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_SPLITS = {  # how text is cut before merges; None: GPT-2's pattern, which is built in
    "default": None,
    "gpt-2": None,
    "smollm": None,
    "llama-bpe": _CONTRACTIONS + r"|\p{N}{1,3}" + _REST,
    "qwen2": _CONTRACTIONS + r"|\p{N}" + _REST,
}
_SAME = {"llama3": "llama-bpe", "llama-v3": "llama-bpe", "deepseek-r1-qwen": "qwen2"}
_SPECIAL = {"bos_token": "bos", "eos_token": "eos", "unk_token": "unknown", "pad_token": "padding"}
_REFUSED = {  # with the values that ask for nothing
    "tokenizer.ggml.add_sep_token": ("separators around texts are", (False,)),
    "tokenizer.ggml.remove_extra_whitespaces": ("tokenizers that drop blanks are", (False,)),
    "tokenizer.ggml.precompiled_charsmap": ("tables of characters are", ([],)),
    "tokenizer.rwkv.world": ("tokenizers of RWKV are", ()),
}
_OF_THE_OTHER_KIND = {  # what converters write into every file and one kind of tokenizer alone reads
    "gpt2": ("tokenizer.ggml.scores",),
    "llama": ("tokenizer.ggml.merges", "tokenizer.ggml.pre"),
}
_IRRELEVANT = (  # for other uses of a model than continuing a text, or read elsewhere
    "tokenizer.huggingface.json", "tokenizer.ggml.token_type_count",
    *(f"tokenizer.ggml.{name}_token_id" for name in (
        "eot", "eom", "seperator", "separator", "cls", "mask", "prefix", "suffix", "middle", "fim_pre", "fim_suf",
        "fim_mid", "fim_pad", "fim_rep", "fim_sep")),
)  # fmt: skip


def gguf_tokenizer(file: GGUFFile) -> "PreTrainedTokenizerFast":
    """Build the tokenizer of a file, with its special tokens and chat template.

    Args:
        file: from `read_gguf`.

    Returns:
        A tokenizer as transformers has them.

    Raises:
        CheckpointError: the kind of tokenizer is not supported (by name), or its metadata contradict each other.
    """
    settings = gguf_tokenizer_settings(file)
    kind = settings.typed("tokenizer.ggml.model", str)
    tokens = settings.typed("tokenizer.ggml.tokens", list)
    types = settings.typed("tokenizer.ggml.token_type", list, [1] * len(tokens))
    if not all(isinstance(token, str) for token in tokens) or len(types) != len(tokens):
        raise CheckpointError(f"{file.path} has {len(tokens)} tokens and {len(types)} token types, or not of text")
    if kind not in ("gpt2", "llama"):
        raise CheckpointError(f"{file.path} has a tokenizer of kind {kind!r}; supported are gpt2 and llama")
    for key, (what, harmless) in _REFUSED.items():
        settings.refuse(key, what, *harmless)
    with refused(f"{file.path} has a tokenizer that cannot be built"):
        tokenizer = _byte_level(settings, tokens) if kind == "gpt2" else _sentencepiece(file, settings, tokens, types)
        made = _wrap(file, settings, tokenizer, tokens, types, kind)
    names = [name for name in file.metadata if name.startswith("tokenizer.chat_template")]
    settings.finish(irrelevant=[*_IRRELEVANT, *_OF_THE_OTHER_KIND[kind], *names], strict=["tokenizer."])
    return made


def gguf_tokenizer_settings(file: GGUFFile) -> Settings:
    """The keys of a file that are about its tokenizer."""
    return Settings({key: value for key, value in file.metadata.items() if key.startswith("tokenizer.")}, file.path)


def gguf_stops(file: GGUFFile) -> tuple[int, ...]:
    """The tokens by which a file says that a turn or message ends, beside the end of the text.

    Args:
        file: from `read_gguf`.

    Returns:
        Token numbers.

    Raises:
        CheckpointError: one is not a token number.
    """
    settings = gguf_tokenizer_settings(file)
    stops = (settings.count(f"tokenizer.ggml.{name}_token_id", None, minimum=0) for name in ("eot", "eom"))
    return tuple(stop for stop in stops if stop is not None)


def _merges(settings: Settings) -> list[tuple[str, str]]:
    merges = [tuple(str(merge).split(" ")) for merge in settings.typed("tokenizer.ggml.merges", list)]
    if any(len(merge) != 2 for merge in merges):
        raise CheckpointError(f"{settings.source} has merges that are not of two tokens")
    return merges  # pyright: ignore[reportReturnType]


def _byte_level(settings: Settings, tokens: list[str]) -> "Tokenizer":
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

    settings.refuse("tokenizer.ggml.add_space_prefix", "byte-level tokenizers that begin with a space are", False)
    name = settings.typed("tokenizer.ggml.pre", str, "default")
    name = _SAME.get(name, name)
    if name not in _SPLITS:
        raise CheckpointError(
            f"{settings.source} cuts text in the manner of {name!r} (tokenizer.ggml.pre); supported are "
            f"{', '.join([*_SPLITS, *_SAME])}"
        )
    vocabulary = {token: index for index, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocabulary, _merges(settings), ignore_merges=name == "llama-bpe"))
    split = _SPLITS[name]
    parts: list[Any] = [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=split is None)]
    if split is not None:
        parts.insert(0, pre_tokenizers.Split(Regex(split), "isolated"))
    if name == "smollm":
        parts.insert(0, pre_tokenizers.Digits(individual_digits=True))
    if name == "qwen2":
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(parts)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _sentencepiece(file: GGUFFile, settings: Settings, tokens: list[str], types: list[int]) -> "Tokenizer":
    from tokenizers import Tokenizer, decoders, models, normalizers

    scores = settings.typed("tokenizer.ggml.scores", list)
    if len(scores) != len(tokens) or not all(isinstance(score, int | float) for score in scores):
        raise CheckpointError(f"{file.path} has {len(tokens)} tokens and {len(scores)} scores")
    vocabulary = {token: index for index, token in enumerate(tokens)}
    unknown = next((token for token, kind in zip(tokens, types) if kind == _UNKNOWN), None)
    merges = _merges_by_score(tokens, types, scores)
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, unk_token=unknown, fuse_unk=True, byte_fallback=True))
    prefix = settings.typed("tokenizer.ggml.add_space_prefix", bool, not _is_gemma(file))
    spaces = normalizers.Replace(" ", "▁")
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), spaces]) if prefix else spaces
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    tokenizer.decoder = decoders.Sequence([*steps, decoders.Strip(" ", 1, 0)] if prefix else steps)
    return tokenizer


def _is_gemma(file: GGUFFile) -> bool:
    return str(file.metadata.get("general.architecture")).startswith("gemma")


def _merges_by_score(tokens: list[str], types: list[int], scores: list[float]) -> list[tuple[str, str]]:
    """Every way of joining two pieces into a third, best piece first, as SentencePiece joins them."""
    pieces = {
        token: (-score, index)
        for index, (token, kind, score) in enumerate(zip(tokens, types, scores))
        if kind in (1, _USER_DEFINED)
    }
    merges = []
    for token, rank in pieces.items():
        for cut in range(1, len(token)):
            if token[:cut] in pieces and token[cut:] in pieces:
                merges.append((rank, pieces[token[:cut]][1], pieces[token[cut:]][1], token[:cut], token[cut:]))
    return [merge[-2:] for merge in sorted(merges)]


def _wrap(
    file: GGUFFile, settings: Settings, tokenizer: "Tokenizer", tokens: list[str], types: list[int], kind: str
) -> "PreTrainedTokenizerFast":
    from tokenizers import AddedToken, processors
    from transformers import PreTrainedTokenizerFast

    ids = {name: settings.count(f"tokenizer.ggml.{key}_token_id", None, minimum=0) for name, key in _SPECIAL.items()}
    beyond = {name: index for name, index in ids.items() if index is not None and index >= len(tokens)}
    if beyond:
        raise CheckpointError(f"{file.path} has {len(tokens)} tokens and special tokens beyond them: {beyond}")
    special: dict[str, Any] = {name: tokens[index] for name, index in ids.items() if index is not None}
    control = [
        AddedToken(token, normalized=False, special=True)
        for token, of in zip(tokens, types)
        if of in (_CONTROL, _UNKNOWN) or token in special.values()
    ]
    tokenizer.add_special_tokens(control)
    defined = [token for token, of in zip(tokens, types) if of == _USER_DEFINED and token not in special.values()]
    tokenizer.add_tokens([AddedToken(token, normalized=False) for token in defined])

    defaults = {"bos": kind == "llama" or file.metadata.get("tokenizer.ggml.pre") == "llama-bpe", "eos": False}
    added = [
        special[f"{name}_token"]
        if settings.typed(f"tokenizer.ggml.add_{name}_token", bool, default) and f"{name}_token" in special
        else None
        for name, default in defaults.items()
    ]
    ends = [(token, tokenizer.token_to_id(token)) for token in added if token is not None]
    pattern = [token for token in (added[0], "$A", added[1]) if token is not None]
    first = processors.ByteLevel(trim_offsets=False) if kind == "gpt2" else None
    template = processors.TemplateProcessing(single=pattern, pair=[*pattern, "$B:1"], special_tokens=ends)
    if ends:
        tokenizer.post_processor = processors.Sequence([first, template]) if first else template
    elif first:
        tokenizer.post_processor = first
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        chat_template=settings.typed("tokenizer.chat_template", str, None),
        model_max_length=Settings(file.metadata, file.path).count(
            f"{file.metadata['general.architecture']}.context_length"
        ),
        clean_up_tokenization_spaces=False,
        **special,
    )
