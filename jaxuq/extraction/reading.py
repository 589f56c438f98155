"""From replies to located spans and relations of one text."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from jaxuq.extraction.locating import CORRECTED, EXACT, PUBLISHED, Haystack, LocatingRules, Match, locate, make_haystack
from jaxuq.extraction.parsing import ParsedRows, parse_rows
from jaxuq.extraction.scoring import Arguments
from jaxuq.extraction.spans import Span, merge_overlaps
from jaxuq.extraction.tables import MARKS, NAMES, is_nothing
from jaxuq.extraction.tokens import TokenizedText, plain_text, tokenize


class Reader(NamedTuple):
    """A text made ready for reading replies about it; see `make_reader`.

    Attributes:
        text: the text.
        haystack: its tokens in lower case, in plain letters (`plain_text`; but not as published).
        exact: the same with their case.
        count: how many tokens a phrase has.
        rules: of locating.
        convention: of parsing, `"corrected"` or `"published"`.
    """

    text: TokenizedText
    haystack: Haystack
    exact: Haystack
    count: Callable[[str], int]
    rules: LocatingRules
    convention: str

    def find(self, phrase: str, num_tokens: int | None = None, *, ignore_case: bool = True) -> list[Match]:
        """All places of a phrase, in tokens of the text; see `locate`."""
        if is_nothing(phrase, convention=self.convention):
            return []
        if self.convention == "published":
            return self._locate(phrase, num_tokens, self.rules, ignore_case)
        if phrase in NAMES:  # as likely a none-word as a name, which the text alone can tell
            return self._locate(phrase, num_tokens, EXACT, ignore_case=False)
        phrase = plain_text(phrase)
        bare = phrase.strip(MARKS)
        if bare == phrase or not bare:
            return self._locate(phrase, num_tokens, self.rules, ignore_case)
        exact = self._locate(phrase, num_tokens, EXACT, ignore_case)  # marks that belong to the name
        return exact or self._locate(bare, num_tokens, self.rules, ignore_case)

    def _locate(self, phrase: str, num_tokens: int | None, rules: LocatingRules, ignore_case: bool) -> list[Match]:
        phrase = phrase.lower() if ignore_case else phrase
        return locate(
            phrase,
            self.haystack if ignore_case else self.exact,
            num_tokens=self.count(phrase) if num_tokens is None else num_tokens,
            rules=rules,
        )


def make_reader(
    text: TokenizedText,
    *,
    tokenizer: str = "words",
    rules: LocatingRules | None = None,
    convention: str = "corrected",
) -> Reader:
    """Prepare a text.

    Args:
        text: with its tokens.
        tokenizer: that of the text, for counting the tokens of phrases.
        rules: of locating; None takes those of the convention.
        convention: `"corrected"` or `"published"`.

    Returns:
        `Reader`.

    Raises:
        ValueError: an unknown convention.

    Example:
        >>> reader = make_reader(tokenize("Ada met Bo. ADA wrote."))
        >>> [match[:2] for match in reader.find("Ada")]
        [(0, 1), (4, 5)]
    """

    def count(phrase: str) -> int:
        return len(tokenize(phrase, tokenizer).tokens)

    tokens = text.tokens if convention == "published" else [plain_text(token) for token in text.tokens]
    lower, exact = make_haystack(tokens), make_haystack(tokens, ignore_case=False)
    if convention not in ("corrected", "published"):
        raise ValueError(f"convention is {convention!r}; expected 'corrected' or 'published'")
    rules = rules or (PUBLISHED if convention == "published" else CORRECTED)
    return Reader(text, lower, exact, count, rules, convention)


def read_entities(reply: str, kind: str, column: str, reader: Reader) -> tuple[list[Span], str]:
    """The entities of one type that a reply names.

    Args:
        reply: the last message of a conversation about this type.
        kind: name of the type.
        column: what its column was to be called.
        reader: of the text.

    Returns:
        Spans in the order of the text, none overlapping another, and the status of the reply (`STATUSES`).

    Example:
        >>> reader = make_reader(tokenize("Ada met Bo."))
        >>> spans, status = read_entities("| Person |\\n|---|\\n| bo |\\n", "person", "Person", reader)
        >>> spans[0].start, spans[0].end, status
        (2, 3, 'found')
    """
    parsed = parse_rows(reply, [column], convention=reader.convention)
    matches = [match for (phrase,) in _distinct(parsed, reader) for match in reader.find(phrase)]
    return [Span(match.start, match.end, kind, match.score) for match in merge_overlaps(matches)], parsed.status


def _distinct(parsed: ParsedRows, reader: Reader) -> Sequence[tuple[str, ...]]:
    """Rows without repetitions, which name nothing new; the published code locates them again to no effect."""
    return list(dict.fromkeys(parsed.rows))


def read_all_entities(
    reply: str,
    labels: Mapping[str, str],
    reader: Reader,
    *,
    columns: tuple[str, str] = ("Entity", "Entity Type"),
) -> tuple[dict[str, list[Span]], str]:
    """The entities of all types that one reply names (All-Entity-in-One).

    Types are matched by name without regard to case. The published code compares them exactly and forgets, at every
    row, what earlier rows said of the same type, so that one entity of each type is left; `convention="published"` of
    the reader does the same.

    Args:
        reply: the last message of a conversation about all types.
        labels: what each type is called in the table.
        reader: of the text.
        columns: names of the columns of entities and of types.

    Returns:
        Spans of each type, and the status of the reply.

    Example:
        >>> reply = "| Entity | Entity Type |\\n|---|---|\\n| Ada | Person |\\n| Bo | Person |\\n"
        >>> for convention in ("corrected", "published"):
        ...     reader = make_reader(tokenize("Ada met Bo."), convention=convention)
        ...     len(read_all_entities(reply, {"person": "Person"}, reader)[0]["person"])
        2
        1
    """
    parsed = parse_rows(reply, columns, convention=reader.convention)
    published = reader.convention == "published"
    kinds = {label if published else label.casefold(): kind for kind, label in labels.items()}
    if not published:
        kinds |= {kind.casefold(): kind for kind in labels}
    found: dict[str, list[Match]] = {}
    for phrase, label in parsed.rows:
        kind = kinds.get(label if published else label.casefold())
        if kind is None:
            continue
        matches = reader.find(phrase)
        found[kind] = matches if published else [*found.get(kind, []), *matches]
    spans = {
        kind: [Span(*match[:2], kind, match.score) for match in (matches if published else merge_overlaps(matches))]
        for kind, matches in found.items()
    }
    return {kind: spans[kind] for kind in (found if published else labels) if kind in spans}, parsed.status


def read_resolution(reply: str, types: Sequence[str], reader: Reader) -> tuple[dict[tuple[int, int], str], str]:
    """What a conflict resolution says about places.

    Args:
        reply: the last message of a conversation about conflicts.
        types: names of the types, as the table was to use them.
        reader: of the text.

    Returns:
        The type of each place that the table names, and the status of the reply. `convention="published"` of the
        reader keeps the type as it is written, so that one in another case resolves nothing but removes the span.

    Example:
        >>> reader = make_reader(tokenize("Ada met Bo."))
        >>> reply = "| Entity | Entity Type |\\n|---|---|\\n| Ada | PERSON |\\n"
        >>> read_resolution(reply, ["person", "place"], reader)
        ({(0, 1): 'person'}, 'found')
    """
    parsed = parse_rows(reply, ["Entity", "Entity Type"], convention=reader.convention)
    names = {kind.casefold(): kind for kind in types}
    said: dict[str, str] = {}
    for phrase, label in parsed.rows:
        said.setdefault(phrase, label)
    places: dict[tuple[int, int], str] = {}
    for phrase, label in said.items():
        if label.casefold() in names:
            kept = label if reader.convention == "published" else names[label.casefold()]
            places.update({match[:2]: kept for match in reader.find(phrase)})
    return places, parsed.status


def resolve(spans: Mapping[str, Sequence[Span]], places: Mapping[tuple[int, int], str]) -> dict[str, list[Span]]:
    """Drop the spans to whose place a resolution gives another type.

    Args:
        spans: of each type.
        places: of `read_resolution`.

    Returns:
        What is left of each type.

    Example:
        >>> resolve({"person": [Span(0, 1, "person")], "place": [Span(0, 1, "place")]}, {(0, 1): "person"})["place"]
        []
    """
    return {kind: [span for span in group if places.get(span[:2], kind) == kind] for kind, group in spans.items()}


def find_conflicts(spans: Mapping[str, Sequence[Span]]) -> list[tuple[int, int, tuple[str, ...]]]:
    """Places that have several types.

    Overlapping spans of different types are joined into one place, chains of them too. (The published code joins each
    span with one earlier place only, so that a chain may leave two places.)

    Args:
        spans: of each type.

    Returns:
        Start, end and types of each place with more than one type, in the order of the text.

    Example:
        >>> find_conflicts({"person": [Span(0, 2, "person")], "place": [Span(1, 3, "place"), Span(5, 6, "place")]})
        [(0, 3, ('person', 'place'))]
    """
    places: list[tuple[int, int, tuple[str, ...]]] = []
    for span in sorted(span for group in spans.values() for span in group):
        if places and span.start < places[-1][1]:
            start, end, kinds = places[-1]
            places[-1] = (start, max(end, span.end), tuple(dict.fromkeys([*kinds, span.type])))
        else:
            places.append((span.start, span.end, (span.type,)))
    return [place for place in places if len(place[2]) > 1]


def read_relations(
    reply: str,
    columns: Sequence[str],
    reader: Reader,
    *,
    check: str | None = None,
    optional: Sequence[str] = (),
) -> tuple[list[Arguments], str]:
    """The relations of one type that a reply names.

    A row is a relation if all its arguments are found in the text, at different places, and the check column, if there
    is one, says yes.

    Args:
        reply: the last message of a conversation about this relation.
        columns: names of the columns of the arguments, such as subject and object.
        reader: of the text.
        check: name of a column in which the model says whether the relation holds.
        optional: for each argument the name of a column with another way to say it (an abbreviation), or `""`.

    Returns:
        For each relation the places of its arguments, and the status of the reply.

    Example:
        >>> reader = make_reader(tokenize("Ada worked for Babbage."))
        >>> reply = "| Person | Employer |\\n|---|---|\\n| Ada | Babbage |\\n"
        >>> read_relations(reply, ["Person", "Employer"], reader)
        ([(((0, 1),), ((3, 4),))], 'found')
    """
    others = [name for name in optional if name]
    wanted = [*columns, *([check] if check else []), *others]
    parsed = parse_rows(reply, wanted, convention=reader.convention)
    if parsed.status == "no column" and others:
        others = []
        parsed = parse_rows(reply, wanted[: len(columns) + bool(check)], convention=reader.convention)
    relations: list[Arguments] = []
    for row in dict.fromkeys(parsed.rows):
        said = row[: len(columns)]
        if not all(said) or (check and not says_yes(row[len(columns)])):
            continue
        second = dict(zip([i for i, name in enumerate(optional) if name], row[len(row) - len(others) :]))
        places = [
            reader.find(phrase) or (reader.find(second[i]) if second.get(i) and not is_nothing(second[i]) else [])
            for i, phrase in enumerate(said)
        ]
        arguments = tuple(tuple(match[:2] for match in group) for group in places)
        if all(arguments) and len(set(arguments)) == len(arguments):
            relations.append(arguments)
    return list(dict.fromkeys(relations)), parsed.status


def says_yes(cell: str) -> bool:
    """Whether a cell has the word yes.

    Args:
        cell: its text.

    Returns:
        True if it does.

    Example:
        >>> says_yes("Yes, clearly"), says_yes("-")
        (True, False)
    """
    return "yes" in (token.lower() for token in tokenize(cell).tokens)
