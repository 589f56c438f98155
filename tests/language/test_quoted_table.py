"""Tables whose cells are quoted: exactly the tables that a reader of the definition would accept."""

import re

import pytest

from jaxuq.language import ConstraintError, Sampling, generate, regex_constraint, table_constraint
from tests.language.test_constraints import bytewise  # noqa: F401

llguidance = pytest.importorskip("llguidance")
TEXT = 'Ada met Bo in Paris, "well" | a\\b\nand paid 3.5 €.'
HEAD = "| Person |\n| --- |"


class Bytes:
    """A vocabulary in which every byte is a token."""

    eos_token_id, bos_token_id, is_tokenizer_wrapper = 256, None, True

    def __init__(self):
        self.tokens, self.special_token_ids = [*(bytes([number]) for number in range(256)), b"</s>"], [256]

    def __call__(self, text):
        return list(text.encode())


def accepts(constraint, text):
    tokens = llguidance.LLTokenizer(Bytes(), n_vocab=257, eos_token=[256])
    matcher = llguidance.LLMatcher(tokens, llguidance.LLMatcher.grammar_from_lark(constraint.source), log_level=0)
    assert not matcher.is_error(), matcher.get_error()
    raw = list(text.encode())
    return matcher.try_consume_tokens(raw) == len(raw) and matcher.is_accepting()


def test_cells_are_parts_of_the_text_that_begin_and_end_with_a_word_or_sign():
    constraint = table_constraint(["Person"], TEXT)
    ends = [0, *(found.end() for found in re.finditer(r"\w+|\s|[^\w\s]", TEXT))]
    allowed = {TEXT[begin:end] for begin in ends for end in ends if begin < end}
    allowed = {one for one in allowed if one == one.strip() and "|" not in one and "\n" not in one} | {"None"}
    for cell in ("Ada", "Bo in Paris", "3.5 €", "€", ".", '"well"', "a\\b"):
        assert cell in allowed
    for cell in (*allowed, "Pa", "Bob", "", " Ada", "Ada ", "ada", "Ada Bo", "none", "met | Bo", 'well" | a', "b\nand"):
        assert accepts(constraint, f"{HEAD}\n| {cell} |") == (cell in allowed), cell


def test_rows_columns_and_choices():
    constraint = table_constraint(["Entity", "Type"], TEXT, choices={"Type": ["Person", 'a "b"']}, most_rows=2)
    head, row = "| Entity | Type |\n| --- | --- |", '\n| Ada | Person |\n| Bo | a "b" |'
    assert accepts(constraint, head + row) and accepts(constraint, f"{head}\n| None | Person |")
    for wrong in (head, head + row + row, f"{head}\n| Ada | Place |", f"{head}\n| Ada |", f"Well: {head}{row}",
                  f"{head}{row}\n"):  # fmt: skip
        assert not accepts(constraint, wrong), wrong
    assert accepts(table_constraint(["A"], ""), "| A |\n| --- |\n| None |")


@pytest.mark.parametrize(
    ("columns", "choices"),
    [([], {}), (["A", "A"], {}), (["A|B"], {}), (["A\n"], {}), ([" "], {}), (["A"], {"B": ["x"]}), (["A"], {"A": []}),
     (["A"], {"A": ["x|y"]})],
)  # fmt: skip
def test_what_no_table_can_hold_is_refused(columns, choices):
    with pytest.raises(ConstraintError):
        table_constraint(columns, TEXT, choices=choices)


def test_prompts_have_constraints_of_their_own_or_none(bytewise):  # noqa: F811
    wanted = [table_constraint(["a"], "bc de", most_rows=1), None, regex_constraint("x{3}")]
    options = {"max_new_tokens": 40, "sampling": Sampling(1.0), "rng_key": 3}
    together = generate(bytewise, ["abc", "hello", "abcd"], constraint=wanted, batch_size=3, **options)
    assert re.fullmatch(r"\| a \|\n\| --- \|\n\| (bc|de|bc de|None) \|", together[0].text)
    assert together[2].text == "xxx" and together[1].allowed_log_probs.sum() == 0
    (free,) = [one for one in generate(bytewise, ["abc", "hello", "abcd"], **options) if one.prompt == 1]
    assert together[1].text == free.text
    with pytest.raises(ValueError, match="2 constraints for 3 prompts"):
        generate(bytewise, ["abc", "hello", "abcd"], constraint=wanted[:2], **options)
