"""spaCy's DocBin (`.spacy`) read with nothing but the standard library: MessagePack in zlib, words by their hashes."""

import struct
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxuq._damaged import DAMAGED
from jaxuq._extras import needed_package
from jaxuq.tagging.records import Span, TaggingDataError

_ORTH, _ENT_IOB, _ENT_TYPE = 65, 77, 78  # spaCy's numbers of attributes
_MISSING, _INSIDE, _OUTSIDE, _BEGIN = range(4)
_MOST_BYTES = 2**31  # unpacked
_MOST_SYMBOLS = 10_000
_WORD = (1 << 64) - 1
_SIZES = {0xC4: "B", 0xC5: ">H", 0xC6: ">I", 0xD9: "B", 0xDA: ">H", 0xDB: ">I", 0xDC: ">H", 0xDD: ">I", 0xDE: ">H",
          0xDF: ">I"}  # fmt: skip
_NUMBERS = {0xCA: ">f", 0xCB: ">d", 0xCC: "B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q", 0xD0: "b", 0xD1: ">h", 0xD2: ">i",
            0xD3: ">q"}  # fmt: skip


class Document(NamedTuple):
    """A document of a DocBin.

    Attributes:
        words: its tokens, blank ones too.
        spaces: whether a blank follows each.
        entities: in tokens; None where no token has been annotated.
    """

    words: list[str]
    spaces: list[bool]
    entities: list[Span] | None


def read_docbin(path: Path) -> list[Document]:
    """The documents of a file.

    Raises:
        TaggingDataError: it is no DocBin, or is damaged.
    """
    try:
        unpacker = zlib.decompressobj()
        content = unpacker.decompress(path.read_bytes(), _MOST_BYTES)
        if unpacker.unconsumed_tail:
            raise ValueError(f"unpacked it has more than {_MOST_BYTES} bytes; divide it")
        return _documents(_Unpacker(content).value())
    except (struct.error, KeyError, IndexError, TypeError, AttributeError, OverflowError, *DAMAGED) as error:
        raise TaggingDataError(f"{path} could not be read as a DocBin of spaCy: {error}") from None


def _documents(record: Any) -> list[Document]:
    attributes = list(record["attrs"])
    lengths = np.frombuffer(record["lengths"], "<i4")
    table = np.frombuffer(record["tokens"], "<u8").reshape(-1, len(attributes))
    strings = {string_hash(text): text for text in record["strings"]} | {0: ""}
    strings |= _symbols(
        table[:, [attributes.index(name) for name in (_ORTH, _ENT_TYPE) if name in attributes]], strings
    )
    spaces = np.frombuffer(record["spaces"], bool)
    if lengths.min(initial=0) < 0 or lengths.sum() != len(table) or len(spaces) != len(table):
        raise ValueError("the numbers of tokens disagree")
    places = [attributes.index(name) if name in attributes else -1 for name in (_ORTH, _ENT_IOB, _ENT_TYPE)]
    if places[0] < 0:
        raise ValueError("it holds no words (ORTH)")
    result, at = [], 0
    for length in lengths.tolist():
        rows = table[at : at + length]
        words = [strings[int(row[places[0]])] for row in rows]
        entities = None
        if min(places) >= 0 and (rows[:, places[1]] != _MISSING).any():
            entities = _entities(rows[:, places[1]].tolist(), [strings[int(row[places[2]])] for row in rows])
        result.append(Document(words, spaces[at : at + length].tolist(), entities))
        at += length
    return result


def _symbols(table: np.ndarray, strings: dict[int, str]) -> dict[int, str]:
    """Strings that spaCy has a number for in place of a hash, such as LOC; only it knows which."""
    unknown = {number for number in np.unique(table).tolist() if number not in strings and number < _MOST_SYMBOLS}
    if not unknown:
        return {}
    symbols = needed_package("spacy.symbols", "a DocBin with spaCy's own names of types").IDS
    return {number: name for name, number in symbols.items() if number in unknown}


def _entities(borders: list[int], kinds: list[str]) -> list[Span]:
    entities: list[Span] = []
    for token, (border, kind) in enumerate(zip(borders, kinds)):
        if border == _BEGIN:
            entities.append((token, token + 1, kind))
        elif border == _INSIDE and entities and entities[-1][1] == token:
            entities[-1] = (entities[-1][0], token + 1, entities[-1][2])
    return entities


class _Unpacker:
    """MessagePack without its extension types: what no byte can make run."""

    def __init__(self, content: bytes):
        self._content, self._at = content, 0

    def _take(self, count: int) -> bytes:
        part = self._content[self._at : self._at + count]
        if len(part) < count:
            raise ValueError("it ends too early")
        self._at += count
        return part

    def _number(self, form: str) -> Any:
        return struct.unpack(form, self._take(struct.calcsize(form)))[0]

    def value(self) -> Any:
        """The next value."""
        head = self._take(1)[0]
        if head <= 0x7F or head >= 0xE0:
            return head if head <= 0x7F else head - 0x100
        if head in _NUMBERS:
            return self._number(_NUMBERS[head])
        if head in (0xC0, 0xC2, 0xC3):
            return {0xC0: None, 0xC2: False, 0xC3: True}[head]
        if 0xA0 <= head <= 0xBF or 0xD9 <= head <= 0xDB:
            return self._take(head & 0x1F if head <= 0xBF else self._number(_SIZES[head])).decode("utf-8")
        if 0xC4 <= head <= 0xC6:
            return self._take(self._number(_SIZES[head]))
        if 0x90 <= head <= 0x9F or head in (0xDC, 0xDD):
            return [self.value() for _ in range(head & 0x0F if head <= 0x9F else self._number(_SIZES[head]))]
        if head <= 0x8F or head in (0xDE, 0xDF):
            count = head & 0x0F if head <= 0x8F else self._number(_SIZES[head])
            return {self.value(): self.value() for _ in range(count)}
        raise ValueError(f"byte {head:#x} begins a value of an extension")


def string_hash(text: str) -> int:
    """spaCy's hash of a string: MurmurHash64A of its UTF-8 with seed 1; of an empty one 0.

    Example:
        >>> string_hash("Ada")
        13014124235272500476

    References:
        Appleby. SMHasher, MurmurHash2.cpp, 2008 (public domain).
    """
    data, factor = text.encode("utf-8"), 0xC6A4A7935BD1E995
    if not data:
        return 0
    value = 1 ^ (len(data) * factor & _WORD)
    whole = len(data) // 8 * 8
    for (block,) in struct.iter_unpack("<Q", data[:whole]):
        block = block * factor & _WORD
        value = (value ^ ((block ^ block >> 47) * factor & _WORD)) * factor & _WORD
    if whole < len(data):
        value = (value ^ int.from_bytes(data[whole:], "little")) * factor & _WORD
    value = (value ^ value >> 47) * factor & _WORD
    return value ^ value >> 47
