"""One table of all measures: what each needs, what it costs, and which way it points."""

from typing import Literal, NamedTuple


class Measure(NamedTuple):
    """What to know about a measure before choosing it.

    Attributes:
        needs: `tokens` (log-probabilities of the answer's tokens), `distributions` (whole rows over the vocabulary),
            `attention`, `states` (hidden states), `samples` (further answers), `second model` (entailment or sentence
            similarity), `question` (one more prompt), `members` (several models), `labels` (answered questions).
        higher: what a higher number means.
        cost: beyond generating the answer; K samples, T tokens.
    """

    needs: tuple[str, ...]
    higher: Literal["confident", "uncertain"]
    cost: str


def _table(rows: str) -> dict[str, Measure]:
    table = {}
    for line in rows.strip().splitlines():
        name, needs, higher, cost = (part.strip() for part in line.split("|"))
        table[name] = Measure(tuple(part.strip() for part in needs.split(",")), _WAYS[higher], cost)
    return table


_WAYS: dict[str, Literal["confident", "uncertain"]] = {"C": "confident", "U": "uncertain"}
MEASURES: dict[str, Measure] = _table(
    """
    sequence_log_probability | tokens | C | nothing
    mean_log_probability | tokens | C | nothing
    mean_probability | tokens | C | nothing
    minimum_probability | tokens | C | nothing
    log_probability_quantile | tokens | C | nothing
    perplexity | tokens | U | nothing
    greedy_negative_log_likelihood | tokens | U | nothing for a greedy answer
    pointwise_mutual_information | tokens | C | a pass over T tokens without the prompt
    predictive_entropy | distributions | U | a reduction of each row
    renyi_divergence | distributions | C | a reduction of each row
    fisher_rao_distance | distributions | C | a reduction of each row
    self_certainty | distributions | C | a reduction of each row
    boosted_probability | distributions | C | the likeliest of each row
    alternatives_confidence | tokens | C | nothing
    claim_conditioned_probability | distributions, second model | U | 2 x 9 x T short entailment calls
    chain_confidence | tokens, attention, states | C | some rows of attention
    answer_approximation | tokens, attention, states | C | one batch of texts with one token changed
    attention_score | attention | C | a diagonal
    rauq | tokens, attention | U | one weight a token, layer and head
    focus | distributions, attention | U | attention among the answer's tokens, tagging
    contextualised_sequence_likelihood | tokens, attention, question, labels | C | a pass over a judging prompt
    token_sar | tokens, second model | U | T + 1 encoder calls
    sentence_sar | samples, tokens, second model | U | K samples and pairs
    sequence_entropy | samples, tokens | U | K samples
    self_consistency | samples | C | K samples
    number_of_sets | samples, second model | U | K samples and pairs
    discrete_semantic_entropy | samples, second model | U | K samples and pairs
    semantic_entropy | samples, tokens, second model | U | K samples and pairs
    semantic_density | samples, tokens, second model | C | K samples, K to 2K pairs
    cocoa | samples, tokens, second model | U | K samples, K to 2K pairs
    mean_pair_similarity | samples | C | K samples; words, or pairs of a second model
    degree_uncertainty | samples | U | K samples; words, or pairs of a second model
    eigenvalue_uncertainty | samples | U | K samples and pairs, eigenvalues
    eccentricity | samples | U | K samples and pairs, eigenvectors
    kernel_language_entropy | samples, second model | U | K samples and pairs, eigenvectors
    semantic_volume | samples, second model | U | K samples and their embeddings
    inverse_entropy | samples, second model | U | paraphrases, samples, and their embeddings
    eigen_score | samples, states | U | K samples, eigenvalues
    p_true | question | C | one more prompt
    parse_confidence | question | C | one short generation
    relative_confidence | question | C | comparisons of pairs of questions
    ensemble_uncertainty | members, distributions | U | every member on the same tokens
    ensemble_sequence_uncertainty | members, tokens | U | every member on the same answers
    mahalanobis_distance | states | U | statistics of known prompts
    logistic_confidence | labels | C | whatever it combines
    """
)
