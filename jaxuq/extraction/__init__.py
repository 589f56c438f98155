"""The extraction room: entities and relations from text by any chat model, zero-shot, located and scored (G&O).

The model answers freely, is asked to clean its answer up, and then to organise it as a table; the table is parsed
tolerantly, and what it says is located in the text, so that every span can be verified.
"""

from jaxuq.extraction.chat import (
    ChatModel,
    ChatSettings,
    Reply,
    Request,
    TableForm,
    Usage,
    replay_chat,
    scripted_chat,
)
from jaxuq.extraction.confidence import agreement, cell_confidence
from jaxuq.extraction.conversations import (
    Conversation,
    Wanted,
    conversation_of,
    converse,
    plan_conversations,
    plan_resolutions,
)
from jaxuq.extraction.errors import ExtractionError
from jaxuq.extraction.evaluation import METRICS, Evaluation, evaluate
from jaxuq.extraction.formats import (
    FORMATS,
    bio_columns,
    brat_annotations,
    check_formats,
    doc_bin,
    json_line,
    span_record,
    tagging_records,
    write_formats,
)
from jaxuq.extraction.harmonising import Harmoniser, fit_harmoniser, harmonised, pareto_loss, span_risk
from jaxuq.extraction.joining import read_conversations
from jaxuq.extraction.json_schema import types_of_json_schema
from jaxuq.extraction.local import local_chat
from jaxuq.extraction.locating import (
    CORRECTED,
    EXACT,
    PUBLISHED,
    PUBLISHED_EARLY,
    Haystack,
    LocatingRules,
    Match,
    locate,
    make_haystack,
)
from jaxuq.extraction.parsing import STATUSES, ParsedRows, parse_rows
from jaxuq.extraction.passages import Passage, make_passages, read_passages, schema_of_data
from jaxuq.extraction.pipeline import Extraction, extract
from jaxuq.extraction.promised import (
    Calibrating,
    Promised,
    calibrated_confidences,
    keep_promised,
    scored_spans,
    set_aside,
)
from jaxuq.extraction.prompts import STRATEGIES, Plan, fill, read_prompts, steps
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
from jaxuq.extraction.run import RunResult, data_name, run_extraction
from jaxuq.extraction.schema import EntityType, RelationType, Schema, make_schema, read_schema
from jaxuq.extraction.scoring import (
    COUNTS,
    SpanScores,
    entity_counts,
    relation_counts,
    scores_from_counts,
)
from jaxuq.extraction.spans import CONFLICT_RULES, Span, merge_overlaps, overlap, settle_types
from jaxuq.extraction.structured import separated_rows, structured_tables
from jaxuq.extraction.tables import (
    Table,
    clean_cell,
    find_column,
    is_nothing,
    published_tables,
    reply_tables,
)
from jaxuq.extraction.tokens import TokenizedText, join_tokens, plain_text, tokenize

__all__ = [
    "CONFLICT_RULES",
    "CORRECTED",
    "COUNTS",
    "EXACT",
    "FORMATS",
    "METRICS",
    "PUBLISHED",
    "PUBLISHED_EARLY",
    "STATUSES",
    "STRATEGIES",
    "Calibrating",
    "ChatModel",
    "ChatSettings",
    "Conversation",
    "EntityType",
    "Evaluation",
    "Extraction",
    "ExtractionError",
    "Harmoniser",
    "Haystack",
    "LocatingRules",
    "Match",
    "ParsedRows",
    "Passage",
    "Plan",
    "Promised",
    "Reader",
    "RelationType",
    "Reply",
    "Request",
    "RunResult",
    "Schema",
    "Span",
    "SpanScores",
    "Table",
    "TableForm",
    "TokenizedText",
    "Usage",
    "Wanted",
    "agreement",
    "bio_columns",
    "brat_annotations",
    "calibrated_confidences",
    "cell_confidence",
    "check_formats",
    "clean_cell",
    "conversation_of",
    "converse",
    "data_name",
    "doc_bin",
    "entity_counts",
    "evaluate",
    "extract",
    "fill",
    "find_column",
    "find_conflicts",
    "fit_harmoniser",
    "harmonised",
    "is_nothing",
    "join_tokens",
    "json_line",
    "keep_promised",
    "local_chat",
    "locate",
    "make_haystack",
    "make_passages",
    "make_reader",
    "make_schema",
    "merge_overlaps",
    "overlap",
    "pareto_loss",
    "parse_rows",
    "plain_text",
    "plan_conversations",
    "plan_resolutions",
    "published_pair_counts",
    "published_pairs",
    "published_tables",
    "published_tuple_counts",
    "published_tuples",
    "read_all_entities",
    "read_conversations",
    "read_entities",
    "read_passages",
    "read_prompts",
    "read_relations",
    "read_resolution",
    "read_schema",
    "relation_counts",
    "replay_chat",
    "reply_tables",
    "resolve",
    "run_extraction",
    "says_yes",
    "schema_of_data",
    "scored_spans",
    "scores_from_counts",
    "scripted_chat",
    "separated_rows",
    "set_aside",
    "settle_types",
    "span_record",
    "span_risk",
    "steps",
    "structured_tables",
    "tagging_records",
    "tokenize",
    "types_of_json_schema",
    "write_formats",
]
