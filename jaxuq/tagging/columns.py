"""Weakly labelled text in columns, as in CoNLL, in the tag schemes and with the ornaments that such files have."""

import itertools
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxuq.tagging.records import (
    Span,
    TaggingDataError,
    WeakLabels,
    bio_label_names,
    make_weak_labels,
    read_text,
    spans_to_labels,
)

TOKEN_NAMES = ("token", "form", "word")
IGNORED_NAMES = ("-", "_", "id", "lemma", "pos", "upos", "xpos", "chunk", "feats", "head", "deprel", "deps", "misc")
_HEADER = re.compile(r"#\s*global\.columns\s*=\s*(\S.*)", re.IGNORECASE)
_TAG = re.compile(r"O|[BIESLUM]-.+", re.DOTALL)
_BORDERS = {"S": "B", "U": "B", "B": "B", "E": "I", "L": "I", "M": "I", "I": "I", "O": "O"}  # BIOES, BILOU, BMES


class _Row(NamedTuple):
    """A line of a file with its number, the first being 1."""

    line: int
    cells: list[str]


def read_columns(
    path: str | os.PathLike, *, gold: bool | None = True, columns: Sequence[str] | None = None
) -> WeakLabels:
    """Read columns as in CoNLL: one token a line, tabs or blanks between columns, an empty line between sentences.

    The first column is the token. With `gold` the last is the right tag; every other column of tags is a labelling
    function. A column that holds anything else, such as parts of speech, is left out; one of which half the cells are
    tags is refused, since a damaged column of tags must not make its neighbour the right one. Each column may be IOB2,
    IOB1 (an `I-` begins an entity, a `B-` only one that touches another of its type; plain IO is a case of it), BIOES,
    BILOU or BMES, and becomes IOB2; a column that is none of them throughout is refused, since a damaged tag cannot be
    told from another scheme. The entity types are those that occur, sorted.

    Names say more: `token` (or `form`, `word`) is the token, `gold` the right tag, `-`, `pos`, `chunk`, `lemma` and
    other names of CoNLL-U are left out, and a column of any other name is the labelling function of that name. They are
    given as `columns`, or by the file itself in a line `# global.columns = FORM UPOS gold` (CoNLL-U Plus).

    Where every line has a tab, columns are divided by tabs alone, so that a token may hold a blank; else by tabs and
    blanks. A no-break space or a line separator (U+00A0, U+2028) belongs to its token. A byte order mark, `-DOCSTART-`
    lines and comments (lines with `#` that are no row of the table) are left out.

    Args:
        path: a text file in UTF-8.
        gold: whether the last column of tags holds the right ones. Nothing in a file says so: with False it is a
            labelling function like the others, with None columns without names are refused. Names decide by themselves.
        columns: a name for each column, in any case; None takes those that the file gives, if any.

    Returns:
        `WeakLabels` with the functions named as their columns, or `column 1`, `column 2`, ... by their places in the
        file, the first column being 0.

    Raises:
        TaggingDataError: if there is no column of tags, or their number changes, or a column is damaged or of no
            scheme, with the sentence and the token; the first only counts the tokens; or names do not fit the columns.

    Example:
        >>> import pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp(), "a.txt")
        >>> _ = path.write_text("# my text\\nAda NNP B-PER I-PER\\nLovelace NNP O I-PER\\n\\nHello UH O O\\n")
        >>> data = read_columns(path)
        >>> data.function_names, data.observations[:, :, 0].tolist(), data.labels.tolist()
        (('column 2',), [[1, 0], [0, -1]], [[1, 2], [0, -1]])

    References:
        Ramshaw, Marcus. Text chunking using transformation-based learning. Workshop on Very Large Corpora, 1995 (IOB1).
        Tjong Kim Sang, De Meulder. Introduction to the CoNLL-2003 shared task. CoNLL 2003.
        Ratinov, Roth. Design challenges and misconceptions in named entity recognition. CoNLL 2009 (BILOU).
    """
    sentences, named = _rows(path)
    names = [name.lower() for name in columns or named]
    width = len(sentences[0][0].cells)
    cells = [row.cells for rows in sentences for row in rows]
    tags = [place for place in range(width) if all(_TAG.fullmatch(row[place]) for row in cells)]
    if names:
        roles = _named_roles(path, columns or named, tags, width, sentences)
    elif gold is None:
        raise TaggingDataError(
            f"nothing in {path} says whether its last column of tags holds the right ones or what another labelling "
            "function says; add --gold last or --gold none, or name the columns with --columns"
        )
    else:
        _refuse_guesses(path, sentences, width, tags)
        places = [place for place in tags if place]
        if not places:
            raise TaggingDataError(_no_tags(path, sentences, width))
        functions = places[:-1] if gold else places
        roles = _Roles(0, {place: f"column {place}" for place in functions}, places[-1] if gold else None)
    places = [*roles.functions, *([] if roles.gold is None else [roles.gold])]
    spans = {place: _spans(path, sentences, place) for place in places}
    label_names = bio_label_names(sorted({kind for found in spans.values() for row in found for _, _, kind in row}))
    labels = {
        place: [
            spans_to_labels(row, len(rows), label_names, sentence=str(number), source=f"column {place}")
            for number, (row, rows) in enumerate(zip(found, sentences))
        ]
        for place, found in spans.items()
    }
    empty = [np.zeros((len(rows), 0), np.int32) for rows in sentences]
    return make_weak_labels(
        [[row.cells[roles.token] for row in rows] for rows in sentences],
        [np.stack(said, axis=1) for said in zip(*(labels[place] for place in roles.functions))] or empty,
        None if roles.gold is None else labels[roles.gold],
        label_names,
        list(roles.functions.values()),
    )


