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
sys.path[:0] = [str(ROOT), str(ROOT / "docs")]

import entries  # noqa: E402 -- of this folder

import notebooks  # noqa: E402

GUIDES = ("molecules", "benchmark", "language", "confidence", "labels", "extraction", "experts", "tuning", "results")
"""Pages below `guides`, in their order."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that follow from the code, and the order of all."""
    pages: dict[str, str] = {}
    for path, content in _generated():
        if isinstance(content, str):
            pages[path] = content
        files.append(File.generated(config, path, content=content))
    config["nav"] = [
        {"Start": ["index.md", *(f"start/{name}.md" for name in ("model", "answers", "labels", "molecules"))]},
        {"Guides": [f"guides/{name}.md" for name in GUIDES]},
        {"Notebooks": _below(pages, "notebooks")},
        {"Choose": ["choose.md", "methods/index.md", *_below(pages, "methods")]},
        {"Work": ["recipes.md", "language_model.md", "extend.md", "devices.md", "formats.md"]},
        {
            "Reference": [
                "reference/index.md",
                "reference/commands.md",
                "reference/columns.md",
                *_below(pages, "reference"),
            ]
        },
        {"How it works": ["house.md", "conventions.md"]},
        {"Results": ["results.md", *_below(pages, "results")]},
    ]
    return files


def on_post_build(config: MkDocsConfig) -> None:
    """Nothing that a page loads may lie on another host."""
    loaded = re.compile(r"<(?:script|link|img|iframe|source)\b[^>]*?\b(?:src|href)=[\"']?((?:https?:)?//[^\"'\s>]+)")
    for page in pathlib.Path(config["site_dir"]).rglob("*.html"):
        if found := loaded.search(page.read_text()):
            raise PluginError(f"{page.name} loads {found[1]}: put it into docs/pages")


def _below(pages: dict[str, str], folder: str) -> list[Any]:
    """Pages of a folder, those of a folder below it together."""
    own = [
        path
        for path in pages
        if path.startswith(f"{folder}/") and not path.endswith(("index.md", "commands.md", "columns.md"))
    ]
    flat = [path for path in own if path.count("/") == 1]
    titles = {below: title for _, title, below in entries.TABLES}
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


def _generated() -> Iterator[tuple[str, str | bytes]]:
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
    for path, title, folder in entries.TABLES:
        table = entries.found(path)
        for name in table:
            try:
                page = entries.entry_page((path, title, folder), name)
            except LookupError as error:
                raise PluginError(str(error)) from None
            yield f"methods/{folder}/{_file(name)}.md", page
    for page in sorted((ROOT / "experiments").glob("*/*.md")):
        yield f"results/{page.parent.name}-{page.stem.lower()}.md", _result(page)
    for picture in sorted((ROOT / "experiments").glob("*/*.png")):
        yield f"results/{picture.name}", picture.read_bytes()
    for notebook in notebooks.NOTEBOOKS:
        page, pictures = notebooks.page(notebook)
        yield f"notebooks/{notebook.stem}.md", page.replace(".ipynb)", ".md)")
        yield from ((f"notebooks/{name}", content) for name, content in pictures.items())


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
    place = entries.place(thing, f"jaxuq.{room}.{name}")
    home = place.split(".")[1]
    if home != room and name in getattr(sys.modules.get(f"jaxuq.{home}"), "__all__", ()):
        return f"## {name}\n\nThat of [jaxuq.{home}]({home}.md): [`{name}`][{place}].\n"
    return f"::: {place}\n"


def _lacks(module: Any, name: str) -> bool:
    return not (getattr(module, name).__doc__ or "").strip()


def _overview() -> str:
    parts = [
        "# What there is\n\nOne page for each entry of an open table; [Extend](../extend.md) says how to add one.\n"
    ]
    for path, title, folder in entries.TABLES:
        table = entries.found(path)
        parts.append(f"## {title}\n\n`{path}`\n")
        parts += [f"- [{entries.title(table[name], name)}]({folder}/{_file(name)}.md)" for name in table]
        parts.append("")
    return "\n".join(parts)


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

    return re.sub(r"(?<!!)\[([^\]]+)\]\(([^)]+)\)", link, page.read_text())
