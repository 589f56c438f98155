"""`jaxuq experts`: combine, train, route, generate, evaluate."""

import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from jaxuq.cli.telling import say, warn
from jaxuq.experts.pipeline.configuration import EvaluateConfiguration, TrainConfiguration

if TYPE_CHECKING:
    from jaxuq.experts.answering import ExpertAnswer
    from jaxuq.experts.pipeline.training import TrainedRun

_FILES = (
    ("report.html", "open this: accuracies, clusters, weights, costs"),
    ("results.csv", "one row per subset, method and seed"),
    ("summary.csv", "one row per subset and method, with intervals"),
    ("predictions/", "one line per question, a file per seed and method"),
    ("figures/", "the page's figures as files"),
    ("run.json", "configuration, versions, device"),
)


@dataclasses.dataclass(frozen=True)
class RouteCommand:
    """How much the base adapter and each expert would say to a question: jaxuq experts route runs/experts "..."."""

    run_folder: Annotated[Path, tyro.conf.Positional]
    """Of a finished jaxuq experts train."""

    questions: Annotated[tuple[str, ...], tyro.conf.Positional]
    """What to ask; - reads one a line from the standard input."""

    top_k: int | None = None
    """Keep the k best experts only."""

    mesh: str = ""
    """Devices to divide the model and the questions over, such as data=4,tensor=2; otherwise gradients over all."""

    def run(self) -> None:
        """Print a JSON object a question."""
        run, asked, weights = _routed(self.run_folder, self.questions, self.top_k, mesh=self.mesh)
        for question, row in zip(asked, weights):
            named = {name: round(float(weight), 5) for name, weight in zip(_names(run), row)}
            print(json.dumps({"question": question, "weights": named}, ensure_ascii=False))


@dataclasses.dataclass(frozen=True)
class ExpertsGenerateCommand:
    """Answer questions by the experts that their gradients point to, with the ensemble's disagreement."""

    run_folder: Annotated[Path, tyro.conf.Positional]
    """Of a finished jaxuq experts train."""

    questions: Annotated[tuple[str, ...], tyro.conf.Positional]
    """What to ask; - reads one a line from the standard input."""

    top_k: int | None = None
    """Keep the k best experts only."""

    max_new_tokens: int = 64
    """The longest answer."""

    temperature: float = 0.0
    """Of sampling; 0 takes the most likely token each time."""

    mix: str | None = None
    """routing or merging: mix the adapters within the layers, instead of adding logits at the end."""

    seed: int = 0
    """Of sampling."""

    mesh: str = ""
    """Devices to divide the model and the answers over, such as data=4,tensor=2; otherwise one."""

    json: bool = False
    """Print one JSON object a question: weights, tokens, and what every member thought of them."""

    def run(self) -> None:
        """Answer and print."""
        from jaxuq.experts.answering import answer_by_experts
        from jaxuq.experts.errors import ExpertsError
        from jaxuq.experts.pipeline.questions import encode_questions
        from jaxuq.experts.pipeline.records import typed_questions
        from jaxuq.experts.pipeline.weights import members_of
        from jaxuq.language.sampling import Sampling, check_sampling

        if self.mix not in (None, "routing", "merging"):
            raise ExpertsError(f"--mix is {self.mix!r}; expected routing or merging")
        if self.max_new_tokens < 1:
            raise ExpertsError(f"--max-new-tokens is {self.max_new_tokens}; it starts at 1")
        try:
            sampling = check_sampling(Sampling(self.temperature))
        except ValueError as error:
            raise ExpertsError(str(error)) from None
        run, asked, weights = _routed(self.run_folder, self.questions, self.top_k, self.max_new_tokens, self.mesh)
        encoded = encode_questions(run, typed_questions(run.configuration, asked), self.max_new_tokens)
        answers = answer_by_experts(
            run.model,
            members_of(run, tuple(_names(run))),
            [prompt.tokens for prompt in encoded.prompts],
            weights,
            max_new_tokens=self.max_new_tokens,
            sampling=sampling,
            rng_key=self.seed,
            batch_size=min(8, len(asked)),
            mix=self.mix,  # type: ignore[arg-type]
        )
        for question, answer in zip(asked, answers):
            if self.json:
                print(json.dumps(_record(run, question, answer), ensure_ascii=False))
            else:
                information = float(answer.mutual_information.mean()) if len(answer.tokens) else 0.0
                print(answer.text.strip())
                say(f"[probability {answer.probability:.3f}, disagreement {information:.4f} nats a token]")


@dataclasses.dataclass(frozen=True)
class CombineCommand:
    """Write MATH-Combined, instructions to train on, from MATH, GSM8K, SVAMP and MathQA as published."""

    output: Annotated[Path, tyro.conf.Positional]
    """The JSONL file to write."""

    math: Path | None = None
    """JSONL with `problem` and `solution`, packed with gzip or not."""

    gsm8k: Path | None = None
    """JSONL with `question` and `answer`."""

    svamp: Path | None = None
    """A JSON list with `Body`, `Question`, `Equation` and `Answer`."""

    mathqa: Path | None = None
    """JSONL or a JSON list with `Problem`, `Rationale`, `options` and `correct`."""

    def run(self) -> None:
        """Write the file and say what is in it."""
        from jaxuq.experts import combine_math
        from jaxuq.experts.errors import ExpertsError

        named = {name: getattr(self, name) for name in ("math", "gsm8k", "svamp", "mathqa")}
        files = {name: path for name, path in named.items() if path is not None}
        if not files:
            raise ExpertsError("name at least one of --math, --gsm8k, --svamp, --mathqa: the files as published")
        rejected = combine_math(files, self.output)
        for name, problems in rejected.items():
            first = f"; the first, {problems[0][0]}: {problems[0][1]}" if problems else ""
            say(f"{name}: {len(problems)} problems left out{first}")
        with self.output.open(encoding="utf-8") as lines:
            say(f"{sum(1 for _ in lines)} instructions written to {self.output}; next:")
        say(f"  jaxuq experts train --data {self.output}")


