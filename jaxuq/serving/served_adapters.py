"""Adapters of one model behind the server, each by its name: they share the batch, and come and go while it runs."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxuq.serving.errors import ServingError
from jaxuq.serving.jobs import BadRequest
from jaxuq.serving.served import Given

if TYPE_CHECKING:
    from jaxtyping import PyTree

    from jaxuq.language import LanguageModel


class ServedAdapters:
    """A model by its name, and with each of some adapters by theirs.

    All answers go through all adapters' factors, and each takes the output of its own: the price is that of one adapter
    whose rank is the sum of the ranks that there is room for.

    Args:
        model: without adapters.
        name: of the model without adapters; None takes its own.
        most: adapters that there is room for.
        rank: the largest that they may have.
        folder: whose folders clients may have loaded; None: none.

    Raises:
        ServingError: the model takes no adapters, or numbers are out of range.
    """

    def __init__(
        self,
        model: "LanguageModel",
        name: str | None = None,
        *,
        most: int = 4,
        rank: int = 16,
        folder: Path | None = None,
    ):
        import jax
        import jax.numpy as jnp

        from jaxuq.experts import mixture_adapters
        from jaxuq.experts.shared_batch import Members, mixed_experts
        from jaxuq.language import init_adapters
        from jaxuq.networks import Decoder, LoraConfig

        if not isinstance(model.decoder, Decoder) or model.lora is not None:
            raise ServingError("adapters are served of decoders that have none yet")
        if most < 1 or rank < 1:
            raise ServingError(f"--most-adapters is {most} and --adapter-rank {rank}; expected at least 1")
        decoder = model.decoder
        self._config = LoraConfig(rank, float(rank), targets=decoder.config.linear_layers)
        self._adapted = decoder.clone(lora=self._config)
        self.model = model
        self.functions = mixed_experts(self._adapted)  # pyright: ignore[reportArgumentType]
        shapes = jax.eval_shape(lambda: init_adapters(jax.random.key(0), self._adapted, model.params))
        empty = jax.tree.map(lambda one: jnp.zeros((most + 1, *one.shape), one.dtype), shapes)
        self._axis = int(decoder.scan)
        self.params = Members(model.params, mixture_adapters(empty, scan=decoder.scan))
        self._name, self.folder = name or model.name, folder
        self._slots: dict[str, int] = {}
        self._loaded, self._loads = [0] * (most + 1), 0  # which load it was that a slot holds

    @property
    def names(self) -> Sequence[str]:
        """The model's, then those of the adapters."""
        return (self._name, *self._slots)

    def load(self, name: str, folder: str | Path, running: Collection[Any] = ()) -> None:
        """Put an adapter in; running answers go on.

        Args:
            name: by which it is asked for.
            folder: of PEFT's format.
            running: `Given.reading` of answers that are being made, perhaps by adapters that were dropped meanwhile.

        Raises:
            ServingError: the name is taken, there is no room, or the adapter is of another kind or too large.
            CheckpointError: it cannot be read.
        """
        from jaxuq.language import load_peft

        if name in self.names or not name or len(name) > 200 or not name.isprintable():
            raise ServingError(f"an adapter cannot be called {name[:60]!r}: the name is taken, or none")
        free = [slot for slot in range(1, len(self._loaded)) if slot not in self._slots.values()]
        free = [slot for slot in free if self._loaded[slot] not in running]
        if not free:
            raise ServingError("there is no room for another adapter: drop one, or start with more --most-adapters")
        decoder = self.model.decoder
        config, lora = load_peft(folder, decoder.config, scan=decoder.scan)
        if config.dora or config.rank > self._config.rank:
            what = "a DoRA adapter" if config.dora else f"of rank {config.rank}"
            raise ServingError(f"{name} is {what}; served are LoRA adapters of rank {self._config.rank} at most "
                               "(--adapter-rank)")  # fmt: skip
        self._put(free[0], lora, config.scale)
        self._loads += 1
        self._loaded[free[0]], self._slots[name] = self._loads, free[0]

    def load_from(self, name: str, inside: str, running: Collection[Any] = ()) -> None:
        """Put an adapter in that a client names, from the folder that was given for this, and from nowhere else.

        Args:
            name: see `load`.
            inside: a folder within.
            running: see `load`.

        Raises:
            ServingError: clients may load none, or it is no folder within; see `load` too.
            CheckpointError: it cannot be read.
        """
        if self.folder is None:
            raise ServingError("clients may load no adapters here; start the server with --adapters FOLDER")
        root = self.folder.resolve()
        try:
            found = (root / inside).resolve()
            known = root in found.parents and found.is_dir()
        except (OSError, ValueError):
            known, found = False, root
        if not known:
            raise ServingError("lora_path is no folder within that of --adapters")
        self.load(name, found, running)

    def drop(self, name: str) -> None:
        """Take an adapter out: nobody can ask for it any more, and answers that run with it end as they began.

        Args:
            name: of it.

        Raises:
            ServingError: there is none of that name.
        """
        if name not in self._slots:
            raise ServingError(f"there is no adapter {name[:60]!r} here")
        del self._slots[name]

    def _put(self, slot: int, lora: "PyTree", scale: float) -> None:
        """Write an adapter into its slot, padded with zeros to the rank, its scale in B."""

        def one(whole: Any, part: Any, name: str) -> Any:
            if part is None:
                part = np.zeros(np.delete(whole.shape, self._axis), np.float32)
            axis = -1 if name == "a" else -2
            widths = [(0, 0)] * part.ndim
            widths[axis] = (0, self._config.rank - part.shape[axis])
            padded = np.pad(np.asarray(part, np.float32) * (1.0 if name == "a" else scale), widths)
            return whole.at[(slice(None),) * self._axis + (slot,)].set(padded)

        experts = {
            layers: {
                layer: {part: one(leaf, lora.get(layers, {}).get(layer, {}).get(part), part)
                        for part, leaf in leaves.items()}
                for layer, leaves in group.items()
            }
            for layers, group in self.params.experts.items()
        }  # fmt: skip
        self.params = self.params._replace(experts=experts)

    def prompt(self, messages: Sequence[Mapping[str, str]]) -> tuple[Any, bool]:
        """The messages, for the model's template."""
        return list(messages), True

    def given(self, name: str, prompt: Sequence[int]) -> Given:
        """Which adapter it is."""
        slot = self._slot(name)
        return Given(np.float32(np.arange(len(self._loaded)) == slot), self._loaded[slot])

    def observed(self, given: Given, parts: Sequence[Any]) -> Mapping[str, Any]:
        """Nothing."""
        return {}

    def alone(self, name: str) -> "LanguageModel":
        """The model, with an adapter of that name."""
        import jax

        if not self._slot(name):
            return self.model
        at = (slice(None),) * self._axis + (self._slots[name],)
        lora = jax.tree.map(lambda leaf: leaf[at], self.params.experts)
        return self.model._replace(decoder=self._adapted, lora=lora)

    def _slot(self, name: str) -> int:
        if name not in self.names:
            raise BadRequest("the adapter was dropped meanwhile", status=404, param="model", code="model_not_found")
        return self._slots.get(name, 0)
