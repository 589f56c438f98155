"""A model of jaxuq's own behind the server."""

import copy
import functools
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from jaxuq.serving.answer_text import AnswerText, shown_token
from jaxuq.serving.fields import finite
from jaxuq.serving.jobs import MOST_ALTERNATIVES, Asked, BadRequest, Growth, Job, TokenText
from jaxuq.serving.judging import Answered, Judge, Verdict

if TYPE_CHECKING:
    from jaxuq.language import Grown, LanguageModel
    from jaxuq.language.constraints import Grammar

_MARGIN = 64  # characters a token of the context may have; a longer text is refused before it is encoded


class _Running:
    """A job whose answers are being made."""

    def __init__(self, job: Job, texts: list[AnswerText], judged: bool):
        self.job, self.texts, self.judged, self.left = job, texts, judged, len(texts)
        self.held: dict[int, list[Growth]] = {}
        self.allowed = [0.0] * len(texts)  # logarithms of the probability of all that the form allowed
        self.weights: Any = ()
        self.disagreed: dict[int, list[float]] = {}


class LocalBackend:
    """A model of `jaxuq.language`.

    Answers are those of `jaxuq.language.generate` with the same seed (for a seed below $2^{32}$), whoever else is
    answered meanwhile.

    Args:
        model: from `jaxuq.language.load_model`.
        name: for clients; None takes its own.
        slots: answers that are made side by side.
        most_tokens: of all of them with their prompts, see `RunningBatch`.
        judge: says how sure the model is; None: nobody does.

    Raises:
        CapabilityError: answers cannot join a running batch of this model.
    """

    def __init__(
        self,
        model: "LanguageModel",
        name: str | None = None,
        *,
        slots: int = 32,
        most_tokens: int = 32768,
        judge: Judge | None = None,
    ):
        from jaxuq.language import RunningBatch, stop_tokens
        from jaxuq.language.slots import shapes_of
        from jaxuq.language.token_bytes import TokenBytes

        self._running: dict[int, _Running]
        self._ended: list[tuple[int, int]]
        functions = model.functions
        hidden, logits = shapes_of(functions, model.variables)
        self.name, self.context = name or model.name, functions.max_positions
        self.vocabulary, self.dimension = logits.shape[-1], hidden.shape[-1]
        self.names: Sequence[str] = (self.name,)
        self._model, self._most_tokens = model, most_tokens
        self._new_batch = functools.partial(
            RunningBatch, model.functions, model.variables, stop_tokens=stop_tokens(model), most_rows=slots,
            most_tokens=most_tokens, most_alternatives=MOST_ALTERNATIVES,
        )  # fmt: skip
        self._batch = self._new_batch()
        self._running, self._ended, self._judge = {}, [], judge
        self.kinds: Sequence[str] = () if judge is None else judge.kinds
        self._token_bytes = TokenBytes(model.tokenizer)
        self._encoder, self._lock = copy.deepcopy(model.tokenizer), threading.Lock()  # encoding borrows a tokenizer

    def encode_chat(self, messages: Sequence[Mapping[str, str]]) -> list[int]:
        """Tokens of a chat, where the answer begins; raises `BadRequest`."""
        return self._encode(list(messages), sum(len(message["content"]) for message in messages))

    def encode_text(self, text: str) -> list[int]:
        """Tokens of a text; raises `BadRequest`."""
        return self._encode(text, len(text))

    def _encode(self, prompt: Any, characters: int) -> list[int]:
        from jaxuq.language import PromptError, encode_prompt

        if characters > self.context * _MARGIN:
            raise BadRequest(
                f"the prompt has {characters} characters, more than the context of {self.context} tokens has room for",
                code="context_length_exceeded",
            )
        try:
            with self._lock:
                return encode_prompt(self._encoder, prompt, chat=False)
        except PromptError as error:
            raise BadRequest(str(error), param="messages" if isinstance(prompt, list) else "prompt") from None

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of tokens, special ones included."""
        from jaxuq.language import decode_tokens

        with self._lock:
            return decode_tokens(self._encoder, tokens, skip_special=False)

    def check(self, job: Job) -> None:
        """Raise `BadRequest` for an answer that there is never memory for, or of a form that it cannot have."""
        from jaxuq._extras import MissingPackageError
        from jaxuq.language import ConstraintError
        from jaxuq.language.prefill import slots_of

        try:
            self._grammar(job)
        except (ConstraintError, MissingPackageError) as error:
            where = "response_format" if job.constraint and job.constraint.kind == "schema" else "jaxuq"
            raise BadRequest(f"{where}: {error}", param=where, code="unsupported_parameter") from None

        if slots_of(len(job.prompt), job.max_tokens) > self._most_tokens:
            raise BadRequest(
                f"the prompt has {len(job.prompt)} tokens and the answer may have {job.max_tokens}: this server has "
                f"memory for {self._most_tokens} at a time; ask for less, or start it with more --tokens",
                code="context_length_exceeded",
            )

    def _grammar(self, job: Job) -> "Grammar | None":
        from jaxuq.language.constraints import ready_grammar

        return None if job.constraint is None else ready_grammar(job.constraint, self._model)

    @property
    def bytes(self) -> int:
        """Of the caches at their largest."""
        return self._batch.bytes

    @property
    def busy(self) -> bool:
        """Whether there are answers to be made."""
        return self._batch.busy or bool(self._ended)

    def add(self, job: Job) -> int:
        """Take a job in, beside those that run."""
        import jax

        from jaxuq.language import Ask, Sampling

        ticket = self._batch.add(
            Ask(
                job.prompt,
                job.max_tokens,
                jax.random.fold_in(_key(job.seed), job.number),
                job.answers,
                Sampling(job.temperature, job.top_k, job.top_p, job.min_p),
                job.bias,
                job.frequency_penalty,
                job.presence_penalty,
                bool(job.alternatives),
                job.eager,
                self._grammar(job),
            )
        )
        texts = [AnswerText(index, self._model.tokenizer, self._token_bytes, job.stop) for index in range(job.answers)]
        self._running[ticket] = _Running(job, texts, self._judged(job))
        return ticket

    def _about(self, grown: "Grown") -> dict[str, Any]:
        """What is told of an answer, with all that has grown, whether or not somebody asks how sure the model is."""
        if grown.allowed_log_probs is None:
            return {}
        allowed = self._running[grown.ticket].allowed
        allowed[grown.sample] += float(grown.allowed_log_probs.sum(dtype=float))
        return {"allowed_logprob": finite(allowed[grown.sample])}

    def _judged(self, job: Job) -> bool:
        return self._judge is not None and (job.confidence is not None or self._judge.risk is not None)

    def waits(self, ticket: int) -> bool:
        """Whether nothing of a job is begun."""
        return self._batch.waits(ticket)

    def leave(self, ticket: int) -> None:
        """Nobody wants a job any more: its rows are free for others."""
        self._batch.leave(ticket)
        self._running.pop(ticket, None)

    def advance(self) -> list[tuple[int, Growth | Exception, bool]]:
        """Some tokens more of all answers; what cannot be written as text, or judged, costs its job only."""
        try:
            made = self._batch.advance()
        except BaseException:
            self._batch, self._running, self._ended = self._new_batch(), {}, []
            raise
        grown: list[tuple[int, Growth | Exception, bool]] = []
        for one in made:
            if one.ticket in self._running:
                grown += self._safely(one.ticket, self._texts, one)
        ended, self._ended = [one for one in self._ended if one[0] in self._running], []
        if ended:
            grown += self._verdicts(ended)
        return grown

    def _safely(
        self, ticket: int, events: Callable[..., Iterator[tuple[int, Growth, bool]]], *given: Any
    ) -> Iterator[tuple[int, Growth | Exception, bool]]:
        try:
            yield from events(*given)
        except Exception as error:
            self.leave(ticket)
            yield ticket, error, True

    def _texts(self, grown: "Grown") -> Iterator[tuple[int, Growth, bool]]:
        from jaxuq.language.constraints import DEAD_END

        running = self._running[grown.ticket]
        text, last = running.texts[grown.sample], len(grown.tokens) - 1
        finish = "length" if grown.finish == DEAD_END else grown.finish
        about = self._about(grown)
        for index, (token, log_prob) in enumerate(zip(grown.tokens.tolist(), grown.log_probs.tolist())):
            likely = _pairs(grown.alternatives, index, running.job.alternatives)
            growth = text.push(token, log_prob, likely, finish if index == last else "")
            if text.ended and about:
                growth = growth._replace(verdict=about)
            if text.ended and not (index == last and finish):
                self._batch.leave(grown.ticket, grown.sample)
            if text.ended and running.judged:
                self._ended.append((grown.ticket, grown.sample))
            if running.judged and self._judge is not None and self._judge.risk is not None:
                running.held.setdefault(grown.sample, []).append(growth)
            else:
                yield grown.ticket, growth, text.ended and not running.judged and self._over(grown.ticket)
            if text.ended:
                return

    def _over(self, ticket: int) -> bool:
        """Count an answer that has ended, in all respects; whether it was the last of its job."""
        running = self._running[ticket]
        running.left -= 1
        if not running.left:
            del self._running[ticket]
        return not running.left

    def _verdicts(self, ended: Sequence[tuple[int, int]]) -> Iterator[tuple[int, Growth | Exception, bool]]:
        assert self._judge is not None
        answers = []
        for ticket, sample in ended:
            job, text = self._running[ticket].job, self._running[ticket].texts[sample]
            answers.append(Answered(job.prompt, text.tokens, job.confidence or Asked()))
        try:
            verdicts = self._judge.judge(answers)
        except Exception as error:
            for ticket in {ticket for ticket, _ in ended}:
                self.leave(ticket)
                yield ticket, error, True
            return
        for (ticket, sample), verdict in zip(ended, verdicts):
            yield from self._safely(ticket, self._judgement, ticket, sample, verdict)

    def _judgement(self, ticket: int, sample: int, verdict: Verdict) -> Iterator[tuple[int, Growth, bool]]:
        running = self._running[ticket]
        count, over = running.texts[sample].count, self._over(ticket)
        given = running.held.pop(sample, [])
        if not verdict.accepted:
            given = [Growth(sample, "", (), count, "content_filter")]
        said = verdict.said if running.job.confidence is not None or not verdict.accepted else None
        given.append(Growth(sample, "", (), count, "", said))
        for growth in given:
            yield ticket, growth, over and growth is given[-1]

    def score(self, tokens: Sequence[int], alternatives: int) -> list[TokenText]:
        """Every token of a text with its probability after those before it; None for the first."""
        import jax
        import jax.numpy as jnp

        from jaxuq.language import score_tokens
        from jaxuq.parallel import pad_rows

        text = jnp.asarray(pad_rows([list(tokens)])[0])
        slots = jnp.arange(text.shape[1], dtype=jnp.int32)[None]
        scores = score_tokens(
            self._model.functions,
            self._model.variables,
            text,
            jnp.where(slots < len(tokens), slots, -1),
            top_alternatives=min(self.vocabulary, 20) if alternatives else 0,
        )
        log_probs, others = jax.device_get((scores.log_probs, scores.alternatives))
        others = None if others is None else jax.tree.map(lambda part: part[0], others)
        shown = [shown_token(self._token_bytes, tokens[0], None)]
        for index in range(1, len(tokens)):
            likely = _pairs(others, index, alternatives)
            shown.append(shown_token(self._token_bytes, tokens[index], float(log_probs[0, index]), likely))
        return shown

    def embed(self, tokens: Sequence[int]) -> Any:
        """The mean of the last hidden states, `[dimension]`."""
        import jax.numpy as jnp
        import numpy as np

        from jaxuq.parallel import pad_rows

        text = jnp.asarray(pad_rows([list(tokens)])[0])
        slots = jnp.arange(text.shape[1], dtype=jnp.int32)[None]
        hidden = _hidden()(
            self._model.functions, self._model.variables, text, jnp.where(slots < len(tokens), slots, -1)
        )
        return np.asarray(hidden, np.float32)[0, : len(tokens)].mean(0, dtype=np.float64)


@functools.lru_cache(maxsize=1)
def _hidden() -> Callable[..., Any]:
    import jax

    def hidden(model: Any, variables: Any, text: Any, positions: Any) -> Any:
        return model.hidden_of(variables, text, positions)[0]

    return jax.jit(hidden, static_argnums=0)


def _key(seed: int) -> Any:
    """A key of 64 bits; the same as `jax.random.key` for those below 2^32."""
    import jax
    import numpy as np

    low, high = seed & 0xFFFFFFFF, seed >> 32 & 0xFFFFFFFF
    key = jax.random.key(np.uint32(low))
    return jax.random.fold_in(key, np.uint32(high)) if high else key


def _pairs(others: Any, index: int, count: int) -> list[tuple[int, float]]:
    if others is None or not count:
        return []
    tokens, log_probs = others.tokens[index, :count], others.log_probs[index, :count]
    return [(int(token), float(value)) for token, value in zip(tokens, log_probs)]
