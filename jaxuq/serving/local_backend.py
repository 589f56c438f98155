"""A model of jaxuq's own behind the server."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from jaxuq.serving.answer_text import AnswerText
from jaxuq.serving.errors import ServingError
from jaxuq.serving.given_texts import likeliest_pairs, mean_hidden, scored_tokens
from jaxuq.serving.jobs import MOST_ALTERNATIVES, BadRequest, Growth, Job, TokenText
from jaxuq.serving.judging import Judge, Verdict
from jaxuq.serving.prompt_encoder import PromptEncoder
from jaxuq.serving.running_jobs import RunningJob, asked
from jaxuq.serving.served import Given, OneModel, Served
from jaxuq.serving.served_adapters import ServedAdapters
from jaxuq.serving.verdicts import judged_answers

if TYPE_CHECKING:
    from jaxuq.language import Grown, LanguageModel
    from jaxuq.language.constraints import Grammar


class LocalBackend:
    """A model of `jaxuq.language`, or several that share the batch.

    Answers are those of `jaxuq.language.generate` with the same seed (for a seed below $2^{32}$), whoever else is
    answered meanwhile.

    Args:
        model: from `jaxuq.language.load_model`; or what is served, see `Served`.
        name: for clients; None takes its own. Not for what is `Served`, which has names.
        slots: answers that are made side by side.
        most_tokens: of all of them with their prompts, see `RunningBatch`.
        judge: says how sure the model is; None: nobody does.

    Raises:
        CapabilityError: answers cannot join a running batch of this model.
    """

    def __init__(
        self,
        model: "LanguageModel | Served",
        name: str | None = None,
        *,
        slots: int = 32,
        most_tokens: int = 32768,
        judge: Judge | None = None,
    ):
        from jaxuq.language import LanguageModel, RunningBatch, stop_tokens
        from jaxuq.language.slots import shapes_of
        from jaxuq.language.token_bytes import TokenBytes

        self._served: Served = OneModel(model, name) if isinstance(model, LanguageModel) else model
        functions, whole = self._served.functions, self._served.model
        self.context, self._slots, self._most_tokens = functions.max_positions, slots, most_tokens
        self.vocabulary = shapes_of(functions, self._served.params)[1].shape[-1]
        self.dimension = shapes_of(whole.functions, whole.variables)[0].shape[-1]
        self._new_batch = lambda: RunningBatch(
            functions, self._served.params, stop_tokens=stop_tokens(whole), most_rows=slots, most_tokens=most_tokens,
            most_alternatives=MOST_ALTERNATIVES,
        )  # fmt: skip
        self._batch = self._new_batch()
        self._arriving: dict[int, Job] = {}
        self._running: dict[int, RunningJob] = {}
        self._tickets: dict[int, int] = {}  # by those of the batch
        self._ended: list[tuple[int, int]] = []
        self._numbers, self._judge = itertools.count(), judge
        self._watches = judge is not None and functions.attention is not None
        self.kinds: Sequence[str] = () if judge is None else judge.kinds
        self._token_bytes = TokenBytes(whole.tokenizer)
        self._encoder = PromptEncoder(whole.tokenizer)

    @property
    def names(self) -> Sequence[str]:
        """All models that a request may name."""
        return self._served.names

    @property
    def name(self) -> str:
        """The one that is meant where a request names none."""
        return self._served.names[0]

    def encode_chat(self, messages: Sequence[Mapping[str, str]]) -> list[int]:
        """Tokens of a chat, where the answer begins; raises `BadRequest`."""
        prompt, chat = self._served.prompt(messages)
        characters = sum(len(message["content"]) for message in messages)
        return self._encoder.encode(prompt, characters, self.context, chat=chat)

    def encode_text(self, text: str) -> list[int]:
        """Tokens of a text; raises `BadRequest`."""
        return self._encoder.encode(text, len(text), self.context)

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of tokens, special ones included."""
        return self._encoder.decode(tokens)

    def check(self, job: Job) -> None:
        """Raise `BadRequest` for an answer that there is never memory for, or of a form that it cannot have."""
        from jaxuq._extras import MissingPackageError
        from jaxuq.language import ConstraintError
        from jaxuq.language.prefill import slots_of

        if job.confidence is not None:
            self._alone(job.model)
        if self._judge is not None and self._judge.risk is not None and job.model not in ("", self.name):
            raise BadRequest(f"the risk of this server is promised of {self.name!r} alone; ask that", param="model")
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

        return None if job.constraint is None else ready_grammar(job.constraint, self._served.model)

    @property
    def bytes(self) -> int:
        """Of the caches at their largest, and what is kept beside them for the judge."""
        return self._batch.bytes + (self._batch.watched_bytes if self._watches else 0)

    @property
    def busy(self) -> bool:
        """Whether there are answers to be made."""
        return self._batch.busy or bool(self._ended or self._arriving)

    def add(self, job: Job) -> int:
        """Take a job in, beside those that run."""
        ticket = next(self._numbers)
        self._arriving[ticket] = job
        return ticket

    def _admit(self) -> Iterator[tuple[int, Exception, bool]]:
        """Hand arriving jobs to the batch, but one that must be routed at most, so that those that run go on."""
        while self._arriving:
            ticket, job = next(iter(self._arriving.items()))
            del self._arriving[ticket]
            try:
                given = self._served.given(job.model or self.name, job.prompt)
                self._begin(ticket, job, given)
            except Exception as error:
                yield ticket, error, True
            else:
                if given.told:
                    return

    def _begin(self, ticket: int, job: Job, given: Given) -> None:
        judged = self._judged(job)
        watched = judged and self._watches
        own = self._batch.add(asked(job, given, self._grammar(job), watched=watched))
        tokenizer = self._served.model.tokenizer
        texts = [AnswerText(index, tokenizer, self._token_bytes, job.stop) for index in range(job.answers)]
        self._tickets[own] = ticket
        self._running[ticket] = RunningJob(job, own, texts, given, judged=judged, watched=watched)

    def _judged(self, job: Job) -> bool:
        return self._judge is not None and (job.confidence is not None or self._judge.risk is not None)

    def waits(self, ticket: int) -> bool:
        """Whether nothing of a job is begun."""
        return ticket in self._arriving or (ticket in self._running and self._batch.waits(self._running[ticket].own))

    def leave(self, ticket: int) -> None:
        """Nobody wants a job any more: its rows are free for others."""
        self._arriving.pop(ticket, None)
        running = self._running.pop(ticket, None)
        if running is not None:
            self._batch.leave(running.own)
            self._tickets.pop(running.own, None)

    def advance(self) -> list[tuple[int, Growth | Exception, bool]]:
        """Some tokens more of all answers; what cannot be written as text, or judged, costs its job only."""
        grown: list[tuple[int, Growth | Exception, bool]] = [*self._admit()]
        try:
            made = self._batch.advance()
        except BaseException:
            self._batch, self._running, self._tickets, self._ended = self._new_batch(), {}, {}, []
            raise
        for one in made:
            ticket = self._tickets.get(one.ticket)
            if ticket in self._running:
                grown += self._safely(ticket, self._texts, ticket, one)
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

    def _texts(self, ticket: int, grown: "Grown") -> Iterator[tuple[int, Growth, bool]]:
        from jaxuq.language.constraints import DEAD_END

        running = self._running[ticket]
        text, last = running.texts[grown.sample], len(grown.tokens) - 1
        finish = "length" if grown.finish == DEAD_END else grown.finish
        running.take(grown)
        for index, (token, log_prob) in enumerate(zip(grown.tokens.tolist(), grown.log_probs.tolist())):
            likely = likeliest_pairs(grown.alternatives, index, running.job.alternatives)
            growth = text.push(token, log_prob, likely, finish if index == last else "")
            if text.ended and (about := running.about(self._served, grown.sample)):
                growth = growth._replace(verdict=about)
            if text.ended and not (index == last and finish):
                self._batch.leave(grown.ticket, grown.sample)
            if text.ended and running.judged:
                self._ended.append((ticket, grown.sample))
            if running.judged and self._judge is not None and self._judge.risk is not None:
                running.held.setdefault(grown.sample, []).append(growth)
            else:
                yield ticket, growth, text.ended and not running.judged and self._over(ticket)
            if text.ended:
                return

    def _over(self, ticket: int) -> bool:
        """Count an answer that has ended, in all respects; whether it was the last of its job."""
        running = self._running[ticket]
        running.left -= 1
        if not running.left:
            del self._running[ticket], self._tickets[running.own]
        return not running.left

    def _verdicts(self, ended: Sequence[tuple[int, int]]) -> Iterator[tuple[int, Growth | Exception, bool]]:
        assert self._judge is not None
        for some, found in judged_answers(self._judge, self._served, self._batch, self._running, ended):
            if isinstance(found, Exception):
                for ticket in {ticket for ticket, _ in some}:
                    self.leave(ticket)
                    yield ticket, found, True
                continue
            for (ticket, sample), verdict in zip(some, found):
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

    def _alone(self, name: str) -> "LanguageModel":
        found = self._served.alone(name or self.name)
        if found is None:
            said = ", ".join(one for one in self.names if one != name)
            raise BadRequest(f"{name or self.name!r} is an ensemble, which is not asked this; ask one of {said}",
                             param="model", code="unsupported_parameter")  # fmt: skip
        return found

    def score(self, tokens: Sequence[int], alternatives: int, model: str = "") -> list[TokenText]:
        """Every token of a text with its probability after those before it; None for the first."""
        return scored_tokens(self._alone(model), self._token_bytes, tokens, alternatives, self.vocabulary)

    def embed(self, tokens: Sequence[int], model: str = "") -> Any:
        """The mean of the last hidden states, `[dimension]`."""
        return mean_hidden(self._alone(model), tokens)

    def _adapters(self) -> ServedAdapters:
        if not isinstance(self._served, ServedAdapters):
            raise BadRequest("this server has no adapters by name; start it with --adapters FOLDER", status=404)
        return self._served

    def load(self, name: str, folder: str) -> None:
        """Put an adapter in, by the name of its folder in that of `--adapters`."""
        from jaxuq.language import CheckpointError

        adapters = self._adapters()
        try:
            adapters.load_from(name, folder, {one.given.reading for one in self._running.values()})
        except (ServingError, CheckpointError) as error:
            raise BadRequest(str(error), param="lora_name") from None
        self._batch.change(adapters.params)

    def drop(self, name: str) -> None:
        """Take an adapter out."""
        adapters = self._adapters()
        try:
            adapters.drop(name)
        except ServingError as error:
            raise BadRequest(str(error), status=404, param="lora_name") from None
