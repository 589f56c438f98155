"""Short lists of English words by which sentences, names and letters are told apart."""

TITLES = frozenset(
    (
        "st", "mr", "mrs", "ms", "dr", "prof", "mt", "ft", "gen", "col", "sgt", "rev", "hon", "capt", "lt", "vs",
        "cf", "dept", "fig", "approx", "sen", "rep", "gov", "pres", "mme", "mlle", "msgr", "maj", "cmdr", "adm", "sra",
        "ave", "vol", "nos", "pp", "mts", "sts",
    )
)  # fmt: skip
"""After these a point ends no sentence."""

SHORTENED = frozenset(("i.e", "e.g", "d.p", "s.f", "sig", "ca", "eq", "cu", "sq"))
"""Abbreviations within sentences."""

AFTER_NAMES = frozenset(
    (
        "jr", "sr", "inc", "ltd", "co", "corp", "etc", "bros",
    )
)  # fmt: skip
"""After these a point ends a sentence if no name follows."""

BEGINNERS = frozenset(
    (
        "it", "the", "this", "that", "these", "those", "because", "so", "he", "she", "they", "in", "a", "an", "we",
        "i", "its", "there", "and", "but", "if", "for", "as", "therefore", "hence", "thus", "since", "however",
        "also", "note", "you", "to", "on", "at", "his", "her", "their", "what", "when", "where", "why", "how",
    )
)  # fmt: skip
"""Words that a sentence begins with, and no name."""

WORDS_AFTER = frozenset(
    (
        "because", "since", "as", "for", "and", "or", "nor", "is", "isn't", "are", "has", "hasn't", "which", "that",
        "if", "due", "in", "on", "at", "with", "without", "but", "from", "according", "by", "where", "whereas",
        "while", "when", "here", "there", "to", "than", "correctly", "makes", "fits", "matches", "works", "seems",
        "gives", "says", "states", "describes", "contains", "follows", "means", "remains", "holds", "wins", "looks",
        "appears", "does", "doesn't", "belongs", "refers", "floats", "therefore", "thus", "hence", "only", "alone",
        "over", "rather", "instead", "not",
    )
)  # fmt: skip
"""After the letter of a choice, and after neither an article nor the pronoun I."""

WORDS_OF_I = frozenset(
    (
        "am", "think", "thought", "believe", "believed", "guess", "would", "wouldn't", "will", "can", "can't",
        "cannot", "could", "should", "must", "may", "might", "have", "had", "was", "do", "did", "don't", "didn't",
        "know", "knew", "say", "said", "see", "saw", "choose", "chose", "pick", "picked", "select", "selected",
        "go", "went", "need", "want", "feel", "felt", "find", "found", "get", "got", "suppose", "assume",
        "conclude", "also", "just", "really", "still", "now", "then", "first", "always", "never",
    )
)  # fmt: skip
"""After the pronoun I."""
