"""`jaxuq generate`: a language model answers on the terminal, or as JSON with every token's probability."""

import contextlib
import dataclasses
import importlib
import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from jaxuq.cli.telling import say

if TYPE_CHECKING:
    from jaxuq.language import Answer, Constraint, LanguageModel


@dataclasses.dataclass(frozen=True)
class GenerateCommand:
    """Let a language model answer: jaxuq generate "What is the capital of France?"."""

    prompt: Annotated[str, tyro.conf.Positional]
    """What to ask; - reads it from the standard input."""

    model: str = "smollm2"
    """A name (jaxuq models list), a folder with safetensors, a .gguf file, or organisation/model on the hub."""

    system: str | None = None
    """A system message before the prompt."""

    raw: bool = False
    """Continue the prompt as plain text, without the model's chat template."""

    max_new_tokens: int = 256
    """The longest answer, in tokens."""

    temperature: float = 0.0
    """Of sampling; 0 takes the most likely token each time."""

    top_k: int | None = None
    """Sample among the k most likely tokens."""

    top_p: float | None = None
    """Sample among the most likely tokens that together have this probability."""

    min_p: float | None = None
    """Sample among tokens at least this many times as likely as the most likely one."""

    num_samples: int = 1
    """Answers to the prompt, which is read once."""

    seed: int = 0
    """The same seed gives the same answers."""

    stop: tuple[str, ...] = ()
    """Strings that end the answer."""

    schema: Path | None = None
    """A file with a JSON schema that the answer is to fit."""

    regex: str | None = None
    """An expression that the whole answer is to match."""

    choices: tuple[str, ...] = ()
    """Multiple choice: print how probable each of these is as the answer, given that it is one of them."""

    truncate: bool = False
    """Cut the beginning off a prompt that is too long for the model, rather than refuse it."""

    mesh: str = ""
    """Devices to divide the model and the answers over, such as data=4,tensor=2; otherwise one."""

    json: bool = False
    """Print one JSON object an answer: tokens with log-probabilities, entropies and the five likeliest alternatives."""

    def run(self) -> None:
        """Load, answer, print."""
        from jaxuq.cli.compiled import keep_compiled_programs
        from jaxuq.language.errors import PromptError
        from jaxuq.language.sampling import Sampling, check_sampling

        if self.raw and self.system is not None:
            raise PromptError("--raw uses no chat template, so there is no place for --system; leave one of them out")
        if self.num_samples > 1 and self.temperature == 0:
            raise PromptError(f"{self.num_samples} answers at temperature 0 are the same; add --temperature 0.8")
        if self.max_new_tokens < 1 or self.num_samples < 1:
            raise PromptError("--max-new-tokens and --num-samples start at 1")
        if sum((self.schema is not None, self.regex is not None, bool(self.choices))) > 1:
            raise PromptError("--schema, --regex and --choices are three forms of an answer; give one")
        if self.choices and (self.num_samples > 1 or self.temperature > 0 or self.stop):
            raise PromptError("--choices prints probabilities of all choices; leave out --num-samples, --temperature, "
                              "--stop")  # fmt: skip
        try:
            sampling = check_sampling(Sampling(self.temperature, self.top_k, self.top_p, self.min_p))
        except ValueError as error:
            raise PromptError(str(error)) from None
        constraint = self._constraint()
        prompt = sys.stdin.read() if self.prompt == "-" else self.prompt
        keep_compiled_programs()
        model = load_named_model(self.model, mesh=self.mesh)

        from jaxuq.language import generate

        messages = [{"role": "user", "content": prompt}]
        if self.system is not None:
            messages.insert(0, {"role": "system", "content": self.system})
        if self.choices:
            self._choose(model, prompt if self.raw else messages)
            return
        streams = self.num_samples == 1 and not self.json
        began = time.monotonic()
        answers = generate(
            model,
            prompt if self.raw else [messages],
            max_new_tokens=self.max_new_tokens,
            sampling=sampling,
            num_samples=self.num_samples,
            rng_key=self.seed,
            stop=self.stop,
            chat=not self.raw,
            constraint=constraint,
            on_token=(lambda new: _show(new.text)) if streams else None,
            batch_size=max(8, self.num_samples),
            overflow="truncate" if self.truncate else "error",
            top_alternatives=min(5, model.functions.vocab_size) if self.json else 0,
        )
        seconds = time.monotonic() - began
        for answer in answers:
            if self.json:
                print(json.dumps(_record(model, answer), ensure_ascii=False))
            elif not streams:
                _show(f"--- {answer.sample + 1} of {len(answers)}\n{answer.text}\n")
        if streams:
            _show("\n")
        if sys.stdout.isatty() and not self.json:
            tokens = sum(len(answer.tokens) for answer in answers)
            ending = "" if any(answer.finish != "length" for answer in answers) else "; cut off: --max-new-tokens"
            say(f"[{tokens} tokens in {seconds:.1f} s{ending}]")

    def _constraint(self) -> "Constraint | None":
        from jaxuq.language import ConstraintError, choices_constraint, regex_constraint, schema_constraint

        if self.regex is not None:
            return regex_constraint(self.regex)
        if self.choices:
            choices_constraint(self.choices)  # refused before a model is loaded
        if self.schema is None:
            return None
        try:
            schema = json.loads(self.schema.read_text(encoding="utf-8"))
        except OSError as error:
            raise ConstraintError(f"--schema {self.schema} cannot be read ({error.strerror})") from None
        except (ValueError, RecursionError):
            raise ConstraintError(f"--schema {self.schema} is no JSON") from None
        if not isinstance(schema, dict | bool):
            raise ConstraintError(f"--schema {self.schema} is no JSON schema, which is an object")
        return schema_constraint(schema)

    def _choose(self, model: "LanguageModel", prompt: Any) -> None:
        from jaxuq.language import choice_probabilities

        (found,) = choice_probabilities(model, [prompt], self.choices, chat=not self.raw)
        ranked = sorted(zip(self.choices, found.probabilities.tolist()), key=lambda pair: -pair[1])
        if self.json:
            print(json.dumps({"choices": dict(ranked), "mass": found.mass}, ensure_ascii=False))
            return
        for choice, probability in ranked:
            print(f"{probability:.4f}  {choice}")
        say(f"[left free, the answer is one of these with probability {found.mass:.2g}]")


