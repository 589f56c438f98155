"""`jaxuq serve`: a model of jaxuq's own behind the OpenAI chat protocol."""

import dataclasses
import os

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

    def run(self) -> None:
        """Load and serve until interrupted."""
        from jaxuq.cli.compiled import keep_compiled_programs
        from jaxuq.cli.generate import load_named_model
        from jaxuq.serving import LocalBackend, ServingError, address_of, is_loopback, listen, make_app, serve

        if not 0 <= self.port <= 65535:
            raise ServingError(f"--port is {self.port}; expected 0 to 65535")
        if self.most_waiting < 1:
            raise ServingError(f"--most-waiting is {self.most_waiting}; expected at least 1")
        key = os.environ.get(KEY_VARIABLE, "").strip()
        listening = listen(self.host, self.port)
        keep_compiled_programs()
        backend = LocalBackend(load_named_model(self.model), self.model)
        app = make_app(backend, host=self.host, hosts=self.allow_host, key=key, most_waiting=self.most_waiting)
        asked = f"clients need the key in {KEY_VARIABLE}" if key else "no key is asked for"
        say(f"{self.model} at {address_of(listening)}  ({asked}; Ctrl-C ends it)")
        if not key and not is_loopback(self.host):
            warn(f"whoever reaches {self.host} can use it; {KEY_VARIABLE} sets a key")
        serve(app, listening)
        say("ended")
