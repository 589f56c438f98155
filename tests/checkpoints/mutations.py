"""Files with a few things changed, and a test that a reader gives a model or its one error in bounded work."""

import copy
import json
import resource
import time
import warnings

import numpy as np

from jaxuq.checkpoints import CheckpointError

WRONG = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 2**70, -(2**63), 10**400, 1.5, -0.0, 1e308, float("inf"), float("nan"),
    "", "a", "\ud800", "\0", "1", "NaN", "../../etc/passwd", "/dev/zero", [], {}, [[]], [None], [1, 2], ["a"], [1.5],
    {"a": 1}, {"": {}}, "x" * 5000, list(range(5000)), [{}] * 3,
)  # fmt: skip
"""Values of JSON that are seldom expected."""


def mutated(whole, rng):
    """A few bytes changed, put in, taken out or repeated."""
    data = bytearray(whole)
    for _ in range(int(rng.integers(1, 5))):
        at = int(rng.integers(0, len(data) + 1))
        kind = int(rng.integers(0, 4))
        if kind == 0 and at < len(data):
            data[at] = int(rng.integers(0, 256))
        elif kind == 1:
            data[at:at] = rng.bytes(int(rng.integers(1, 9)))
        elif kind == 2:
            del data[at : at + int(rng.integers(1, 17))]
        else:
            start = int(rng.integers(0, max(len(data), 1)))
            data[at:at] = data[start : start + int(rng.integers(1, 33))]
    return bytes(data)


def altered(whole, rng):
    """A few values changed and all else in its place: of JSON any value for any, of other files bytes."""
    try:
        content = json.loads(whole)
    except ValueError:
        return _overwritten(whole, rng)
    for _ in range(int(rng.integers(1, 4))):
        places = list(_places(content))
        if not places:
            break
        holder, key = places[int(rng.integers(len(places)))]
        kind, value = int(rng.integers(0, 5)), holder[key]
        if kind <= 1:
            holder[key] = copy.deepcopy(WRONG[int(rng.integers(len(WRONG)))])
        elif kind == 2:
            del holder[key]
        elif kind == 3:
            other, name = places[int(rng.integers(len(places)))]
            holder[key] = copy.deepcopy(other[name])
        elif isinstance(value, dict):
            holder[key] = [list(item) for item in value.items()]
        elif isinstance(value, str | list):
            holder[key] = value + value
        elif value is not None:
            holder[key] = value * int(rng.choice([-1, 2, 10**6])) + int(rng.integers(-2, 3))
    return json.dumps(content).encode("utf-8", "surrogatepass")


def _places(content):
    """Every value of JSON as what holds it and its key or number."""
    for key in content if isinstance(content, dict) else range(len(content)):
        yield content, key
        if isinstance(content[key], dict | list):
            yield from _places(content[key])


def _overwritten(whole, rng):
    data = bytearray(whole)
    for _ in range(int(rng.integers(1, 6))):
        at, length = int(rng.integers(len(data))), int(rng.choice([1, 1, 1, 4, 8]))
        value = int(rng.choice([0, 1, 2, 0x7F, 0x80, 0xFF, int(rng.integers(256))]))
        data[at : at + length] = bytes([value]) * len(data[at : at + length])
    return bytes(data)


MUTATIONS = {"bytes": mutated, "values": altered}


def check_reader(path, read, mutate, *, count, seconds, megabytes, head=None):
    """So many mutations of a file (of its first bytes): it is read, or refused with a CheckpointError."""
    rng, whole = np.random.default_rng(20240607), path.read_bytes()
    before, refused = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, 0
    for _ in range(count):
        path.write_bytes(mutate(whole[:head], rng) + (whole[head:] if head else b""))
        start = time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                read(path)
            except CheckpointError:
                refused += 1
        took = time.process_time() - start
        assert took < seconds, path.read_bytes()[:4000]  # a bound on the work: an unbounded one takes minutes
    assert refused > count // 20
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024 < megabytes
