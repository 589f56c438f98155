"""`jaxuq serve`: a model of jaxuq's own behind the OpenAI chat protocol."""

import dataclasses
import os
from pathlib import Path

import tyro

from jaxuq.cli.telling import say, warn

KEY_VARIABLE = "JAXUQ_SERVE_KEY"


@dataclasses.dataclass(frozen=True)
class ServeCommand:
    """Serve a language model to programs that speak the OpenAI chat protocol, on this machine: jaxuq serve smollm2."""

    model: tyro.conf.Positional[str] = "smollm2"
    """A name (jaxuq models list), a folder with safetensors, a .gguf file, or organisation/model on the hub."""

    host: str = "127.0.0.1"
    """The address to listen at; other machines reach it only if it is one of the network's, and then set a key."""

    port: int = 8000
    """The port; 0 takes a free one."""

    allow_host: tuple[str, ...] = ()
    """Further names by which clients may call the server, such as that of this machine in its network."""

    most_waiting: int = 256
    """Requests that may wait; further ones are told to come again."""

    slots: int = 32
    """Answers that are made side by side."""

    tokens: int = 32768
    """Tokens of all of them with their prompts, padding included, that there is memory for; others wait."""

    mesh: str = ""
    """Devices to divide the model and the answers over, such as data=4,tensor=2; otherwise one."""

    confidence: Path | None = None
    """Results of `jaxuq confidence` with this model: replies then tell calibrated probabilities to who asks."""

    measure: str = "uqac_similarity"
    """The measure of --confidence whose values become probabilities."""

    abstain_risk: float | None = None
    """Answers are held back until they are judged, and withheld unless at most this share of those given is wrong."""

    def run(self) -> None:
        """Load and serve until interrupted."""
        from jaxuq.cli.compiled import keep_compiled_programs
        from jaxuq.cli.generate import load_named_model
        from jaxuq.confidence import load_kept
        from jaxuq.serving import Judge, LocalBackend, ServingError, address_of, is_loopback, listen, make_app, serve

        if not 0 <= self.port <= 65535:
            raise ServingError(f"--port is {self.port}; expected 0 to 65535")
        if self.most_waiting < 1:
            raise ServingError(f"--most-waiting is {self.most_waiting}; expected at least 1")
        if self.slots < 1 or self.tokens < 128:
            raise ServingError(f"--slots is {self.slots} and --tokens {self.tokens}; expected at least 1 and 128")
        key = os.environ.get(KEY_VARIABLE, "").strip()
        listening = listen(self.host, self.port)
        keep_compiled_programs()
        model = load_named_model(self.model, mesh=self.mesh)
        kept = None if self.confidence is None else load_kept(self.confidence, self.measure)
        judge = Judge(model, kept, self.abstain_risk)
        backend = LocalBackend(model, self.model, slots=self.slots, most_tokens=self.tokens, judge=judge)
        app = make_app(backend, host=self.host, hosts=self.allow_host, key=key, most_waiting=self.most_waiting)
        say(f"{self.slots} answers side by side; their caches take at most {backend.bytes / 2**30:.1f} GiB")
        asked = f"clients need the key in {KEY_VARIABLE}" if key else "no key is asked for"
        say(f"{self.model} at {address_of(listening)}  ({asked}; Ctrl-C ends it)")
        if not key and not is_loopback(self.host):
            warn(f"whoever reaches {self.host} can use it; {KEY_VARIABLE} sets a key")
        serve(app, listening)
        say("ended")
