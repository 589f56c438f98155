"""Answers that are withheld are passed on to a larger model: a cascade of two servers."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, NamedTuple

from jaxuq.extraction.chat import ChatSettings, Reply, Request
from jaxuq.serving.endpoint import open_endpoint
from jaxuq.serving.errors import ServingError
from jaxuq.serving.jobs import Growth, Job, TokenText
from jaxuq.serving.patience import Patience
from jaxuq.serving.requests import Completion
from jaxuq.serving.worker import Task

_LOG = logging.getLogger("jaxuq.serving")


class LargerModel(NamedTuple):
    """Who is asked where an answer is withheld.

    Attributes:
        url: of a server that speaks the chat protocol; its key is read from the environment, see `open_endpoint`.
        name: of the model there.
        patience: with it.
    """

    url: str
    name: str
    patience: Patience = Patience(attempts=3)

    def ask(self, messages: Sequence[Mapping[str, str]], job: Job, answer: int) -> Reply:
        """One reply to a chat.

        Args:
            messages: of the chat.
            job: how the answer is made; penalties, biases and `top_k` are not passed on.
            answer: which of its answers.

        Returns:
            The reply, cut at the stop texts; with an `error` where there is none.
        """
        settings = ChatSettings(job.temperature, job.max_tokens, job.top_p, job.seed & 0x7FFFFFFF, log_probs=True)
        try:
            model = open_endpoint(self.url, self.name, settings, patience=self.patience)
            (reply,) = model.ask([Request(tuple(map(dict, messages)), sample=answer)])
        except ServingError as error:  # hidden by the endpoint
            return Reply("", error=str(error))
        ends = [at for at in (reply.text.find(stop) for stop in job.stop) if at >= 0]
        return (
            reply if not ends else reply._replace(text=reply.text[: min(ends)], finish="stop", pieces=(), log_probs=())
        )


async def passed_on(larger: LargerModel, wanted: Completion, task: Task) -> AsyncIterator[tuple[int, Any]]:
    """What comes of a task, with the larger model's answers in the place of those that are withheld.

    An answer that must have a form stays withheld: other servers are not asked for forms. So does one to which the
    larger model gives no reply; the log says why.

    Args:
        larger: who is asked.
        wanted: the request.
        task: that answers it.

    Yields:
        Numbers of prompts, and what there is new.
    """
    passed: dict[int, Reply] = {}
    async for number, item in task:
        job = wanted.jobs[number]
        if not isinstance(item, Growth) or not wanted.chat or job.constraint is not None:
            yield number, item
        elif item.finish == "content_filter":
            reply = await asyncio.to_thread(larger.ask, wanted.messages, job, item.answer)
            if reply.error:
                _LOG.error("the larger model did not answer: %s", reply.error)
                yield number, item
                continue
            passed[item.answer] = reply
            pairs = zip(reply.pieces, reply.log_probs)
            tokens = tuple(TokenText(piece, piece.encode(), value) for piece, value in pairs)
            yield number, item._replace(text=reply.text, tokens=tokens, finish=reply.finish or "stop")
        elif item.verdict is not None and item.answer in passed:
            yield number, item._replace(verdict={**item.verdict, "passed_to": larger.name})
        else:
            yield number, item
