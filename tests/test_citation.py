import itertools
import re

import pytest

import jaxuq
from jaxuq._citation import _ENTRIES, _SOURCES
from jaxuq.molecules.muben import METHODS


def read_entry(text):
    """A small reader of one BibTeX entry: its type, key, and fields by matching braces."""
    head = re.fullmatch(r"@(\w+)\{(\w+),\n(.*)\n\}", text, re.DOTALL)
    assert head, text
    fields, rest = {}, head[3].strip()
    while rest:
        name, rest = re.match(r"(\w+) = (\{.*)", rest, re.DOTALL).groups()
        depths = list(itertools.accumulate({"{": 1, "}": -1}.get(letter, 0) for letter in rest))
        assert 0 in depths, f"braces of {name} are not balanced in {text}"
        end = depths.index(0)
        fields[name], rest = rest[1:end], rest[end + 1 :].lstrip(", \n")
    return head[1], head[2], fields


@pytest.mark.parametrize("name", _SOURCES)
def test_entries_parse(name):
    entries = [read_entry(text) for text in jaxuq.citation(name).split("\n\n")]
    assert [key for _, key, _ in entries] == list(_SOURCES[name])
    for kind, key, fields in entries:
        assert {"author", "title", "year"} <= set(fields) and all(fields.values())
        assert re.fullmatch(r"\d{4}", fields["year"])
        place = {"article": "journal", "inproceedings": "booktitle", "incollection": "booktitle", "book": "publisher"}
        assert {**place, "phdthesis": "school", "software": "title"}[kind] in fields, key
        # The key names the first author and the year, unless it names the software.
        if kind != "software":
            surname = re.sub(r"[^A-Za-z]", "", re.sub(r"\\l", "l", fields["author"].split(",")[0])).lower()
            assert key.startswith(surname), key
            assert fields["year"] in key


def test_every_entry_is_reachable():
    assert {key for keys in _SOURCES.values() for key in keys} == set(_ENTRIES)


def test_fields_keep_their_commas_and_braces():
    _, _, fields = read_entry(jaxuq.citation("platt"))
    assert fields["booktitle"] == "Advances in Large Margin Classifiers"
    assert fields["publisher"] == "MIT Press"
    _, _, fields = read_entry(jaxuq.citation("sgld"))
    assert fields["title"] == "{Bayesian} Learning via Stochastic Gradient {Langevin} Dynamics"


@pytest.mark.parametrize("method", METHODS)
def test_every_method_of_the_benchmark_has_an_entry(method):
    assert jaxuq.citation(method).startswith("@")


def test_without_names_it_is_the_software_and_the_dissertation():
    software, thesis = (read_entry(text) for text in jaxuq.citation().split("\n\n"))
    assert software[0] == "software" and thesis[0] == "phdthesis"
    assert thesis[2]["author"] == "Li, Yinghao" and thesis[2]["school"] == "Georgia Institute of Technology"
    assert thesis[2]["title"] == "Uncertainty-Aware and Data-Efficient Fine-Tuning and Application of Foundation Models"
    assert thesis[2]["year"] == "2025"


def test_shared_entries_come_once_and_in_order():
    text = jaxuq.citation("ece", "temperature", "muben", "deterministic")
    assert re.findall(r"@\w+\{(\w+),", text) == ["naeini2015ece", "guo2017temperature", "li2024muben"]


def test_spelling_with_underscores_and_capitals():
    assert jaxuq.citation("MC_Dropout") == jaxuq.citation("mc-dropout")


def test_unknown_names_are_answered_with_near_ones():
    with pytest.raises(ValueError, match=r"no citation for 'temprature'; did you mean 'temperature'"):
        jaxuq.citation("swag", "temprature")
    with pytest.raises(ValueError, match=r"no citation for 'xyzzy'; known names are jaxuq, .*swag"):
        jaxuq.citation("xyzzy")