def _refuse_guesses(path: str | os.PathLike, sentences: Sequence[Sequence[_Row]], width: int, tags: list[int]) -> None:
    """Refuse what places alone would read wrongly: a damaged column of tags, numbers of tokens in place of tokens."""
    rows = [row.cells for row in itertools.chain.from_iterable(sentences)]
    for place in range(width - 1, 0, -1):
        if place not in tags and 2 * sum(bool(_TAG.fullmatch(cells[place])) for cells in rows) >= len(rows):
            raise TaggingDataError(
                f"{_no_tags(path, sentences, width, place)}, as in the rest of the column; mend it, or name the "
                "columns with --columns, where - stands for one that holds anything else"
            )
    counted = all(row.cells[0] == str(token) for one in sentences for token, row in enumerate(one, 1))
    if counted and width > 2 and len(rows) > len(sentences):
        raise TaggingDataError(
            f"{path}: the first column, where the token is expected, counts the tokens of each sentence; name the "
            "columns, such as --columns id token gold"
        )


class _Roles(NamedTuple):
    """What each column is: the token, labelling functions by place, and the right tags if there are any."""

    token: int
    functions: dict[int, str]
    gold: int | None


def _named_roles(
    path: str | os.PathLike,
    names: Sequence[str],
    tags: Sequence[int],
    width: int,
    sentences: Sequence[Sequence[_Row]],
) -> _Roles:
    if len(names) != width:
        hint = "; divide names by blanks" if any("," in name for name in names) else ""
        raise TaggingDataError(
            f"{path} has {width} columns and {len(names)} names of columns: {', '.join(names)}{hint}"
        )
    folded = [name.lower() for name in names]
    words = [place for place, name in enumerate(folded) if name in TOKEN_NAMES]
    right = [place for place, name in enumerate(folded) if name == "gold"]
    if len(words) != 1 or len(right) > 1:
        raise TaggingDataError(
            f"{path}: the columns are named {', '.join(names)}; expected one token, and gold once at most"
        )
    functions = {
        place: names[place] for place, name in enumerate(folded) if name not in (*TOKEN_NAMES, *IGNORED_NAMES, "gold")
    }
    if len(set(functions.values())) < len(functions):
        raise TaggingDataError(f"{path}: two columns have one name among {', '.join(functions.values())}")
    for place in (*functions, *right):
        if place not in tags:
            raise TaggingDataError(
                f"{_no_tags(path, sentences, width, place)}; a column {names[place]!r} that holds none is called -"
            )
    return _Roles(words[0], functions, right[0] if right else None)


