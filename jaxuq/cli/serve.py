"""`jaxuq serve`: a model of jaxuq's own behind the OpenAI chat protocol."""

import dataclasses
import sys

import tyro


@dataclasses.dataclass(frozen=True)
class ServeCommand:
    """Serve a language model to programs that speak the OpenAI chat protocol, on this machine: jaxuq serve smollm2."""

    model: tyro.conf.Positional[str] = "smollm2"
    """A name (jaxuq models list), a folder with safetensors, a .gguf file, or organisation/model on the hub."""

    host: str = "127.0.0.1"
    """The address to listen at; there is no key, so leave it at this machine unless the network is yours."""

    port: int = 8000
    """The port; 0 takes a free one."""

    def run(self) -> None:
        """Load and serve until interrupted."""
        from jaxuq.cli.compiled import keep_compiled_programs
        from jaxuq.cli.generate import load_named_model
        from jaxuq.serving import ServingError, language_backend, make_server

        if not 0 <= self.port <= 65535:
            raise ServingError(f"--port is {self.port}; expected 0 to 65535")
        keep_compiled_programs()
        model = load_named_model(self.model)
        try:
            server = make_server(language_backend(model), self.model, host=self.host, port=self.port)
        except (OSError, OverflowError) as error:
            raise ServingError(f"cannot listen at {self.host}:{self.port}: {error}; choose another --port") from None
        host, port = server.server_address[:2]
        print(f"{self.model} at http://{host}:{port}/v1  (Ctrl-C ends it)", file=sys.stderr, flush=True)
        with server:
            try:
                server.serve_forever()
            except KeyboardInterrupt:
                print("ended", file=sys.stderr)
