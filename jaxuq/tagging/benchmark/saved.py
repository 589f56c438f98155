"""Fitted label models on disk: `model.json` says what it is, `weights.safetensors` holds its arrays."""

import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxuq._entries import Entry
from jaxuq.study import write_bytes, write_json
from jaxuq.tagging.benchmark.methods import METHODS, TAGGER, known
from jaxuq.tagging.benchmark.settings import Settings
from jaxuq.tagging.finetuning import EncoderTuning, FinetunedParams
from jaxuq.tagging.neural_model import EmbeddedText, TrainOptions
from jaxuq.tagging.records import TaggingDataError, WeakLabels
from jaxuq.tagging.sparse_parameters import SparseOptions

_FORMAT = 3
_ENCODER = "encoder"  # beside a model whose encoder was trained along: that


def save_model(
    folder: pathlib.Path,
    params: Any,
    *,
    method: str,
    data: WeakLabels,
    settings: Settings,
    embeddings: str,
    encoder: str | None,
    sentence_vector: str,
    width: int,
) -> None:
    """Store a fitted model.

    Of one whose encoder was trained along, that is written as a folder of its own, `encoder`, whose vectors the rest
    reads like those of any other.

    Args:
        folder: where.
        params: a pytree of arrays.
        method: its name in the table; those with an ending, such as `+tagger`, are taggers.
        data: what it was fitted on, for the names of labels and functions.
        settings: options of the neural models.
        embeddings: name or folder of the encoder.
        encoder: its digest.
        sentence_vector: which vector a sentence has.
        width: of the word vectors; 0 if it reads none.
    """
    from safetensors.numpy import save

    if isinstance(params, FinetunedParams):
        from jaxuq.checkpoints import encoder_digest, load_encoder, save_encoder

        save_encoder(folder / _ENCODER, load_encoder(settings.encoder)._replace(params=params.encoder))
        params, encoder = params.head(), encoder_digest(folder / _ENCODER)
    leaves = {name: np.ascontiguousarray(np.asarray(_plain(leaf))) for name, leaf in _named(params)}
    write_bytes(folder / "weights.safetensors", save(leaves))
    record = {
        "format": _FORMAT,
        "method": method,
        "label_names": list(data.label_names),
        "function_names": list(data.function_names),
        "embeddings": embeddings if width else None,
        "encoder": encoder if width else None,
        "sentence_vector": sentence_vector,
        "width": width,
        "settings": {
            name: value._asdict() if hasattr(value, "_asdict") else value for name, value in settings._asdict().items()
        },
    }
    write_json(folder / "model.json", record)


def _settings(stored: dict[str, Any]) -> Settings:
    """The inverse of `_asdict` all the way down."""
    trained = {name: TrainOptions(**stored[name]) for name in ("chmm", "sparse_options", "connet", "tagger")}
    others = {name: stored[name] for name in ("outside", "chmm_outside", "sparse_outside", "encoder")}
    tuning = EncoderTuning(**stored["tuning"])
    return Settings(**trained, **others, tuning=tuning, sparse=SparseOptions(**stored["sparse"]))


class SavedModel:
    """A model read from a folder: what it is, and how it labels.

    Attributes:
        record: the contents of `model.json`.
        method: its row of the table.
    """

    def __init__(self, folder: pathlib.Path):
        from jaxuq.checkpoints import CheckpointError, read_json

        self.folder = folder
        try:
            self.record = read_json(folder / "model.json")
        except CheckpointError as error:
            raise TaggingDataError(f"{folder} is no saved tagging model: {error}") from None
        name = str(self.record.get("method"))
        listed = [self.record.get(key) for key in ("label_names", "function_names")]
        named = all(isinstance(one, list) and all(isinstance(text, str) for text in one) for one in listed)
        if self.record.get("format") != _FORMAT or (name not in METHODS and "+" not in name) or not named:
            raise TaggingDataError(f"{folder / 'model.json'} is not of a model that this version of jaxuq can read")
        self.name = name
        self.method: Entry = TAGGER if "+" in name else METHODS[name]
        try:
            self.settings = _settings(self.record["settings"])
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise TaggingDataError(
                f"{folder / 'model.json'} has other options than this version of jaxuq knows ({error}); fit it again"
            ) from None

    @property
    def encoder(self) -> str:
        """Name or folder of the encoder whose vectors it reads."""
        own = self.folder / _ENCODER
        return str(own) if own.is_dir() else self.record["embeddings"]

    def check(self, text: EmbeddedText) -> None:
        """Refuse text whose labels, functions or vectors are others.

        Raises:
            TaggingDataError: with what differs.
        """
        for what, ours, theirs in (
            ("labels", self.record["label_names"], text.labels.label_names),
            ("labelling functions", self.record["function_names"], text.labels.function_names),
        ):
            if (what == "labels" or known(self.method, "votes")) and list(ours) != list(theirs):
                raise TaggingDataError(
                    f"{self.folder} was fitted with the {what} {', '.join(ours)}; the data has {', '.join(theirs)}"
                )
        width = text.embeddings[0].shape[1]
        if known(self.method, "neural") and width != self.record["width"]:
            raise TaggingDataError(
                f"sentence {text.labels.ids[0]}, token 0: the word vectors have {width} numbers, and the model in "
                f"{self.folder} was fitted to {self.record['width']}; use --embeddings {self.record['embeddings']}"
            )

    def check_encoder(self, encoder: str) -> None:
        """Refuse an encoder whose weights are not those that the model was fitted to, whatever it is called.

        Raises:
            TaggingDataError: it is another.
        """
        from jaxuq.checkpoints import encoder_digest, find_encoder

        fitted = self.record.get("encoder")
        if fitted is not None and encoder_digest(find_encoder(encoder)) != fitted:
            raise TaggingDataError(
                f"{self.folder} was fitted to the vectors of {self.record['embeddings']} as it was then; {encoder} has "
                "other weights, which would label nonsense. Name that encoder with --embeddings, or fit again"
            )

    def predict(self, text: EmbeddedText) -> Any:
        """Label text; see `check`."""
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        self.check(text)
        template = self.method.functions["template"](text, self.settings)
        file = self.folder / "weights.safetensors"
        try:
            stored = load_file(file)
        except (SafetensorError, OSError) as error:
            raise TaggingDataError(f"{file} is missing or damaged: {error}") from None
        wanted = dict(_named(template))
        shapes = {name: np.shape(_plain(leaf)) for name, leaf in wanted.items()}
        if {name: value.shape for name, value in stored.items()} != shapes:
            raise TaggingDataError(
                f"{file} does not hold the arrays of {self.name} for this text's labels and functions"
            )
        leaves = [_like(stored[name], leaf) for name, leaf in wanted.items()]
        params = jax.tree.unflatten(jax.tree.structure(template), leaves)
        return self.method.functions["predict"](params, text, self.settings)


def _named(params: Any) -> list[tuple[str, Any]]:
    return [(jax.tree_util.keystr(path) or "value", leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(params)]


def _is_key(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _plain(leaf: Any) -> Any:
    return jax.random.key_data(leaf) if _is_key(leaf) else leaf


def _like(value: np.ndarray, leaf: Any) -> Any:
    return jax.random.wrap_key_data(jnp.asarray(value)) if _is_key(leaf) else jnp.asarray(value)
