"""`jaxuq extract`: entities or relations from texts by a chat model."""

import dataclasses
import pathlib
import sys
import time
from typing import TYPE_CHECKING, Literal

from jaxuq.cli.telling import say
from jaxuq.study.crew import CrewOptions

if TYPE_CHECKING:
    from jaxuq.extraction import ChatModel, RunResult, Usage
    from jaxuq.study import Listener, Options, RunFolder

_FILES = (
    ("report.html", "open this: scores, and every text with its conversation"),
    ("results.csv", "scores over all types"),
    ("types.csv", "for each type"),
    ("summary.csv", "intervals"),
    ("predictions/", "all conversations"),
    ("run.json", "configuration, versions"),
)


@dataclasses.dataclass(frozen=True)
class ExtractCommand(CrewOptions):
    """Extract entities or relations from texts with a chat model, zero-shot: generate first, organise after (G&O)."""

    data: pathlib.Path
    """The texts: .txt (one a line), .json or .jsonl with text, and gold where it is known."""

    types: pathlib.Path | None = None
    """What to look for: a .json file such as ["person", {"name": "place", "description": "...", "examples": []}], or a
    JSON schema. By default what the data name: a meta.json beside them, or the types of their gold entities."""

    model: str = "smollm2"
    """A server that speaks the OpenAI protocol (http://localhost:8000/v1), a model of jaxuq's, replay:FILE, or
    batch:FOLDER: files of requests for a provider's batch, and of its replies."""

    output: pathlib.Path = pathlib.Path("runs/extract")
    """The folder for results. A run that was interrupted goes on when started again with the same options."""

    strategy: Literal["gno", "one_step", "aeio"] = "gno"
    """gno: answer freely, then organise, type by type. one_step: a table at once. aeio: all types together."""

    reasoning: bool = True
    """Ask the model to think step by step."""

    clean_up: bool = True
    """Ask the model to take out what does not belong."""

    constrained: bool = False
    """Keep the table at the end of each conversation to its columns and to words of the text; for models of jaxuq, and
    for jaxuq serve."""

    resolve_conflicts: bool = False
    """Ask once more about each text in which entities of different types overlap."""

    samples: int = 1
    """Conversations for each text and type; with several, a span's confidence is the share that has it."""

    least_agreement: float = 0.5
    """With several samples: the share of them that must have a span."""

    server_model: str = "default"
    """The name of the model at the server."""

    temperature: float | None = None
    """Of sampling; by default 0 for one sample and 0.7 for several."""

    max_tokens: int = 1024
    """The longest reply, in tokens."""

    log_probs: bool = True
    """Ask for the probabilities of tokens, which give every span a confidence."""

    recall: float | None = None
    """Keep the entities of which this share of the right ones of each type is there, on average over new texts
    (conformal risk control); they may overlap. Spans are ranked by agreement of --samples or by their probability."""

    precision: float | None = None
    """Keep the entities of which this share is right, on average over new texts (learn then test)."""

    delta: float = 0.1
    """The chance that a promised precision does not hold."""

    calibrate: pathlib.Path | None = None
    """Texts with gold entities, which are asked about too: --recall and --precision learn from them, and the confidence
    of each entity becomes the share of those like it that are right. By default a promise takes half of the texts of
    --data that have gold; no results are written for those."""

    prompts: pathlib.Path | None = None
    """A TOML file with your own prompts in place of some or all of jaxuq's."""

    tokenizer: Literal["words", "spacy"] = "words"
    """How texts are cut into tokens; spacy needs the package."""

    convention: Literal["corrected", "published"] = "corrected"
    """Of the scores: published leaves failed texts out and mixes predictions into the recall."""

    formats: tuple[Literal["jsonl", "bio", "brat", "docbin", "tagging", "prodigy", "label-studio"], ...] = ("jsonl",)
    """Files of what was found; tagging is one more labelling function for jaxuq's label models."""

    limit: int | None = None
    """Only the first so many texts."""

    seed: int = 0
    """Of samples and of the bootstrap."""

    batch_size: int = 8
    """Conversations at a time with a model of jaxuq."""

    mesh: str = ""
    """Devices to divide a model of jaxuq and its conversations over, such as data=4,tensor=2; otherwise one."""

    concurrency: int = 8
    """Requests at a time to a server."""

    timeout: float = 60.0
    """Seconds of silence after which a request to a server is tried again."""

    attempts: int = 6
    """Attempts for each request to a server."""

    stream: bool = False
    """Have the server send replies in parts."""

    insecure: bool = False
    """Send a key by plain http to another machine, where whoever is between can read it."""

    cache: pathlib.Path | None = None
    """A folder of earlier replies of servers, so that nothing is asked (and paid) twice."""

    prices: tuple[float, float] | None = None
    """What a million tokens cost, read and written; the cost is then counted."""

    def run(self) -> None:
        """Ask, read, score, write."""
        from jaxuq.cli.display import Display
        from jaxuq.parallel import is_first
        from jaxuq.reporting import print_report, write_report
        from jaxuq.serving import BatchWaits

        with Display() as display:
            try:
                folder, found = hold_conversations(self, display.listener())
            except BatchWaits as waits:
                say(str(waits))
                return
        if not is_first():
            return
        result, usage = found[0]
        write_report(folder.path)
        print_report(folder.path)
        _tell(result, usage, self.prices, time.monotonic() - display.began)
        display.over(folder.path, [*_FILES, *((path.name, "what was found") for path in result.written)])
        if result.failed and result.failed == result.conversations:
            print(f"jaxuq: every conversation failed: {result.first_error}", file=sys.stderr)
            sys.exit(1)

    def _check(self) -> float:
        """The temperature; refuses what cannot work."""
        from jaxuq.extraction import ExtractionError

        if (
            self.samples < 1
            or self.max_tokens < 1
            or self.batch_size < 1
            or (self.limit is not None and self.limit < 1)
        ):
            raise ExtractionError("--samples, --max-tokens, --batch-size and --limit start at 1")
        if self.mesh and ("://" in self.model or self.model.startswith(("replay:", "batch:"))):
            raise ExtractionError(f"--mesh divides a model of jaxuq, and {self.model} is none; leave it out")
        if self.temperature is not None and not self.temperature >= 0:
            raise ExtractionError(f"--temperature is {self.temperature}; expected 0 or more")
        temperature = (0.0 if self.samples == 1 else 0.7) if self.temperature is None else self.temperature
        if self.samples > 1 and temperature == 0 and not self.model.startswith("replay:"):
            raise ExtractionError(f"{self.samples} samples at temperature 0 are the same; add --temperature 0.7")
        if not 0 < self.least_agreement <= 1:
            raise ExtractionError(f"--least-agreement is {self.least_agreement}; expected a share in (0, 1]")
        if self.recall is not None or self.precision is not None:
            if self.resolve_conflicts:
                raise ExtractionError(
                    "--resolve-conflicts takes spans away, whatever is promised; leave one of them out"
                )
            flat = [name for name in self.formats if name in ("bio", "docbin", "tagging")]
            if flat:
                raise ExtractionError(
                    f"entities kept for a promise may overlap, which {flat[0]} cannot hold; write jsonl"
                )
        return temperature

    def _options(self, temperature: float) -> "Options":
        """Everything that decides the numbers, for `run.json`; no key, no password."""
        from jaxuq.extraction import data_name
        from jaxuq.serving import plain_url
        from jaxuq.study import Options

        served = "://" in self.model or self.model.startswith("batch:")
        names = (
            *(
                "strategy",
                "reasoning",
                "clean_up",
                "constrained",
                "resolve_conflicts",
                "samples",
                "least_agreement",
                "max_tokens",
            ),
            *("tokenizer", "convention", "limit", "seed", "log_probs"),
            *("recall", "precision", "delta"),
        )
        return Options(
            {name: getattr(self, name) for name in names}
            | {
                "model": f"{plain_url(self.model)} {self.server_model}" if served else self.model,
                "temperature": temperature,
                "data": data_name(self.data),
                "types": None if self.types is None else str(self.types),
                "prompts": None if self.prompts is None else str(self.prompts),
                "calibrate": None if self.calibrate is None else str(self.calibrate),
            },
            {field.name: field.default for field in dataclasses.fields(self) if field.name in names}
            | {"temperature": temperature, "calibrate": None},
            names=("model", "data", "types", "prompts", "calibrate"),
        )

    def _model(self, temperature: float, usage: "Usage") -> "ChatModel":
        from jaxuq.extraction import ChatSettings, local_chat, replay_chat
        from jaxuq.serving import Patience, batch_chat, open_endpoint

        settings = ChatSettings(temperature, self.max_tokens, 1.0, self.seed, self.log_probs)
        if self.model.startswith("replay:"):
            return replay_chat(self.model.removeprefix("replay:"))
        if self.model.startswith("batch:"):
            return batch_chat(self.model.removeprefix("batch:"), self.server_model, settings, usage=usage)
        if "://" in self.model:
            patience = Patience(concurrency=self.concurrency, timeout=self.timeout, attempts=self.attempts)
            return open_endpoint(
                self.model,
                self.server_model,
                settings,
                patience=patience,
                stream=self.stream,
                cache=self.cache,
                usage=usage,
                insecure=self.insecure,
            )
        from jaxuq.cli.compiled import keep_compiled_programs
        from jaxuq.cli.generate import load_named_model

        keep_compiled_programs()
        model = load_named_model(self.model, mesh=self.mesh)
        return local_chat(model, settings, batch_size=self.batch_size, name=self.model)


