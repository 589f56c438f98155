"""The measures of a run: what each is called, where it comes from, which way it points, and what it costs."""

from typing import Literal, NamedTuple, cast

Group = Literal["uqac", "answer", "response", "samples", "asking", "learned"]


class Scored(NamedTuple):
    """A measure as a run reports it.

    Attributes:
        title: for tables.
        group: what it needs: `uqac`, `answer` and `response` one answer, `samples` several, `asking` the model's own
            judgement, `learned` labelled questions.
        sign: 1 if a higher value means more confident, -1 if less.
        bounded: whether it is a confidence in [0, 1] as it is, so that it has a calibration error; `"one minus"` if one
            minus it is.
        costs: names of the seconds that it takes beside the answer itself.
    """

    title: str
    group: Group
    sign: int
    bounded: bool | Literal["one minus"]
    costs: tuple[str, ...]


_COSTS = {
    "answer": ("read", "measures"),
    "response": ("read", "measures"),
    "uqac": ("read",),
    "samples": ("samples",),
    "asking": (),
    "learned": ("read", "measures"),
}
_TABLE = """
uqac | UQAC: P̃ | uqac | + | yes | substitutions
uqac_similarity | UQAC: P̃ sim | uqac | + | yes |
uqac_attention | UQAC: P̃ attn | uqac | + | yes |
answer_probability | P(answer | reasoning) | answer | + | yes |
mean_answer_probability | Mean P of the answer | answer | + | yes |
minimum_answer_probability | Least P of the answer | answer | + | yes |
answer_entropy | Mean entropy of the answer | answer | - | no |
response_probability | P(response) | response | + | yes |
mean_response_probability | Mean P of the response | response | + | yes |
minimum_probability | Least P of the response | response | + | yes |
sequence_log_probability | log P(response) | response | + | no |
mean_log_probability | Mean log P | response | + | no |
log_probability_quantile | Lower quartile of log P | response | + | no |
perplexity | Perplexity | response | - | no |
greedy_negative_log_likelihood | G-NLL | response | - | no |
predictive_entropy | Predictive entropy H | response | - | no |
normalised_predictive_entropy | 1 - mean entropy | response | - | minus |
renyi_divergence | Rényi divergence | response | + | no |
fisher_rao_distance | Fisher-Rao distance | response | + | yes |
self_certainty | Self-certainty | response | + | no |
boosted_probability | Boosted probability | response | + | yes |
attention_score | AttentionScore | response | + | no |
rauq | RAUQ | response | - | no |
token_sar | TokenSAR (own states) | response | - | no |
self_consistency | Self-consistency (majority) | samples | + | yes |
agreement | Self-consistency (this answer) | samples | + | yes |
number_of_sets | Number of semantic sets | samples | - | no |
discrete_semantic_entropy | Discrete semantic entropy | samples | - | no |
semantic_entropy | Semantic entropy | samples | - | no |
sequence_entropy | Monte-Carlo entropy | samples | - | no |
normalised_sequence_entropy | Normalised Monte-Carlo entropy | samples | - | no |
mean_pair_similarity | Lexical similarity (ROUGE-L) | samples | + | yes |
degree_uncertainty | Degree matrix | samples | - | no |
eigenvalue_uncertainty | Graph eigenvalues | samples | - | no |
eccentricity | Eccentricity | samples | - | no |
kernel_language_entropy | Kernel language entropy | samples | - | no |
semantic_volume | Semantic volume | samples | - | no |
eigen_score | EigenScore | samples | - | no |
sentence_sar | SentenceSAR | samples | - | no |
semantic_density | Semantic density | samples | + | yes |
cocoa | CoCoA | samples | - | no |
p_true | P(True) | asking | + | yes | p_true
contextualised_sequence_likelihood | CSL (all heads) | asking | + | no | read p_true
stated_confidence | Verbalised confidence | asking | + | yes | stated_confidence
pointwise_mutual_information | Pointwise mutual information | asking | + | no | read pointwise_mutual_information
logistic_single | Logistic: measures of one answer | learned | + | yes | substitutions
logistic_all | Logistic: all measures | learned | + | yes | substitutions samples p_true
p_ik | P(IK): probe of the question | learned | + | yes |
"""


def _catalogue() -> dict[str, Scored]:
    found = {}
    for line in _TABLE.strip().splitlines():
        *start, group, sign, bounded, costs = (
            (part.strip() for part in line.split(" | "))
            if not line.endswith("|")
            else (*(part.strip() for part in line[:-1].split(" | ")), "")
        )
        name, title = start[0], " | ".join(start[1:])
        kind = {"yes": True, "no": False, "minus": "one minus"}[bounded]
        both = (*_COSTS[group], *costs.split())
        found[name] = Scored(title, cast(Group, group), 1 if sign == "+" else -1, kind, tuple(dict.fromkeys(both)))
    return found


SCORED: dict[str, Scored] = _catalogue()
NOT_RUN: dict[str, str] = {
    "claim_conditioned_probability": "an entailment model",
    "focus": "word frequencies of a corpus and a tagger of keywords",
    "inverse_entropy": "paraphrases of every question",
    "relative_confidence": "comparisons of pairs of questions",
    "ensemble_uncertainty": "several models with the same vocabulary",
    "ensemble_sequence_uncertainty": "several models with the same vocabulary",
    "mahalanobis_distance": "prompts known to be of the model's domain",
}
"""Measures of `MEASURES` that one model and one set of questions do not suffice for, and what they need."""