def load_named_model(name: str, *, mesh: str = "") -> "LanguageModel":
    """Load a model as the commands do: one that the catalogue knows is fetched first, and that is said.

    Args:
        name: as for `jaxuq.language.load_model`.
        mesh: devices to spread it over, such as `data=4,tensor=2`; empty: one. A CPU pretends as many.

    Returns:
        The model.

    Raises:
        CheckpointError: it cannot be found, fetched or read.
    """
    from jaxuq.language import load_model
    from jaxuq.language.catalogue import MODELS, fetch_model, find_model
    from jaxuq.language.errors import CheckpointError

    if name in MODELS and find_model(name) is None:
        size = MODELS[name].size // 10**6
        say(f"{name} is not on this machine yet; fetching it once ({size} MB) ...")
        try:
            fetch_model(name, progress=sys.stderr.isatty())
        except CheckpointError as error:
            raise CheckpointError(f"{error}. Where there is a network: jaxuq models fetch {name}") from None
    if not mesh:
        return load_model(name)
    from jaxuq.parallel import meet_processes, mesh_of

    use_devices(mesh)
    devices = mesh_of(mesh)
    model = load_model(name, mesh=devices)
    meet_processes(devices)
    return model


def use_devices(mesh: str) -> None:
    """Let a CPU pretend as many devices as a mesh has; to be called before anything is computed.

    Args:
        mesh: as for `load_named_model`; empty: nothing is done.
    """
    import math

    from jaxuq.parallel import is_first, join_processes, mesh_axes, use_cpu_cores
    from jaxuq.parallel.processes import LAUNCHED

    if mesh:
        if os.environ.get(LAUNCHED):
            importlib.import_module("transformers")  # what takes long is imported before the processes meet
            _keep_output_clean()
        devices = math.prod(mesh_axes(mesh).values())
        if not join_processes(devices):
            use_cpu_cores(devices)
        if not is_first():
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115


def _keep_output_clean() -> None:
    """What libraries write to the standard output below Python, such as who is connected, goes to standard error."""
    with contextlib.suppress(OSError, ValueError):  # not every standard output is a file
        place = sys.stdout.fileno()
        if place == 1:
            sys.stdout = open(os.dup(1), "w", encoding=sys.stdout.encoding, errors="replace")  # noqa: SIM115
            os.dup2(2, 1)


def _show(text: str) -> None:
    """Print at once; a model's control characters do not reach the terminal."""
    if sys.stdout.isatty():
        text = "".join(
            letter if letter.isprintable() or letter in "\n\t" else "\N{REPLACEMENT CHARACTER}" for letter in text
        )
    print(text, end="", flush=True)


def _record(model: "LanguageModel", answer: "Answer") -> dict[str, Any]:
    from jaxuq.language.tokenization import decode_tokens

    def text(token: int) -> str:
        return decode_tokens(model.tokenizer, [token], skip_special=False)

    tokens = []
    for index, token in enumerate(answer.tokens.tolist()):
        entry: dict[str, Any] = {"id": token, "text": text(token)}
        entry |= {"log_prob": float(answer.log_probs[index]), "entropy": float(answer.entropies[index])}
        if answer.alternatives is not None:
            pairs = zip(answer.alternatives.tokens[index].tolist(), answer.alternatives.log_probs[index].tolist())
            entry["alternatives"] = [{"id": other, "text": text(other), "log_prob": value} for other, value in pairs]
        tokens.append(entry)
    found: dict[str, Any] = {"sample": answer.sample, "text": answer.text, "finish": answer.finish}
    if answer.allowed_log_probs is not None:
        found["allowed_log_prob"] = float(answer.allowed_log_probs.sum(dtype=float))
    return found | {"prompt_tokens": len(answer.prompt_tokens), "tokens": tokens}
