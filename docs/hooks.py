"""What the site makes from the code: reference, a page a method, command line, results; and formulas as MathML."""

import contextlib
import html
import importlib
import inspect
import io
import os
import pathlib
import re
import sys
from collections.abc import Iterator
from typing import Any

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

ROOT = pathlib.Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

TABLES = (
    ("jaxuq.molecules.muben.METHODS", "Methods of `jaxuq muben`", "muben"),
    ("jaxuq.molecules.muben.BACKBONES", "Backbones of `jaxuq muben`", "backbones"),
    ("jaxuq.calibration.CALIBRATORS", "Calibrators of a fitted model", "calibrators"),
    ("jaxuq.confidence.MEASURES", "Measures of confidence", "measures"),
    ("jaxuq.tagging.benchmark.METHODS", "Models of `jaxuq tag`", "label-models"),
    ("jaxuq.tuning.LOSSES", "Losses of `jaxuq tune`", "losses"),
    ("jaxuq.tuning.POSTERIORS", "Posteriors of `jaxuq tune`", "posteriors"),
    ("jaxuq.tuning.ACQUISITIONS", "Acquisitions of `jaxuq tune`", "acquisitions"),
    ("jaxuq.experts.ROUTINGS", "Rules of routing", "routings"),
    ("jaxuq.questions.SETS", "Question sets", "question-sets"),
)
"""Open tables whose entries have pages, their title, and the folder of the pages."""

GUIDES = ("molecules", "benchmark", "language", "confidence", "labels", "extraction", "experts", "tuning", "results")
"""Pages below `guides`, in their order."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that follow from the code, and the order of all."""
    pages = dict(_generated())
    for path, content in pages.items():
        files.append(File.generated(config, path, content=content))
    config["nav"] = [
        {"Start": ["index.md", *(f"start/{name}.md" for name in ("model", "answers", "labels", "molecules"))]},
        {"Guides": [f"guides/{name}.md" for name in GUIDES]},
        {"Choose": ["choose.md", "methods/index.md", *_below(pages, "methods")]},
        {"Work": ["recipes.md", "language_model.md", "extend.md", "devices.md", "house.md"]},
        {
            "Reference": [
                "reference/index.md",
                "reference/commands.md",
                "reference/columns.md",
                *_below(pages, "reference"),
            ]
        },
        {"Results": _below(pages, "results")},
    ]
    return files


def _below(pages: dict[str, str], folder: str) -> list[Any]:
    """Pages of a folder, those of a folder below it together."""
    own = [
        path
        for path in pages
        if path.startswith(f"{folder}/") and not path.endswith(("index.md", "commands.md", "columns.md"))
    ]
    flat = [path for path in own if path.count("/") == 1]
    titles = {below: title for _, title, below in TABLES}
    groups = dict.fromkeys(path.split("/")[1] for path in own if path.count("/") == 2)
    return flat + [
        {titles[group].replace("`", ""): [p for p in own if p.startswith(f"{folder}/{group}/")]} for group in groups
    ]


def on_post_page(output: str, page: Any, config: MkDocsConfig) -> str:
    """Turn formulas into MathML, which browsers draw without a script."""

    def formula(found: re.Match[str]) -> str:
        block, tex = found["tag"] == "div", html.unescape(re.sub(r"</?em>", "_", found["tex"])).strip()
        try:
            made = convert(tex, display="block" if block else "inline")
        except Exception as error:
            raise PluginError(f"{page.file.src_uri}: the formula {tex!r} cannot be read: {error}") from error
        return f'<div style="overflow-x:auto">{made}</div>' if block else made

    return re.sub(
        r'<(?P<tag>span|div) class="arithmatex">\\[\[(](?P<tex>.*?)\\[\])]</(?P=tag)>', formula, output, flags=re.S
    )


