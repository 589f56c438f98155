"""The choices of UQAC, in one place."""

from typing import Literal, NamedTuple

from jaxuq.confidence.recency import RECENCY_FACTORS


class ChainOptions(NamedTuple):
    """How an attention chain is found and turned into a confidence; the defaults are the dissertation's.

    Attributes:
        factors: see `reweight_recent`.
        num_heads: see `aggregate_heads`.
        buffer: see `backtrack`.
        threshold: see `backtrack`.
        free_tokens: see `backtrack`.
        max_tokens: see `similarity_filter`.
        similarity_threshold: see `similarity_filter`.
        use_attention: False filters all tokens of the reasoning instead of a chain (Table 3.2).
        substitution_threshold: probability above which another token is tried.
        max_substitutions: most sequences beside the answer's own that are scored, the likeliest first.
        convention: `"published"` follows the released code where it differs from the text.
    """

    factors: tuple[float, ...] = RECENCY_FACTORS
    num_heads: int = 16
    buffer: int = 3
    threshold: float = 0.5
    free_tokens: int = 5
    max_tokens: int = 10
    similarity_threshold: float = 0.0
    use_attention: bool = True
    substitution_threshold: float = 0.01
    max_substitutions: int = 10
    convention: Literal["text", "published"] = "text"


DEFAULTS = ChainOptions()
"""Those of the dissertation."""