def _rows(path: str | os.PathLike) -> tuple[list[list[_Row]], list[str]]:
    """The sentences, all rows of the same number of cells; and the names of the columns, if the file has them."""
    text = read_text(Path(path))
    lines = [line.strip(" ") for line in text.split("\n")]  # whatever ended them in the file
    plain = [line for line in lines if line.strip(" \t") and not line.startswith(("#", "-DOCSTART-"))]
    tabs = bool(plain) and all("\t" in line for line in plain)

    def cells(line: str) -> list[str]:
        return [cell.strip(" ") for cell in line.split("\t")] if tabs else re.split(r"[ \t]+", line.strip(" \t"))

    width = len(cells(plain[0])) if plain else 0
    found: list[list[_Row]] = [[]]
    for number, line in enumerate(lines, 1):
        row = cells(line)
        if not line.strip(" \t") or line.startswith("-DOCSTART-"):
            found.append([])
        elif not line.startswith("#") or _is_row(row, width):
            found[-1].append(_Row(number, row))
    found = [rows for rows in found if rows]
    if not found:
        raise TaggingDataError(f"{path} holds no sentence")
    width = width or len(found[0][0].cells)
    for sentence, rows in enumerate(found):
        for token, row in enumerate(rows):
            where = f"{path}, sentence {sentence}, token {token} (line {row.line})"
            if len(row.cells) != width:
                raise TaggingDataError(f"{where}: {len(row.cells)} columns; expected {width} as before")
            if not row.cells[0]:
                raise TaggingDataError(f"{where}: the token is empty")
    header = next((match[1].split() for line in lines if (match := _HEADER.fullmatch(line))), [])
    return found, header


def _is_row(cells: Sequence[str], width: int) -> bool:
    """Whether a line that begins with # is a token with its tags rather than a comment."""
    return len(cells) > 1 and (not width or len(cells) == width) and bool(_TAG.fullmatch(cells[-1]))


def _no_tags(path: str | os.PathLike, sentences: Sequence[Sequence[_Row]], width: int, place: int | None = None) -> str:
    """Why a column is none of tags, or no column is: what spoils the last."""
    if width < 2:
        return f"{path}, sentence 0, token 0: {width} column; expected a token and at least one tag"
    at = width - 1 if place is None else place
    number, token, cell = next(
        (sentence, token, row.cells[at])
        for sentence, rows in enumerate(sentences)
        for token, row in enumerate(rows)
        if not _TAG.fullmatch(row.cells[at])
    )
    others = ", and no other column holds tags alone" if place is None else ""
    return (
        f"{path}, sentence {number}, token {token}, column {at}: the tag is {cell!r}; expected O, B-type or "
        f"I-type (or E-, S-, L-, U-, M-){others}"
    )


def _spans(path: str | os.PathLike, sentences: Sequence[Sequence[_Row]], place: int) -> list[list[Span]]:
    """The entities of a column, whatever its scheme."""
    tags = [[row.cells[place] for row in rows] for rows in sentences]
    closed = any(tag[0] in "ESLU" for row in tags for tag in row)  # the scheme says where entities end

    def refuse(sentence: int, token: int, why: str) -> TaggingDataError:
        line = sentences[sentence][min(token, len(tags[sentence]) - 1)].line
        return TaggingDataError(f"{path}, sentence {sentence}, token {token}, column {place} (line {line}): {why}")

    orphan = marked = None  # the first I- that continues nothing, and whether some B- need not be there in IOB1
    result = []
    for number, row in enumerate(tags):
        entities: list[Span] = []
        for token, (before, tag) in enumerate(zip(["O", *row], [*row, "O"] if closed else row)):
            opened, border = before[0] in "BIM", _BORDERS[tag[0]]
            goes_on = opened and before[2:] == tag[2:]
            if closed and (opened != (border == "I") or (opened and not goes_on)):
                raise refuse(number, token, f"{tag} follows {before}, which BIOES and its kin do not allow")
            if border == "I" and goes_on:
                entities[-1] = (entities[-1][0], token + 1, tag[2:])
            elif border != "O":
                entities.append((token, token + 1, tag[2:]))
                marked = marked or (border == "B" and not goes_on)
                orphan = orphan or (refuse(number, token, f"{tag} follows {before}") if border == "I" else None)
        result.append(entities)
    if orphan and marked:
        raise TaggingDataError(f"{orphan}; an entity begins with B- here, as elsewhere in the column")
    return result
