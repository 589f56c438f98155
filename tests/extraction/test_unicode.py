"""What a model writes is found where the text means it, whatever letters either uses; places are the text's own."""

import unicodedata

import numpy as np
import pytest

from jaxuq.extraction import make_reader, plain_text, tokenize
from jaxuq.tagging.words import word_places


def _found(text, phrase):
    reader = make_reader(tokenize(text))
    return [text[slice(*reader.text.characters(*match[:2]))] for match in reader.find(phrase)]


@pytest.mark.parametrize(
    ("text", "phrase", "found"),
    [
        ("use A* search, A is", "A*", ["A*"]),
        ("use A and B", "A*", ["A"]),
        ("the 5' end, 5 of", "5'", ["5'"]),
        ("call __init__ now", "__init__", ["__init__"]),
        ("then Ada met", "__Ada__", ["Ada"]),
        ('so "Weird Al" Yankovic sang', '"Weird Al" Yankovic', ['"Weird Al" Yankovic']),
        ("Na and K, na or NaCl", "Na", ["Na"]),
        ("nay it was nap", "Na", []),
        ("the Nil flows", "Nil", ["Nil"]),
        ("None of it", "None", []),
        ("water H₂O here", "H2O", ["H₂O"]),
        ("water H2O here", "H₂O", ["H2O"]),
        ("area m² here", "m2", ["m²"]),
        ("ＡＤＡ met", "Ada", ["ＡＤＡ"]),
        ("cafe\u0301 noir", "café", ["cafe\u0301"]),
        ("café noir", "cafe\u0301", ["café"]),
        ("Việt Nam", unicodedata.normalize("NFD", "Việt Nam"), ["Việt Nam"]),
        ("東京に行った", "東京", ["東京"]),
        ("서울에서 봄", "서울", ["서울"]),
        ("ไปกรุงเทพมา", "กรุงเทพ", ["กรุงเทพ"]),
        ("हिन्दी भाषा", "हिन्दी", ["हिन्दी"]),
        ("Ada\u200bLovelace wrote", "Ada Lovelace", ["Ada\u200bLovelace"]),
        ("Ada\u2060Lovelace wrote", "AdaLovelace", ["Ada\u2060Lovelace"]),
        ("co\u00adop bank", "coop", ["co\u00adop"]),
        ("the ‘x‑y’ one", "x-y", ["x‑y"]),
        ("it’s O’Hara", "O'Hara", ["O’Hara"]),
        ("ﬁsh eat", "fish", ["ﬁsh"]),
        ("İstanbul is", "istanbul", ["İstanbul"]),
        ("\ufeffAda met", "Ada", ["Ada"]),
        ("the ¨a sign", "¨a", ["¨a"]),
        ("so ´ stands", "´", ["´"]),
    ],
)
def test_what_reads_alike_is_found_where_it_stands(text, phrase, found):
    assert _found(text, phrase) == found


def test_words_cover_all_but_blanks_and_never_part_a_letter_from_its_marks():
    for text in (
        "naïve",
        unicodedata.normalize("NFD", "naïve Việt"),
        "हिन्दी",
        "a\u0301b 東京 x\u200by 1.5e",
        "👩\u200d🔬!",
    ):
        places = word_places(text)
        rest = "".join(
            text[a:b] for a, b in zip([0, *(end for _, end in places)], [*(s for s, _ in places), len(text)])
        )
        assert not rest.strip().strip("\u200b\ufeff")
        assert not any(unicodedata.category(text[start])[0] == "M" for start, _ in places)


def test_plain_text_is_the_same_for_all_forms(rng):
    letters = [chr(code) for code in rng.integers(0x20, 0x2FFF, 300) if not 0xD800 <= code <= 0xDFFF]
    for letter in letters:
        plain = plain_text(letter)
        assert plain_text(plain) == plain
        assert all(plain_text(unicodedata.normalize(form, letter)) == plain for form in ("NFC", "NFD", "NFKC", "NFKD"))
    assert np.mean([plain_text(letter) == letter for letter in letters]) > 0.3
