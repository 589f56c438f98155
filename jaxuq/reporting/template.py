"""What all pages share: templates, the run's configuration in words, time spans, citations."""

import pathlib
from collections.abc import Iterable
from typing import Any

from jaxuq._citation import citation


def render_template(name: str, **context: Any) -> str:
    """Fill a page template; every value is escaped.

    Args:
        name: file name in `templates/`.
        **context: the template's variables.

    Returns:
        The page.
    """
    import jinja2

    templates = pathlib.Path(__file__).parent / "templates"
    loader = jinja2.FileSystemLoader(templates)
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    context |= {"tables_script": (templates / "tables.js").read_text(encoding="utf-8")}
    return environment.get_template(name).render(**context)


def duration(seconds: float) -> str:
    """Write a time span for people.

    Args:
        seconds: the span, at least 0.

    Returns:
        Text with two units at most.

    Example:
        >>> duration(81.2), duration(8.04), duration(7260.0)
        ('1 min 21 s', '8.0 s', '2 h 1 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def bibtex_of(names: Iterable[str]) -> str:
    """The entries of jaxuq and of what a run used; a method of the user's own has none.

    Args:
        names: of systems, methods and backbones; BibTeX is taken as it is.

    Returns:
        BibTeX.
    """
    known, own = ["jaxuq"], []
    for name in dict.fromkeys(names):
        if name.lstrip().startswith("@"):
            own.append(name)
            continue
        try:
            citation(name)
        except ValueError:
            continue
        known.append(name)
    return "\n\n".join([citation(*known), *own])


def as_words(value: Any) -> str:
    """A value of a configuration for people.

    Args:
        value: any JSON-like value.

    Returns:
        Lists with commas.
    """
    return ", ".join(str(item) for item in value) if isinstance(value, list | tuple) else str(value)


def as_list(value: Any) -> list[Any]:
    """What should be a list in a file that anybody may have edited; anything else counts as empty.

    Args:
        value: any JSON-like value.

    Returns:
        A list.
    """
    return list(value) if isinstance(value, list | tuple) else []