def _generated() -> Iterator[tuple[str, str]]:
    import jaxuq

    rooms = [room for room in jaxuq._ROOMS if getattr(importlib.import_module(f"jaxuq.{room}"), "__all__", None)]
    for room in rooms:
        yield f"reference/{room}.md", _room(room)
    lines = [
        f"- [`jaxuq.{room}`]({room}.md): {_first_line(importlib.import_module(f'jaxuq.{room}'))}" for room in rooms
    ]
    yield "reference/index.md", "# Reference\n\n" + "\n".join(lines) + "\n\n[Command line](commands.md)\n"
    yield "reference/commands.md", _commands()
    yield "reference/columns.md", _columns()
    yield "methods/index.md", _overview()
    for path, title, folder in TABLES:
        table = _found(path)
        for name in table:
            yield f"methods/{folder}/{_file(name)}.md", _entry(path, title, name, table[name])
    for page in sorted((ROOT / "experiments").glob("*/*.md")):
        yield f"results/{page.parent.name}-{page.stem.lower()}.md", _result(page)


def _found(path: str) -> Any:
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


def _first_line(thing: Any) -> str:
    return (inspect.getdoc(thing) or "").split("\n\n")[0].replace("\n", " ")


def _file(name: str) -> str:
    return re.sub(r"[^\w.-]", "-", name)


def _room(room: str) -> str:
    module = importlib.import_module(f"jaxuq.{room}")
    bare = [name for name in module.__all__ if inspect.isfunction(getattr(module, name)) and _lacks(module, name)]
    if bare:
        raise PluginError(f"jaxuq.{room}: no docstring of {', '.join(bare)}")
    blocks = [_block(room, name, getattr(module, name)) for name in module.__all__]
    return f"# jaxuq.{room}\n\n{inspect.getdoc(module)}\n\n" + "\n".join(blocks)


def _block(room: str, name: str, thing: Any) -> str:
    """What a name is, or where it is told if another room has it, too."""
    place = _place(thing, f"jaxuq.{room}.{name}")
    home = place.split(".")[1]
    if home != room and name in getattr(sys.modules.get(f"jaxuq.{home}"), "__all__", ()):
        return f"## {name}\n\nThat of [jaxuq.{home}]({home}.md): [`{name}`][{place}].\n"
    return f"::: {place}\n"


def _place(thing: Any, otherwise: str) -> str:
    """Where a function or class is written: a file may have the name of its function."""
    named = inspect.isfunction(thing) or inspect.isclass(thing)
    return f"{thing.__module__}.{thing.__qualname__}" if named and thing.__module__.startswith("jaxuq.") else otherwise


def _lacks(module: Any, name: str) -> bool:
    return not (getattr(module, name).__doc__ or "").strip()


def _overview() -> str:
    parts = [
        "# What there is\n\nOne page for each entry of an open table; [Extend](../extend.md) says how to add one.\n"
    ]
    for path, title, folder in TABLES:
        table = _found(path)
        parts.append(f"## {title}\n\n`{path}`\n")
        parts += [f"- [{_title(table[name], name)}]({folder}/{_file(name)}.md)" for name in table]
        parts.append("")
    return "\n".join(parts)


def _title(entry: Any, name: str) -> str:
    return getattr(entry, "title", "") or name


def _entry(path: str, table: str, name: str, entry: Any) -> str:
    functions = dict(getattr(entry, "functions", {})) or ({"function": entry} if callable(entry) else {})
    lines = [f"# {_title(entry, name)}\n", f"`{name}` among [{table}](../index.md), in `{path}`.\n"]
    public = [one for one in functions.values() if _public(one)]
    said = next((text for text in map(_first_line, (*public, *functions.values(), entry)) if text), "")
    if said and not isinstance(entry, str):
        lines.append(said + "\n")
    for heading, value in (
        ("Needs", ", ".join(f"`{need}`" for need in getattr(entry, "needs", ()))),
        ("Options", ", ".join(f"`{key}={value!r}`" for key, value in dict(getattr(entry, "options", {})).items())),
        ("Version of its formula", str(getattr(entry, "formula", ""))),
    ):
        if value:
            lines.append(f"**{heading}**: {value}\n")
    for function in dict.fromkeys((*public, *_namesakes(name))):
        lines.append(f"Its function is [`{_public(function)}`][{_place(function, '')}].\n")
    cited = "\n\n".join(filter(None, map(_bibtex, getattr(entry, "citation", ()))))
    if cited:
        lines.append(f"## Cite\n\n```bibtex\n{cited}\n```\n")
    return "\n".join(lines)


