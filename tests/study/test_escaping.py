"""Nothing that comes from data becomes an element, an attribute or a script of a page, whatever it looks like."""

import csv
import html.parser
import json
import re
import shutil
import xml.etree.ElementTree
from collections import Counter

import numpy as np
import pytest

from jaxuq.reporting import compare_runs, write_report
from jaxuq.study import read_arrays, read_sealed, sealed_lines, write_arrays
from tests.study.studies import STUDIES

EVIL = (
    "\"><script>alert(1)</script>'</td></table>]]>--><img src=x onerror=alert(2)> javascript:alert(3) $x$ {{7*7}} &lt;"
)
PLAIN = "a plain text of about as many letters, without anything that could be read as markup by whoever reads it"
_QUICK = ("extract", "confidence")
_COMMANDS = [pytest.param(name, marks=[] if name in _QUICK else [pytest.mark.long]) for name in STUDIES]
# Words of the data, and what their results call things by; each is replaced wherever it stands.
_WORDS = {
    "muben": ("data", "deterministic"), "muben --active": ("data", "evidential"),
    "tag": ("LOC", "majority-vote", "first"), "confidence": ("mine.jsonl", "what is", "the answer", "q0"),
    "extract": ("person", "Ada", "news"), "tune": ("what is", "ual"), "tune --acquire": ("what is", "entropy"),
    "tune --teach": ("what is", "head"), "experts": ("base-adapter", "what is"),
}  # fmt: skip
_FIXED = ("system", "status", "task_type", "started", "content")


class _Structure(html.parser.HTMLParser):
    """Which elements with which attributes there are, what links and scripts say."""

    def __init__(self):
        super().__init__()
        self.elements, self.addresses, self.scripts, self.inside = Counter(), [], [], False

    def handle_starttag(self, tag, attributes):
        self.elements[tag, tuple(sorted(name for name, _ in attributes))] += 1
        self.addresses += [value for name, value in attributes if name in ("href", "src", "action", "style", "id")]
        self.inside = tag in ("script", "style")

    def handle_endtag(self, tag):
        self.inside = False

    def handle_data(self, data):
        if self.inside:
            self.scripts.append(data)


def _structure(page):
    found = _Structure()
    found.feed(page.read_text(encoding="utf-8"))
    found.close()
    return found


def _said(value, words, text):
    if isinstance(value, str):
        for word in words:
            value = re.sub(rf"\b{re.escape(word)}\b", lambda found: f"{found[0]} {text}", value)
        return value
    if isinstance(value, dict):
        known = {name: _said(name, words, text) if name in words else name for name in value}
        return {known[name]: _said(one, words, text) for name, one in value.items()}
    return [_said(one, words, text) for one in value] if isinstance(value, list) else value


def _rewrite(folder, words, text):
    """The folder as it were if its data had said `text`."""
    for file in [*folder.rglob("*.json"), *folder.rglob("*.jsonl"), *folder.rglob("*.csv"), *folder.rglob("*.npz")]:
        if file.suffix == ".csv":
            with file.open(encoding="utf-8", newline="") as lines:
                head, *rows = csv.reader(lines)
            with file.open("w", encoding="utf-8", newline="") as lines:
                csv.writer(lines).writerows([head, *_said(rows, words, text)])
        elif file.suffix == ".npz":
            arrays = dict(read_arrays(file) or {})
            for name, array in arrays.items():
                if array.dtype.kind == "U" and name != "cell":
                    arrays[name] = np.array(_said(array.tolist(), words, text))
            write_arrays(file, arrays)
        elif file.suffix == ".jsonl":
            records = [
                {k: v if k == "state" else _said(v, words, text) for k, v in one.items()} for one in _lines(file)
            ]
            file.write_text(sealed_lines(records))
        elif file.name == "run.json":
            run = json.loads(file.read_text())
            run = {name: one if name in _FIXED else _said(one, words, text) for name, one in run.items()}
            run["versions"] = {text: text}
            run["configuration"][text] = [text, text]
            run |= {"rejected": [[text, text, text]], "notes": [text], "device": text}
            for entry in run.get("entries", {}).values():
                entry["title"] = f"{entry['title']} {text}"
            file.write_text(json.dumps(run))


def _lines(file):
    return (
        read_sealed(file) if '"check"' in file.read_text() else [json.loads(x) for x in file.read_text().splitlines()]
    )


def _pages(first, target, words, text):
    shutil.copytree(first, target)
    _rewrite(target, words, text)
    return write_report(target)


@pytest.mark.filterwarnings("ignore:Glyph")
@pytest.mark.parametrize("name", _COMMANDS)
def test_no_element_attribute_or_script_comes_from_data(name, first, tmp_path):
    pages = [_pages(first(name) / "out", tmp_path / kind, _WORDS[name], text)
             for kind, text in (("evil", EVIL), ("plain", PLAIN))]  # fmt: skip
    if name == "muben":
        pages += [compare_runs([page.parent], tmp_path / f"compared-{at}") for at, page in enumerate(pages)]
    for evil, plain in zip(pages[::2], pages[1::2]):
        found, due = _structure(evil), _structure(plain)
        assert found.elements == due.elements
        assert not any(one.startswith("on") for _, names in found.elements for one in names)
        assert found.scripts == due.scripts
        assert "alert(" in evil.read_text() and "could not be drawn" not in evil.read_text()
        for one in found.addresses:
            assert "alert" not in one and not one.strip().lower().startswith(("javascript:", "http", "//"))
        for figure in evil.parent.glob("figures/*.svg"):
            tags = {element.tag.rpartition("}")[2] for element in xml.etree.ElementTree.parse(figure).iter()}
            assert not tags & {"script", "a", "foreignObject", "image"} - {"image"}
