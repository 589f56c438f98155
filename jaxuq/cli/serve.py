"""`jaxuq serve`: a model of jaxuq's own behind the OpenAI chat protocol."""

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from jaxuq.cli.telling import say, warn

if TYPE_CHECKING:
    from jaxuq.serving import Judge, LargerModel, Served

KEY_VARIABLE = "JAXUQ_SERVE_KEY"


@dataclasses.dataclass(frozen=True)
class ServeCommand:
    """Serve a language model to programs that speak the OpenAI chat protocol, on this machine: jaxuq serve smollm2."""

    model: tyro.conf.Positional[str] = "smollm2"
    """A name (jaxuq models list), a folder with safetensors, a .gguf file, organisation/model on the hub, or the folder
    of a finished jaxuq experts train: then each request is routed to its experts."""

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

    pass_to: str = ""
    """Of --abstain-risk: a server that answers in the place of what is withheld, such as https://api.openai.com/v1; its
    key is read from JAXUQ_API_KEY."""

    pass_model: str = ""
    """The name of the model at --pass-to."""

    batch: Path | None = None
    """Answer a file of requests (JSON lines, as the protocol's batches have them) and end; nothing is served."""

    batch_output: Path | None = None
    """The file of replies; by default beside the requests, called replies-NAME. Started again, what is missing is
    answered."""

    route: str = "gradient"
    """Of a run of experts: gradient, or embedding (with the experts of the baseline instruction-embedding)."""

    top_k: int | None = None
    """Of a run of experts: keep the k best only."""

    adapter: tuple[str, ...] = ()
    """Adapters in PEFT's format to serve beside the model, each NAME=FOLDER; requests name them as their model."""

    adapters: Path | None = None
    """A folder whose folders are adapters that clients may load and drop while the server runs."""

    most_adapters: int = 4
    """Adapters that there is room for; every answer pays for all of them."""

    adapter_rank: int = 16
    """The largest rank that adapters may have."""

    def run(self) -> None:
        """Load and serve until interrupted."""
        from jaxuq.cli.compiled import keep_compiled_programs
        from jaxuq.serving import LocalBackend, ServingError, address_of, is_loopback, listen, make_app, serve

        if not 0 <= self.port <= 65535:
            raise ServingError(f"--port is {self.port}; expected 0 to 65535")
        if self.most_waiting < 1:
            raise ServingError(f"--most-waiting is {self.most_waiting}; expected at least 1")
        if self.slots < 1 or self.tokens < 128:
            raise ServingError(f"--slots is {self.slots} and --tokens {self.tokens}; expected at least 1 and 128")
        larger = self._larger()
        if self.batch is not None:
            self._answer(self.batch, larger)
            return
        key = os.environ.get(KEY_VARIABLE, "").strip()
        listening = listen(self.host, self.port)
        keep_compiled_programs()
        served, judge = self._served()
        backend = LocalBackend(served, slots=self.slots, most_tokens=self.tokens, judge=judge)
        app = make_app(
            backend, host=self.host, hosts=self.allow_host, key=key, most_waiting=self.most_waiting, larger=larger
        )
        say(f"{self.slots} answers side by side; their caches take at most {backend.bytes / 2**30:.1f} GiB")
        asked = f"clients need the key in {KEY_VARIABLE}" if key else "no key is asked for"
        if len(backend.names) > 1:
            say(f"models: {', '.join(backend.names)}")
        say(f"{self.model} at {address_of(listening)}  ({asked}; Ctrl-C ends it)")
        if not key and not is_loopback(self.host):
            warn(f"whoever reaches {self.host} can use it; {KEY_VARIABLE} sets a key")
        serve(app, listening)
        say("ended")

    def _larger(self) -> "LargerModel | None":
        """Who answers what is withheld."""
        from jaxuq.serving import LargerModel, ServingError, open_endpoint

        if not self.pass_to:
            if self.pass_model:
                raise ServingError("--pass-model needs --pass-to URL, the server where it is")
            return None
        if self.abstain_risk is None:
            raise ServingError("--pass-to needs --abstain-risk: nothing is withheld without a promised risk")
        if not self.pass_model:
            raise ServingError("--pass-to needs --pass-model, the name of the model there")
        open_endpoint(self.pass_to, self.pass_model)  # which refuses what cannot be asked
        return LargerModel(self.pass_to, self.pass_model)

    def _answer(self, requests: Path, larger: "LargerModel | None") -> None:
        """Answer a file."""
        from jaxuq.cli.compiled import keep_compiled_programs
        from jaxuq.cli.display import Display
        from jaxuq.serving import LocalBackend, ServingError, answer_batch, make_app

        if not requests.is_file():
            raise ServingError(f"--batch is {requests}, and there is no such file")
        replies = self.batch_output or requests.with_name(f"replies-{requests.name}")
        keep_compiled_programs()
        served, judge = self._served()
        app = make_app(LocalBackend(served, slots=self.slots, most_tokens=self.tokens, judge=judge), larger=larger)
        with Display() as display:
            progress = display.listener().progress
            done, failed = answer_batch(
                app, requests, replies, side_by_side=2 * self.slots,
                on_progress=lambda number, total: progress("requests", number, total, ""),
            )  # fmt: skip
        say(f"{done} requests answered into {replies}" + (f"; {failed} of them refused or failed" if failed else ""))

    def _served(self) -> "tuple[Served, Judge]":
        """What is served, and who judges it."""
        from jaxuq.cli.generate import load_named_model
        from jaxuq.confidence import load_kept
        from jaxuq.serving import Judge, OneModel, ServedAdapters, ServedExperts, ServingError

        named = [one.partition("=") for one in self.adapter]
        wrong = next((one for one, parts in zip(self.adapter, named) if not (parts[0] and parts[2])), None)
        if wrong is not None:
            raise ServingError(f"--adapter is {wrong!r}; expected NAME=FOLDER")
        if self.adapters is not None and not self.adapters.is_dir():
            raise ServingError(f"--adapters is {self.adapters}, and there is no such folder")
        if (Path(self.model) / "run.json").is_file():
            for name in ("confidence", "abstain_risk", "adapters", "mesh"):
                if getattr(self, name) not in (None, ""):
                    raise ServingError(f"--{name.replace('_', '-')} is for one model; {self.model} is a run of experts")
            if named:
                raise ServingError(f"--adapter is for one model; {self.model} is a run of experts, which has its own")
            from jaxuq.experts.pipeline.served_run import read_served

            run = read_served(self.model, route=self.route, top_k=self.top_k)
            return ServedExperts(run, Path(self.model).resolve().name), Judge(run.run.model)
        if self.route != "gradient" or self.top_k is not None:
            raise ServingError(f"--route and --top-k are for the folder of a jaxuq experts train; {self.model} is none")
        model = load_named_model(self.model, mesh=self.mesh)
        kept = None if self.confidence is None else load_kept(self.confidence, self.measure)
        judge = Judge(model, kept, self.abstain_risk)
        if not named and self.adapters is None:
            return OneModel(model, self.model), judge
        most = max(self.most_adapters, len(named))
        served = ServedAdapters(model, self.model, most=most, rank=self.adapter_rank, folder=self.adapters)
        for name, _, folder in named:
            served.load(name, Path(folder))
        return served, judge
