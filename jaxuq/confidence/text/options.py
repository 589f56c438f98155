r"""The choices of UQAC, in one place, and where its released code does otherwise than the dissertation.

`ChainOptions(convention="published")` and `jaxuq confidence --published` take all that the last column has as a
`convention`; each function has it as an option of its own.

| the released code | here |
|---|---|
| weights lose the token itself and the first column before they are normalised; the nearest factor is the token before's | `reweight_recent(convention=)` |
| 1e-12 within the logarithm of a head's entropy | `aggregate_heads(convention=)` |
| maximum over the heads of least entropy, or their mean | `aggregate_heads(reduction=)` |
| a source gives its five strongest tokens; the threshold need only be reached; picks of a step count twice | `backtrack(convention=)` |
| mean cosine with the answer's tokens, which need only reach the threshold | `similarity_filter(convention=)` |
| five likeliest tokens are kept; another token has the probability of the likeliest | `token_log_probs(convention=)` |
| substitutes are among these five, and of all pairs `10 + tokens` the likeliest | `substitutions(convention=)` |
| no probability of a changed sequence is below 1e-12; sums are not normalised (nor in the text) | `answer_approximation(convention=)` |
| entropies are of the five likeliest tokens | `token_entropy(top_k=)` |
| the first token of a response counts for no measure of the response | `ChainOptions(convention=)` |
| bins of the calibration error are closed on the left | `balanced_scores(convention=)` |
| samples vote with the probability of their answers | `self_consistency(weights=)` |
| its own list of stop words, with typographic apostrophes alone | not followed: `stop_tokens` knows both |
| numbers of four digits without commas lose digits as answers of GSM8K | not followed: `find_answer` |
| the first token of a response is read from the last stored row, once it is attended to | not followed: its own row |
| always in single precision | not followed: as the model is |

References:
    Li, Qiang, Moukheiber and Zhang. Language Model Uncertainty Quantification with Attention Chain. 2025, and its code.
"""  # noqa: E501

from typing import Literal, NamedTuple

from jaxuq.confidence.recency import RECENCY_FACTORS


class ChainOptions(NamedTuple):
    """How an attention chain is found and turned into a confidence; the defaults are the dissertation's.

    Attributes:
        factors: see `reweight_recent`.
        num_heads: see `aggregate_heads`.
        reduction: see `aggregate_heads`.
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
    reduction: Literal["max", "mean"] = "max"
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
