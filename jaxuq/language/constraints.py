"""What the text of an answer must be: a value of a JSON schema, a match of a regular expression, or one of some texts.

Grammars are followed by llguidance, which knows after every token which tokens may come next; which schemas and
expressions it does not know it says by name. Nothing of a schema is fetched from elsewhere. Where only one text can
follow, its tokens are those that the tokenizer writes it with; elsewhere any tokens that spell a text may come.
"""

import copy
import functools
import json
import re
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from jaxuq._arguments import typed
from jaxuq._extras import needed_package
from jaxuq.checkpoints import plain_tokens
from jaxuq.language.errors import ConstraintError
from jaxuq.language.masking import bit_words
from jaxuq.language.slots import shapes_of
from jaxuq.language.token_bytes import TokenBytes
from jaxuq.language.tokenization import stop_tokens

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_LONGEST = 100_000  # characters of a schema, of an expression, of all choices together
_FUEL = 200_000  # steps for the automata of an expression: some 0.2 s, after which it is refused
_SPACES = r"[\x20\x0A]{0,8}"  # between the parts of JSON; without a bound a model may never come to an end


DEAD_END = "dead end"
"""How an answer ended after which no token can make a whole text."""


class Constraint(NamedTuple):
    """What a text must be.

    Attributes:
        kind: `schema`, `regex`, `choices` or `table`, for messages.
        source: of the grammar, as llguidance reads it.
    """

    kind: str
    source: str


