"""What happens to files: a valid one with a few things changed, by kinds of damage that people and programs do."""

import gzip
import io
import re
import zipfile
import zlib
from collections.abc import Callable

import numpy as np

from tests.checkpoints.mutations import altered, mutated

ODD = (
    "\ufeff", "\u200b", "\u2028", "\x85", "\x0c", "\x1c", "\0", "\r", "\r\n", "\n\n", "\t", "\u202e", "e\u0301",
    "\u0130", "ß", "\ufb01", "½", "²", "\u0663", "\u2167", "\U0001d7d8", "😀", "👩\u200d🔬",
    "\U0010ffff", "\ud800", "\\ud800", "\\u0000", "\\x00",
    '"', "'", "`", "\\", "{", "}", "[", "]", "<", ">", "&amp;", "|", ",", ";", "#", "%s", "${x}", "{0}",
    "<|im_end|>", "-DOCSTART-", "sep=:", "null", "true", "NaN", "Infinity", "-", "=", "=1+1", "../", "/dev/zero",
    "~", "*", "\x1b[2J",
)  # fmt: skip
"""Signs that one or another reader takes for something."""
NUMBERS = (
    "0", "-0", "-1", "1e308", "-1e309", "1e-400", "1e999999999", "NaN", "-inf", "0x10", "1_000", "1,5", "1.5.2", "+1",
    " 1 ", "\u0663", "2147483648", "9223372036854775808", "18446744073709551616", "9" * 400, "9" * 5000,
    "0." + "3" * 3000,
    "1/0", "10^10^10", "99999999999", "true", '"1"', "[1]", "{}", "",
)  # fmt: skip
"""What stands where a number stood."""
_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
_ENCODINGS = ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1", "cp1252", "cp037", "shift_jis", "utf-8-sig")
_BRACKETS = ((b"[", b"]"), (b'{"a":', b"}"), (b"(", b")"), (b"{", b"}"), (b"<td>", b"</td>"), (b"\\frac{", b"}"))
Change = Callable[[bytes, np.random.Generator], bytes]


def _places(content: bytes, rng: np.random.Generator, count: int = 1) -> list[int]:
    return sorted(int(at) for at in rng.integers(0, len(content) + 1, count))


def truncated(content: bytes, rng: np.random.Generator) -> bytes:
    """A copy that was interrupted, or whose beginning is gone."""
    (at,) = _places(content, rng)
    return content[:at] if rng.random() < 0.8 else content[at:]


def flipped(content: bytes, rng: np.random.Generator) -> bytes:
    """One to four bits are others."""
    data = bytearray(content)
    for at in rng.integers(0, max(len(data), 1), int(rng.integers(1, 5))) if data else ():
        data[at] ^= 1 << int(rng.integers(8))
    return bytes(data)


def odd_signs(content: bytes, rng: np.random.Generator) -> bytes:
    """Signs put in, once or many times."""
    for _ in range(int(rng.integers(1, 4))):
        (at,) = _places(content, rng)
        sign = str(rng.choice(np.array(ODD, object))).encode("utf-8", "surrogatepass")
        taken = int(rng.choice([0, 0, 1, 3]))
        content = content[:at] + sign * int(rng.choice([1, 1, 1, 2, 50])) + content[at + taken :]
    return content


def odd_numbers(content: bytes, rng: np.random.Generator) -> bytes:
    """Numbers that are too large, too small or none."""
    found = list(_NUMBER.finditer(content))
    if not found:
        return odd_signs(content, rng)
    for at in sorted(rng.integers(0, len(found), int(rng.integers(1, 3))).tolist(), reverse=True):
        place = found[at]
        content = (
            content[: place.start()] + str(rng.choice(np.array(NUMBERS, object))).encode() + content[place.end() :]
        )
    return content


def lines_moved(content: bytes, rng: np.random.Generator) -> bytes:
    """Lines that are swapped, repeated, dropped, joined, or end in another way."""
    lines = content.split(b"\n")
    one, other = (int(at) for at in rng.integers(0, len(lines), 2))
    kind = int(rng.integers(0, 6))
    if kind == 0:
        lines[one], lines[other] = lines[other], lines[one]
    elif kind == 1:
        lines[one:one] = [lines[other]] * int(rng.choice([1, 2, 200]))
    elif kind == 2:
        del lines[one : other + 1]
    elif kind == 3:
        lines[one : one + 2] = [b"".join(lines[one : one + 2])]
    elif kind == 4:
        return content.replace(b"\n", [b"\r\n", b"\r", b"\n\r", b"\n\n"][int(rng.integers(4))])
    else:
        lines[one] = lines[one] + lines[other]
    return b"\n".join(lines)