@dataclasses.dataclass(frozen=True)
class ExpertsCommand:
    """Ensembles of low-rank experts (ELREA): combine, train, route, generate, evaluate."""

    action: tyro.conf.OmitSubcommandPrefixes[
        Annotated[CombineCommand, tyro.conf.subcommand("combine")]
        | Annotated[TrainConfiguration, tyro.conf.subcommand("train")]
        | Annotated[RouteCommand, tyro.conf.subcommand("route")]
        | Annotated[ExpertsGenerateCommand, tyro.conf.subcommand("generate")]
        | Annotated[EvaluateConfiguration, tyro.conf.subcommand("evaluate")]
    ]

    def run(self) -> None:
        """Do it."""
        if isinstance(self.action, TrainConfiguration):
            run_train(self.action)
        elif isinstance(self.action, EvaluateConfiguration):
            run_evaluate(self.action)
        else:
            self.action.run()


def _names(run: "TrainedRun") -> list[str]:
    return ["base", *(f"expert-{cluster}" for cluster in range(len(run.found.centroids)))]


def _routed(
    folder: Path, questions: tuple[str, ...], top_k: int | None, room: int = 1, mesh: str = ""
) -> tuple["TrainedRun", list[str], Any]:
    from jaxuq.cli.compiled import keep_compiled_programs
    from jaxuq.cli.generate import use_devices
    from jaxuq.experts.errors import ExpertsError
    from jaxuq.experts.pipeline.questions import encode_questions, read_training
    from jaxuq.experts.pipeline.records import typed_questions
    from jaxuq.experts.pipeline.weights import Context, gradient_weights
    from jaxuq.parallel import process_folder

    if top_k is not None and top_k < 1:
        raise ExpertsError(f"--top-k is {top_k}; keep at least one expert")
    asked = [line for one in questions for line in (sys.stdin.read().splitlines() if one == "-" else [one])]
    asked = [line for line in asked if line.strip()]
    if not asked:
        raise ExpertsError('there is no question; for example: jaxuq experts route runs/experts "How many?"')
    keep_compiled_programs()
    use_devices(mesh)
    run = read_training(process_folder(folder), mesh=mesh)
    encoded = encode_questions(run, typed_questions(run.configuration, asked), room)
    if encoded.rejected:
        raise ExpertsError(f"question {encoded.rejected[0].place}: {encoded.rejected[0].reason}")
    weights, unrouted = gradient_weights(Context(run, encoded, EvaluateConfiguration((folder,))), top_k=top_k)
    if unrouted:
        warn(f"{unrouted} questions have no gradient; the base adapter answers them")
    return run, asked, weights


def _record(run: "TrainedRun", question: str, answer: "ExpertAnswer") -> dict[str, Any]:
    tokens = [
        {"id": int(token), "log_prob": float(answer.log_probs[at]), "entropy": float(answer.entropies[at]),
         "mutual_information": float(answer.mutual_information[at]), "variance": float(answer.variances[at]),
         "members": [None if value != value else float(value) for value in answer.member_log_probs[at]]}
        for at, token in enumerate(answer.tokens)
    ]  # fmt: skip
    weights = {name: round(float(weight), 5) for name, weight in zip(_names(run), answer.weights)}
    return {"question": question, "text": answer.text, "finish": answer.finish, "weights": weights, "tokens": tokens}


def run_train(configuration: TrainConfiguration) -> None:
    """Train as the command line does.

    Args:
        configuration: the options.
    """
    from jaxuq.cli.compiled import keep_compiled_programs, use_all_cores
    from jaxuq.cli.display import Display
    from jaxuq.cli.generate import load_named_model, use_devices
    from jaxuq.experts.pipeline.training import run_training

    keep_compiled_programs()
    use_devices(configuration.mesh) if configuration.mesh else use_all_cores()
    with Display() as display:
        folder = run_training(configuration, model=load_named_model, listener=display.listener())
    sizes = ", ".join(map(str, folder.record["clusters"]))
    say(f"{len(folder.record['clusters'])} clusters of {sizes} instructions")
    display.over(folder.path, [("adapters/", "base adapter and experts"), ("clusters.npz", "of the instructions")])
    say(f"next: jaxuq experts evaluate {folder.path}")


def run_evaluate(options: EvaluateConfiguration) -> None:
    """Evaluate as the command line does.

    Args:
        options: the options.
    """
    from jaxuq.cli.display import run_and_report
    from jaxuq.cli.generate import use_devices
    from jaxuq.experts.pipeline.evaluation import run_evaluation
    from jaxuq.experts.pipeline.methods import METHODS

    if options.list:
        for name, entry in METHODS.items():
            print(f"{name:22} {entry.title}")
        return
    use_devices(options.mesh)
    run_and_report(lambda listener: run_evaluation(options, listener=listener), _FILES)