@typed()
def schema_constraint(schema: Mapping[str, Any] | bool) -> Constraint:
    """JSON of a schema, without anything before or after it.

    Objects have the properties of the schema in its order. Between parts are at most eight spaces and line ends. An
    answer that `max_new_tokens` cuts off is no JSON: ask for bounded strings and arrays, or allow enough.

    Args:
        schema: a JSON schema; `{"type": "object"}` for any object.

    Returns:
        The constraint, for `generate`.

    Raises:
        ConstraintError: the schema is too large, or nothing fits it; what is not supported (such as `not`,
            `uniqueItems`, `oneOf`) is refused by name when the constraint is used.

    Example:
        >>> schema_constraint({"type": "integer"}).kind
        'schema'
    """
    if schema is False:
        raise ConstraintError("the schema is false: nothing fits it")
    try:
        text = json.dumps({} if schema is True else dict(schema), allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        raise ConstraintError("the schema is no JSON object, or is nested too deeply") from None
    return Constraint("schema", bounded(text, "the schema"))


@typed()
def regex_constraint(pattern: str) -> Constraint:
    r"""Texts that a regular expression matches from beginning to end.

    Args:
        pattern: without look-around and references to groups; `^` and `$` are not needed at its ends.

    Returns:
        The constraint, for `generate`.

    Raises:
        ConstraintError: it is longer than 100,000 characters; what is not supported is refused by name when the
            constraint is used.

    Example:
        >>> regex_constraint(r"\d{4}-\d\d").source
        '\\d{4}-\\d\\d'
    """
    return Constraint("regex", bounded(pattern, "the expression"))


@typed()
def choices_constraint(choices: Sequence[str]) -> Constraint:
    """One of some texts.

    Args:
        choices: different texts, none of them empty.

    Returns:
        The constraint, for `generate`.

    Raises:
        ConstraintError: there are none, they are not different, one is empty.

    Example:
        >>> choices_constraint(["A", "B"]).source
        'A|B'
    """
    listed = [] if isinstance(choices, str) else list(choices)
    if not listed or not all(isinstance(one, str) and one for one in listed):
        raise ConstraintError("choices needs a list of texts, none of them empty")
    if len(set(listed)) < len(listed):
        raise ConstraintError("some choices are the same; give each once")
    return Constraint("choices", bounded("|".join(map(_literal, listed)), "the list of choices"))


def _literal(text: str) -> str:
    """An expression that matches this text alone: signs are escaped, letters and spaces stand for themselves."""
    return re.sub(r"[^\w\s]|\n", lambda found: f"\\x{{{ord(found[0]):x}}}", text)


def bounded(source: str, what: str) -> str:
    """The source of a grammar, if it is not too long; `what` it is of, for the message."""
    if len(source) > _LONGEST:
        raise ConstraintError(f"{what} has {len(source)} characters; at most {_LONGEST} are read")
    return source


def ready_grammar(constraint: Constraint, model: Any) -> "Grammar":
    """A constraint made ready for a `LanguageModel`; those used last are kept."""
    return _ready(constraint, model.tokenizer, _width(model), tuple(stop_tokens(model)))


@functools.lru_cache(maxsize=64)
def _ready(
    constraint: Constraint, tokenizer: "PreTrainedTokenizerBase", vocabulary: int, stops: tuple[int, ...]
) -> "Grammar":
    return Grammar(constraint, tokenizer, vocabulary, stops)


def _width(model: Any) -> int:
    """Tokens that there are logits for."""
    return shapes_of(model.functions, model.variables)[1].shape[-1]


class Grammar:
    """A constraint made ready for a vocabulary: `follow` begins an answer.

    Args:
        constraint: what a text must be.
        tokenizer: of the model.
        vocabulary: tokens that the model has logits for.
        stops: tokens that end an answer, allowed where the text is whole.

    Raises:
        ConstraintError: what of it is not supported, or that no text of this vocabulary fits it.
        MissingPackageError: llguidance is not installed.
    """

    def __init__(
        self,
        constraint: Constraint,
        tokenizer: "PreTrainedTokenizerBase",
        vocabulary: int,
        stops: tuple[int, ...],
    ):
        ll = needed_package("llguidance", "answers of a given form")
        tokens, self._here = _vocabulary(tokenizer, vocabulary, stops)
        if constraint.kind == "schema":
            options: Any = {"whitespace_pattern": _SPACES, "lenient": False, "coerce_one_of": False}
            try:
                source = ll.LLMatcher.grammar_from_json_schema(constraint.source, overrides=options)
            except ValueError as error:
                raise _refused(constraint, str(error)) from None
        elif constraint.kind == "table":
            source = ll.LLMatcher.grammar_from_lark(constraint.source)
        else:
            source = ll.LLMatcher.grammar_from_regex(constraint.source)
        limits = ll.LLParserLimits(initial_lexer_fuel=_FUEL, verbose_errors=False)
        self._words = bit_words(vocabulary)
        self._first = ll.LLMatcher(tokens, source, log_level=0, limits=limits)
        if self._first.is_error():
            raise _refused(constraint, self._first.get_error())
        if any(self.follow().dead for _ in range(2)):  # the first pays for what is shared
            raise _refused(constraint, _stuck(self._first))

    def follow(self) -> "Follower":
        """Begin an answer."""
        return Follower(self._first.deep_copy(), self._words, self._here)


class Follower:
    """An answer that is kept to a grammar, as its tokens come.

    Attributes:
        bits: tokens that may come next, see `masking`.
        dead: whether none can; `bits` are of no use then.
    """

    def __init__(self, matcher: Any, words: int, here: threading.local):
        self._matcher, self._words, self._here = matcher, words, here
        self._look()

    def _look(self) -> None:
        self._here.lacking = False
        self.bits = np.frombuffer(self._matcher.compute_bitmask(), np.uint32)[: self._words]
        stuck = self._matcher.is_error() or (self._matcher.is_stopped() and not self._matcher.is_accepting())
        self.dead = bool(stuck or self._here.lacking or not self.bits.any())

    def take(self, token: int, *, last: bool) -> None:
        """A token that came, one of those allowed; after the last one nothing is asked."""
        if not last:
            self._matcher.consume_token(token)
            self._look()


class _Tokens:
    """A vocabulary in the words of llguidance."""

    def __init__(self, tokenizer: "PreTrainedTokenizerBase", vocabulary: int, stops: tuple[int, ...]):
        known = TokenBytes(tokenizer)
        if not known.exact:
            raise ConstraintError("answers of a given form need a tokenizer of bytes or of pieces; this one has words")
        added = tokenizer.added_tokens_decoder.items()
        special = {*tokenizer.all_special_ids, *(number for number, token in added if token.special), *stops}
        self.tokens = [known[number] for number in range(vocabulary)]
        self.special_token_ids = sorted(number for number in special if number < vocabulary)
        self.eos_token_id, self.bos_token_id = stops[0], None
        self.is_tokenizer_wrapper = True
        self._encoder, self._lock = copy.deepcopy(tokenizer), threading.Lock()  # encoding borrows a tokenizer
        self._plain = {text: number for number, text in enumerate(self.tokens) if text and number not in special}
        self._longest = max(map(len, self._plain), default=0)
        self.here = threading.local()

    def __call__(self, text: str) -> list[int]:
        """Tokens of a text that must come: the tokenizer's own, or the longest that fit where it adds something."""
        with self._lock:
            (found,) = plain_tokens(self._encoder, [text])
        wanted = text.encode()
        if b"".join(self.tokens[number] for number in found if number < len(self.tokens)) == wanted:
            return found
        found, at = [], 0
        while at < len(wanted):
            sizes = range(min(self._longest, len(wanted) - at), 0, -1)
            size = next((size for size in sizes if wanted[at : at + size] in self._plain), None)
            if size is None:
                self.here.lacking = True
                return []
            found.append(self._plain[wanted[at : at + size]])
            at += size
        return found


@functools.lru_cache(maxsize=4)
def _vocabulary(
    tokenizer: "PreTrainedTokenizerBase", vocabulary: int, stops: tuple[int, ...]
) -> tuple[Any, threading.local]:
    if not stops:
        raise ConstraintError("answers of a given form need a token that ends them; the model has none")
    ll = needed_package("llguidance", "answers of a given form")
    tokens = _Tokens(tokenizer, vocabulary, stops)
    return ll.LLTokenizer(tokens, n_vocab=vocabulary, eos_token=list(stops)), tokens.here


def _stuck(matcher: Any) -> str:
    matcher = matcher.deep_copy()
    matcher.compute_bitmask()
    said = matcher.get_error()
    return said if said and "NoExtension" not in said else ""


def _refused(constraint: Constraint, said: str) -> ConstraintError:
    names = {"schema": "the schema", "regex": "the expression", "choices": "the list of choices", "table": "the table"}
    what = names[constraint.kind]
    lines = [line.strip() for line in said.splitlines() if line.strip() and not line.strip().startswith("<")]
    reason = next((line[7:] for line in lines if line.startswith("error: ")), lines[0] if lines else "")
    if "expressions constructed" in reason or "fuel" in reason or "too complex" in reason.lower():
        return ConstraintError(f"{what} is too complex; ask for fewer repetitions")
    if not reason:
        hint = "; it is matched whole, so leave ^ and $ out" if constraint.kind == "regex" else ""
        return ConstraintError(f"no text of this model's tokens fits {what}{hint}")
    return ConstraintError(f"{what} cannot be used: {reason[:200]}")