def _device(model: str) -> str:
    if model.startswith(("replay:", "batch:")):
        return model.partition(":")[0]
    if "://" in model:
        return "server"
    import jax

    return f"{jax.default_backend()} x {jax.device_count()}"


def hold_conversations(
    command: ExtractCommand, listener: "Listener | None" = None
) -> "tuple[RunFolder, list[tuple[RunResult, Usage]]]":
    """The command but for what it says in the end; workers of a cluster call it, too.

    Args:
        command: the options.
        listener: is told how far the run is.

    Returns:
        The folder, and what the run has left (of a worker's share, nothing).
    """
    from jaxuq.cli.generate import use_devices
    from jaxuq.extraction import (
        ExtractionError,
        Plan,
        Usage,
        check_formats,
        data_name,
        read_passages,
        read_prompts,
        read_schema,
        run_extraction,
        schema_of_data,
        set_aside,
    )
    from jaxuq.parallel import process_folder
    from jaxuq.study import Listener, digest, open_run
    from jaxuq.tagging import wanted_promise

    temperature = command._check()
    use_devices(command.mesh)
    command = dataclasses.replace(command, output=process_folder(command.output))
    schema = schema_of_data(command.data) if command.types is None else read_schema(command.types)
    passages = read_passages(command.data, schema, tokenizer=command.tokenizer)[: command.limit]
    prompts = read_prompts(command.prompts)
    promise = wanted_promise(command.recall, command.precision, command.delta)
    calibrating = None
    if promise is not None or command.calibrate is not None:
        if schema.relations:
            raise ExtractionError("--recall, --precision and --calibrate are of entities; these types are relations")
        file, where = command.calibrate, f"half of those of {command.data.name} with gold, set aside"
        labelled = None if file is None else read_passages(file, schema, tokenizer=command.tokenizer)
        passages, calibrating = set_aside(passages, labelled, where if file is None else file.name, promise)
    check_formats(command.formats, relations=bool(schema.relations))
    usage = Usage()
    model = command._model(temperature, usage)
    content = {"data": digest(passages), "types": digest(schema), "prompts": digest(prompts)}
    content |= {} if calibrating is None else {"calibrate": digest(calibrating.passages)}
    dataset, found = data_name(command.data), []
    opened = open_run(
        command.output,
        system="extract",
        options=command._options(temperature),
        content=content | {"model": digest(model.identity)},
        device=_device(command.model),
        crew=command.crew(hold_conversations, command),
        digests={dataset: content["data"]},
    )
    with opened as folder:
        result = run_extraction(
            folder,
            model,
            passages,
            schema,
            Plan(command.strategy, command.reasoning, command.clean_up, command.constrained),
            dataset=dataset,
            prompts=prompts,
            num_samples=command.samples,
            least_agreement=command.least_agreement,
            resolve_conflicts=command.resolve_conflicts,
            convention=command.convention,
            tokenizer=command.tokenizer,
            formats=command.formats,
            seed=command.seed,
            usage=usage if "://" in command.model or command.model.startswith("batch:") else None,
            prices=command.prices,
            calibrating=calibrating,
            listener=listener or Listener(),
        )
        found.append((result, usage))
    return folder, found


def _tell(result: "RunResult", usage: "Usage", prices: tuple[float, float] | None, seconds: float) -> None:
    """What was found without gold, and what it took."""
    if result.evaluation is None:
        found = sum(len(one.spans) + sum(map(len, one.relations.values())) for one in result.extractions)
        print(f"{found} found in {len(result.extractions)} texts (no gold to score against)")
    kept = result.conversations - result.new
    say(
        f"{result.conversations} conversations in {seconds:.0f} s"
        + (f", {kept} of them kept from before" if kept > 0 else "")
        + (f"; {result.failed} gave no answer, for example: {result.first_error}" if result.failed else "")
    )
    if usage.requests:
        record = usage.record(prices)
        cost = f", cost {record['cost']:.4f}" if prices is not None else ""
        say(
            f"{usage.requests} requests ({usage.cached} from the cache, {usage.retries} retries): "
            f"{usage.prompt_tokens} tokens read, {usage.completion_tokens} written{cost}"
        )
