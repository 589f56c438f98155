"""A backend whose answers a function writes, so that the server can be tried without a model."""

import time

from jaxuq.serving import Growth, TokenText, make_app, serving


class Scripted:
    """Says the same words to everybody; a word is a token."""

    def __init__(self, words=("Ada", " met", " Bo"), *, seconds=0.0, fails_at=None, context=4000):
        self.name, self.context, self.vocabulary, self.dimension = "ada", context, 100, 2
        self.words, self.seconds, self.fails_at = words, seconds, fails_at
        self.jobs, self.made = [], 0

    def encode_chat(self, messages):
        return list(range(len(messages), len(messages) + 7))

    def encode_text(self, text):
        return [ord(letter) % self.vocabulary for letter in text]

    def decode(self, tokens):
        return "?" * len(tokens)

    def generate(self, job, gone):
        self.jobs.append(job)
        for number, word in enumerate(self.words[: job.max_tokens]):
            time.sleep(self.seconds)
            if gone():
                return
            if number == self.fails_at:
                raise RuntimeError("a secret detail")
            self.made += 1
            other = (TokenText("Eva", b"Eva", -2.0),) * min(job.alternatives, 1)
            last = number + 1 == len(self.words)
            finish = "stop" if last else "length" if number + 1 == job.max_tokens else ""
            for answer in range(job.answers):
                token = TokenText(word, word.encode(), -0.5, other)
                yield Growth(answer, word, (token,), number + 1, finish)

    def score(self, tokens, alternatives):
        return [TokenText("?", b"?", None if index == 0 else -1.0) for index in range(len(tokens))]

    def embed(self, tokens):
        return [float(len(tokens)), 0.5]


def serve_scripted(backend=None, **options):
    """A server with that backend; a context that gives its address."""
    return serving(make_app(backend or Scripted(), **options))
