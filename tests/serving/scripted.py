"""A backend whose answers a function writes, so that the server can be tried without a model."""

import time

from jaxuq.serving import BadRequest, Growth, TokenText, make_app, serving


class Scripted:
    """Says the same words to everybody; a word is a token."""

    def __init__(self, words=("Ada", " met", " Bo"), *, seconds=0.0, fails_at=None, context=4000, slots=99):
        self.name, self.context, self.vocabulary, self.dimension = "ada", context, 100, 2
        self.names = (self.name,)
        self.words, self.seconds, self.fails_at = words, seconds, fails_at
        self.slots, self.asked, self.kinds = slots, {}, ()
        self.jobs, self.made = [], 0

    def encode_chat(self, messages):
        return list(range(len(messages), len(messages) + 7))

    def encode_text(self, text):
        return [ord(letter) % self.vocabulary for letter in text]

    def decode(self, tokens):
        return "?" * len(tokens)

    def check(self, job):
        pass

    @property
    def busy(self):
        return bool(self.asked)

    def add(self, job):
        self.jobs.append(job)
        ticket = len(self.jobs)
        self.asked[ticket] = [job, 0]
        return ticket

    def waits(self, ticket):
        return ticket in list(self.asked)[self.slots :]

    def leave(self, ticket):
        self.asked.pop(ticket, None)

    def advance(self):
        time.sleep(self.seconds)
        return [event for ticket in list(self.asked)[: self.slots] for event in self.word(ticket)]

    def word(self, ticket):
        job, number = self.asked[ticket]
        if number == self.fails_at:
            del self.asked[ticket]
            return [(ticket, RuntimeError("a secret detail"), True)]
        self.made += 1
        self.asked[ticket][1] += 1
        word, other = self.words[number], (TokenText("Eva", b"Eva", -2.0),) * min(job.alternatives, 1)
        finish = "stop" if number + 1 == len(self.words) else "length" if number + 1 == job.max_tokens else ""
        if finish:
            del self.asked[ticket]
        token = TokenText(word, word.encode(), -0.5, other)
        growths = [Growth(answer, word, (token,), number + 1, finish) for answer in range(job.answers)]
        return [(ticket, growth, bool(finish) and growth is growths[-1]) for growth in growths]

    def score(self, tokens, alternatives, model=""):
        return [TokenText("?", b"?", None if index == 0 else -1.0) for index in range(len(tokens))]

    def embed(self, tokens, model=""):
        return [float(len(tokens)), 0.5]

    def load(self, name, folder):
        raise BadRequest("there are none")

    drop = load


def serve_scripted(backend=None, **options):
    """A server with that backend; a context that gives its address."""
    return serving(make_app(backend or Scripted(), **options))
