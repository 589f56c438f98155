"""The extraction room: entities and relations from text by any chat model, zero-shot, located and scored (G&O).

The model answers freely, is asked to clean its answer up, and then to organise it as a table; the table is parsed
tolerantly, and what it says is located in the text, so that every span can be verified.
"""

from jaxuq.extraction.errors import ExtractionError
from jaxuq.extraction.locating import (
    CORRECTED,
    PUBLISHED,
    PUBLISHED_EARLY,
    Haystack,
    LocatingRules,
    Match,
    locate,
    make_haystack,
)
from jaxuq.extraction.parsing import STATUSES, ParsedRows, parse_rows
from jaxuq.extraction.published_relations import (
    published_pair_counts,
    published_pairs,
    published_tuple_counts,
    published_tuples,
)
from jaxuq.extraction.reading import (
    Reader,
    find_conflicts,
    make_reader,
    read_all_entities,
    read_entities,
    read_relations,
    read_resolution,
    resolve,
    says_yes,
)
from jaxuq.extraction.scoring import (
    COUNTS,
    SpanScores,
    entity_counts,
    relation_counts,
    scores_from_counts,
)
from jaxuq.extraction.spans import CONFLICT_RULES, Span, merge_overlaps, overlap, settle_types
from jaxuq.extraction.tables import (
    Table,
    clean_cell,
    find_column,
    is_nothing,
    published_tables,
    reply_tables,
)
from jaxuq.extraction.tokens import TokenizedText, join_tokens, tokenize

__all__ = [
    "CONFLICT_RULES",
    "CORRECTED",
    "COUNTS",
    "PUBLISHED",
    "PUBLISHED_EARLY",
    "STATUSES",
    "ExtractionError",
    "Haystack",
    "LocatingRules",
    "Match",
    "ParsedRows",
    "Reader",
    "Span",
    "SpanScores",
    "Table",
    "TokenizedText",
    "clean_cell",
    "entity_counts",
    "find_column",
    "find_conflicts",
    "is_nothing",
    "join_tokens",
    "locate",
    "make_haystack",
    "make_reader",
    "merge_overlaps",
    "overlap",
    "parse_rows",
    "published_pair_counts",
    "published_pairs",
    "published_tables",
    "published_tuple_counts",
    "published_tuples",
    "read_all_entities",
    "read_entities",
    "read_relations",
    "read_resolution",
    "relation_counts",
    "reply_tables",
    "resolve",
    "says_yes",
    "scores_from_counts",
    "settle_types",
    "tokenize",
]