def nested(content: bytes, rng: np.random.Generator) -> bytes:
    """Brackets in brackets, closed or not."""
    (at,) = _places(content, rng)
    opening, closing = _BRACKETS[int(rng.integers(len(_BRACKETS)))]
    depth = int(rng.choice([3, 60, 1200, 20_000]))
    inside = content if rng.random() < 0.5 else content[at:]
    before = content[: len(content) - len(inside)]
    return before + opening * depth + inside + closing * (depth if rng.random() < 0.7 else 0)


def emptied(content: bytes, rng: np.random.Generator) -> bytes:
    """Nothing, or nearly."""
    kinds = (
        b"",
        b" ",
        b"\n",
        b"\n\n\n",
        b"\xef\xbb\xbf",
        b"\0",
        b"\xff\xfe",
        b"{}",
        b"[]",
        b"null",
        b'""',
        b"0",
        b"[[]]",
    )
    return kinds[int(rng.integers(len(kinds)))]


def recoded(content: bytes, rng: np.random.Generator) -> bytes:
    """The same text in another encoding."""
    text = content.decode("utf-8", "replace")
    return text.encode(_ENCODINGS[int(rng.integers(len(_ENCODINGS)))], "replace")


def zeroed(content: bytes, rng: np.random.Generator) -> bytes:
    """A block that a crash left empty."""
    at, end = _places(content, rng, 2)
    return content[:at] + b"\0" * (end - at) + content[end:]


def lengthened(content: bytes, rng: np.random.Generator) -> bytes:
    """A part that is there very often, or once very long."""
    at, end = _places(content, rng, 2)
    piece = content[at : min(end, at + 40)] or b"x"
    return content[:at] + piece * int(rng.choice([10, 300, 3000])) + content[at:]


CHANGES: dict[str, Change] = {
    "truncated": truncated, "flipped": flipped, "bytes": mutated, "signs": odd_signs, "numbers": odd_numbers,
    "lines": lines_moved, "nested": nested, "emptied": emptied, "recoded": recoded, "zeroed": zeroed,
    "lengthened": lengthened,
}  # fmt: skip
_WEIGHTS = {"emptied": 0.3, "recoded": 0.5, "nested": 0.7, "signs": 2.0, "numbers": 2.0, "bytes": 2.0}


def change(name: str, content: bytes, rng: np.random.Generator) -> tuple[bytes, str]:
    """One or two kinds of damage, drawn: of what is packed also inside, of JSON also value by value.

    Args:
        name: of the file.
        content: of it, valid.
        rng: draws.

    Returns:
        The content, and what was done to it.
    """
    packed = content[:2] == b"\x1f\x8b" or content[:4] == b"PK\x03\x04" or content[:2] in (b"x\x9c", b"x\xda")
    if packed and rng.random() < 0.7:
        inside, kind = _within(name, content, rng)
        return inside, f"inside: {kind}"
    if name.endswith((".json", ".jsonl")) and rng.random() < 0.5:
        return _values(name, content, rng), "values"
    if name.endswith((".safetensors", ".gguf")) and rng.random() < 0.7:  # numbers may be any
        head, kind = _damaged(content[:3000], rng)
        return head + content[3000:], f"head: {kind}"
    return _damaged(content, rng)


def _damaged(content: bytes, rng: np.random.Generator) -> tuple[bytes, str]:
    names = list(CHANGES)
    weights = np.array([_WEIGHTS.get(name, 1.0) for name in names])
    kinds = [str(one) for one in rng.choice(names, 1 + int(rng.random() < 0.25), p=weights / weights.sum())]
    for kind in kinds:
        content = CHANGES[kind](content, rng)
    return content, " and ".join(kinds)


def _values(name: str, content: bytes, rng: np.random.Generator) -> bytes:
    """Of one JSON value, or of that in one line, any value for any."""
    if not name.endswith(".jsonl"):
        return altered(content, rng) if content else content
    lines = content.split(b"\n")
    filled = [at for at, line in enumerate(lines) if line.strip()]
    for at in rng.choice(filled, int(rng.integers(1, 3))) if filled else ():
        lines[at] = altered(lines[at], rng)
    return b"\n".join(lines)


def _within(name: str, content: bytes, rng: np.random.Generator) -> tuple[bytes, str]:
    """What is packed is changed and packed again."""
    if content[:2] == b"\x1f\x8b":
        inside, kind = change(name.removesuffix(".gz"), gzip.decompress(content), rng)
        return gzip.compress(inside, 1, mtime=0), kind
    if content[:1] == b"x":
        inside, kind = _damaged(zlib.decompress(content), rng)
        return zlib.compress(inside), kind
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {one.filename: (archive.read(one.filename), one.compress_type) for one in archive.infolist()}
    chosen = sorted(members)[int(rng.integers(len(members)))]
    inside, kind = change(chosen, members[chosen][0], rng)
    members[chosen] = inside, members[chosen][1]
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for member, (data, how) in members.items():
            archive.writestr(zipfile.ZipInfo(member), data, how)
    return packed.getvalue(), f"{chosen}: {kind}"