def _bibtex(key: str) -> str:
    """Of a name, or BibTeX as it is; nothing for what has no publication, such as a network of dense layers."""
    from jaxuq import citation

    if key.lstrip().startswith("@"):
        return key
    try:
        return citation(key)
    except ValueError:
        return ""


def _namesakes(name: str) -> list[Any]:
    """Public functions of arrays that do what an entry of this name uses."""
    bare = name.replace("-", "_")
    rooms = [importlib.import_module(f"jaxuq.{room}") for room in ("posterior", "calibration", "losses")]
    named = (getattr(room, bare + end, None) for room in rooms for end in ("", "_scaling", "_loss", "_calibration"))
    return [one for one in named if inspect.isfunction(one) and _public(one)]


def _public(function: Any) -> str:
    """Where a function stands in the reference, or nothing."""
    import jaxuq

    room = getattr(function, "__module__", "").split(".")
    name = getattr(function, "__name__", "")
    if len(room) < 2 or room[0] != "jaxuq" or room[1] not in jaxuq._ROOMS:
        return ""
    module = importlib.import_module(f"jaxuq.{room[1]}")
    return f"jaxuq.{room[1]}.{name}" if getattr(module, name, None) is function else ""


def _commands() -> str:
    from jaxuq.cli.main import _COMMANDS

    parts = ["# Command line\n\nMade from the options themselves: what `jaxuq COMMAND --help` prints.\n"]
    for name in _COMMANDS:
        said = _help(name)
        below = [*re.findall("• ([a-z]+)", said), *re.findall(f'jaxuq {name} ([a-z]+) "', said)]
        parts.append(f"## jaxuq {name}\n\n```text\n{said}\n```\n")
        parts += [f"### jaxuq {name} {part}\n\n```text\n{_help(name, part)}\n```\n" for part in below]
    return "\n".join(parts)


def _help(*words: str) -> str:
    from jaxuq.cli.main import main

    said = io.StringIO()
    before = dict(os.environ)
    os.environ.update(COLUMNS="96", HOME="/nonexistent")
    try:
        with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
            main([*words, "--help"])
    finally:
        os.environ.clear()
        os.environ.update(before)
    if not said.getvalue():
        raise PluginError(f"jaxuq {' '.join(words)} --help says nothing")
    return said.getvalue().strip()


def _columns() -> str:
    from jaxuq.reporting.metric_names import METRICS, QUESTIONS

    parts = ["# Columns of results\n\nWhat `results.csv` and `summary.csv` name, by the question that each answers.\n"]
    for question, title in QUESTIONS.items():
        rows = [
            f"| `{column}` | {name.title} {name.arrow} | {'labels' if name.has_unit else ''} |"
            for column, name in METRICS.items()
            if name.question == question
        ]
        parts.append("\n".join([f"## {title}\n", "| column | is | unit |", "|---|---|---|", *rows, ""]))
    return "\n".join(parts)


def _result(page: pathlib.Path) -> str:
    """A page of results; its links into the repository become names of files."""

    def link(found: re.Match[str]) -> str:
        words, target = found[1], found[2].partition("#")[0]
        if "://" in target:
            return found[0]
        place = (page.parent / target).resolve()
        if place.suffix == ".md" and place.parent.parent == ROOT / "experiments":
            return f"[{words}]({place.parent.name}-{place.stem.lower()}.md)"
        return f"{words} (`{place.relative_to(ROOT)}`)" if place.is_relative_to(ROOT) else words

    return re.sub(r"(?<!!)\[([^\]]+)\]\(([^)]+)\)", link, re.sub(r"!\[[^\]]*\]\([^)]+\)\n?", "", page.read_text()))
