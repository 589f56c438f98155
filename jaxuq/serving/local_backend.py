"""A model of jaxuq's own behind the server."""

import copy
import functools
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from jaxuq.serving.answer_text import AnswerText, TokenBytes
from jaxuq.serving.jobs import BadRequest, Growth, Job, TokenText

if TYPE_CHECKING:
    from jaxuq.language import LanguageModel

_CHUNK = 16  # tokens between two looks at who still listens
_MARGIN = 64  # characters a token of the context may have; a longer text is refused before it is encoded


class LocalBackend:
    """A model of `jaxuq.language`.

    Answers are those of `jaxuq.language.generate` with the same seed (for a seed below $2^{32}$).

    Args:
        model: from `jaxuq.language.load_model`.
        name: for clients; None takes its own.
    """

    def __init__(self, model: "LanguageModel", name: str | None = None):
        from jaxuq.language import stop_tokens

        config = model.decoder.config
        self.name, self.context = name or model.name, config.max_positions
        self.vocabulary, self.dimension = config.vocab_size, config.hidden_size
        self._model, self._stops = model, stop_tokens(model)
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

    def generate(self, job: Job, gone: Callable[[], bool]) -> Iterator[Growth]:
        """Answers, as they grow; ends early once `gone`."""
        import jax
        import jax.numpy as jnp
        import numpy as np

        from jaxuq.language import Sampling, Steering, continue_generation, start_generation
        from jaxuq.parallel import pad_rows, rung

        model = self._model
        sampling = Sampling(job.temperature, job.top_k, job.top_p, job.min_p)
        steering = None
        if job.bias or job.frequency_penalty or job.presence_penalty:
            bias = np.zeros(self.vocabulary, np.float32)
            bias[list(job.bias)] = list(job.bias.values())
            steering = Steering(jnp.asarray(bias), job.frequency_penalty, job.presence_penalty)
        options: dict[str, Any] = {"sampling": sampling, "steering": steering, "stop_tokens": self._stops}
        tokens, lengths = map(jnp.asarray, pad_rows([job.prompt]))
        state = start_generation(
            model.decoder,
            model.variables,
            tokens,
            lengths,
            jax.random.fold_in(_key(job.seed), job.number)[None],
            capacity=rung(job.max_tokens),
            num_samples=min(16, 1 << (job.answers - 1).bit_length()),
            top_alternatives=min(self.vocabulary, 20) if job.alternatives else 0,
            **options,
        )
        texts = [AnswerText(index, model.tokenizer, self._token_bytes, job.stop) for index in range(job.answers)]
        chunk = _CHUNK if not job.eager else (1 if jax.default_backend() == "cpu" else 4)
        while True:
            made, counts, running, log_probs, others = jax.device_get(
                (state.tokens, state.num_generated, state.running, state.log_probs, state.alternatives)
            )
            step, running = int(state.step), np.array(running)
            running[job.answers :] = False
            for row, text in enumerate(texts):
                ended = not running[row] or step >= job.max_tokens
                finish = "length" if running[row] else "stop"
                last = min(int(counts[row]), job.max_tokens)
                for index in range(text.count, last):
                    if text.ended:
                        break
                    likely = _pairs(others, row, index, job.alternatives)
                    said = finish if ended and index + 1 == last else ""
                    yield text.push(int(made[row, index]), float(log_probs[row, index]), likely, said)
                running[row] &= not text.ended
            if step >= job.max_tokens or not running.any() or gone():
                return
            state = continue_generation(
                model.decoder,
                model.variables,
                state._replace(running=jnp.asarray(running)),
                until=min(step + chunk, job.max_tokens),
                **options,
            )

    def score(self, tokens: Sequence[int], alternatives: int) -> list[TokenText]:
        """Every token of a text with its probability after those before it; None for the first."""
        import jax
        import jax.numpy as jnp

        from jaxuq.language import score_tokens
        from jaxuq.parallel import pad_rows

        text = jnp.asarray(pad_rows([list(tokens)])[0])
        slots = jnp.arange(text.shape[1], dtype=jnp.int32)[None]
        scores = score_tokens(
            self._model.decoder,
            self._model.variables,
            text,
            jnp.where(slots < len(tokens), slots, -1),
            top_alternatives=min(self.vocabulary, 20) if alternatives else 0,
        )
        log_probs, others = jax.device_get((scores.log_probs, scores.alternatives))
        shown = [self._token_bytes.shown(tokens[0], None)]
        for index in range(1, len(tokens)):
            likely = _pairs(others, 0, index, alternatives)
            shown.append(self._token_bytes.shown(tokens[index], float(log_probs[0, index]), likely))
        return shown

    def embed(self, tokens: Sequence[int]) -> Any:
        """The mean of the last hidden states, `[dimension]`."""
        import jax.numpy as jnp
        import numpy as np

        from jaxuq.parallel import pad_rows

        text = jnp.asarray(pad_rows([list(tokens)])[0])
        slots = jnp.arange(text.shape[1], dtype=jnp.int32)[None]
        hidden = _hidden()(self._model.decoder, self._model.variables, text, jnp.where(slots < len(tokens), slots, -1))
        return np.asarray(hidden, np.float32)[0, : len(tokens)].mean(0, dtype=np.float64)


@functools.lru_cache(maxsize=1)
def _hidden() -> Callable[..., Any]:
    import jax

    def hidden(decoder: Any, variables: Any, text: Any, positions: Any) -> Any:
        return decoder.apply(variables, text, positions).hidden

    return jax.jit(hidden, static_argnums=0)


def _key(seed: int) -> Any:
    """A key of 64 bits; the same as `jax.random.key` for those below 2^32."""
    import jax
    import numpy as np

    low, high = seed & 0xFFFFFFFF, seed >> 32 & 0xFFFFFFFF
    key = jax.random.key(np.uint32(low))
    return jax.random.fold_in(key, np.uint32(high)) if high else key


def _pairs(others: Any, row: int, index: int, count: int) -> list[tuple[int, float]]:
    if others is None or not count:
        return []
    tokens, log_probs = others.tokens[row, index, :count], others.log_probs[row, index, :count]
    return [(int(token), float(value)) for token, value in zip(tokens, log_probs)]
