"""Which tokens carry no meaning of their own: stop words and punctuation."""

import string
from collections.abc import Sequence

from jaxtyping import Bool
from numpy import ndarray

from jaxuq._arguments import typed

_WORDS = """
a about above after again against all am an and any are as at be because been before being below between both
but by can could did do does doing down during each few for from further had has have having he her here hers
herself him himself his how i if in into is it its itself just me more most my myself no nor not now of off on once
only or other our ours ourselves out over own same shall she should so some such than that the their theirs them
themselves then there these they this those through to too under until up very was we were what when where which
while who whom why will with would you your yours yourself yourselves
don't won't can't isn't aren't wasn't weren't doesn't didn't hasn't haven't hadn't shouldn't wouldn't couldn't
i'm you're he's she's it's we're they're i've you've we've they've i'll you'll he'll she'll we'll they'll i'd you'd
he'd she'd we'd they'd that's there's here's what's who's where's let's 's 't 'd 'll 'm 're 've n't
"""
_STOP_WORDS = frozenset(_WORDS.split())
# Symbols that a calculation is written with carry meaning and stay; so do the letters of multiple-choice options in
# brackets, which are tokens of their own.
_MEANINGFUL = frozenset("=+-*/<>^|&#$%")
_PUNCTUATION = frozenset(string.punctuation) - _MEANINGFUL | frozenset("“”‘’…–—«»¿¡`´")


@typed()
def stop_tokens(texts: Sequence[str], *, extra: Sequence[str] = ()) -> Bool[ndarray, " tokens"]:
    r"""Mark the tokens that a chain leaves out, $\mathbb{V}_{stop}$: stop words, punctuation, white space.

    Compared without white space and case; a token of several punctuation marks counts as punctuation. Digits and the
    symbols of a calculation (`= + - * / < > ^ | & # $ %`) are kept. Contractions are recognised with straight and with
    curved apostrophes, and by their pieces (`'t`, `'ll`).

    Args:
        texts: the text of each token, decoded alone. A piece of a character (half of a UTF-8 sequence decodes to the
            replacement character) is kept: it may carry meaning.
        extra: further words to leave out.

    Returns:
        A NumPy array, True for tokens to leave out.

    Example:
        >>> stop_tokens(["The", " answer", " is", " 42", ".", " =", "\n\n"]).tolist()
        [True, False, True, False, True, False, True]

    References:
        Li. Uncertainty-Aware and Data-Efficient Fine-Tuning ... 2025, Eq 3.6.
    """
    import numpy as np

    words = _STOP_WORDS | {word.strip().lower() for word in extra}

    def is_stop(text: str) -> bool:
        bare = "".join(text.split()).lower().replace("’", "'")
        return all(character in _PUNCTUATION for character in bare) or bare in words

    return np.array([is_stop(text) for text in texts], bool)
