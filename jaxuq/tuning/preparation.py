"""What every cell of a run shares: the model, encoded questions, the smoothing of each sample."""

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from jaxuq._damaged import DAMAGED
from jaxuq._entries import Entry, identity_of
from jaxuq._fingerprint import fingerprint
from jaxuq.language import Instruction, PromptError, init_adapters
from jaxuq.losses import uncertainty_smoothing
from jaxuq.networks.model import check_decoder
from jaxuq.questions import Question, Rejected
from jaxuq.study import RunFolder, digest
from jaxuq.tuning.choices import Choices
from jaxuq.tuning.configuration import TuneConfiguration, finetune_config
from jaxuq.tuning.errors import TuningError
from jaxuq.tuning.plain_texts import PLAIN_TEXTS
from jaxuq.tuning.prompts import Encoded, encode_questions, training_examples
from jaxuq.tuning.pruning import kept_examples, pruning_note
from jaxuq.tuning.split import Split
from jaxuq.tuning.token_losses import TokenLoss, token_loss
from jaxuq.tuning.uncertainty import Samples, SampleUncertainty, measured_uncertainty

if TYPE_CHECKING:
    from jaxuq.language import LanguageModel


class Prepared(NamedTuple):
    """What the cells of a run share.

    Attributes:
        model: with room for adapters, none in it.
        examples: to tune on.
        records: the questions that they are made of.
        tuned: the same as questions with answers to choose from, for posteriors that need the likelihood.
        parts: the questions of each part that is scored, by name.
        asked: the same as records.
        losses: of each name, as `finetune` takes it.
        texts: on which forgetting is measured.
        rejected: place and reason of everything left out.
        notes: for the reader.
        record: further entries of `run.json`.
        weights: digest of the model.
        content: digest of all that cells follow from besides their own options: model, examples, questions, texts.
        loss_content: what each loss follows from, by name.
        choices: the tables that names are looked up in.
    """

    model: "LanguageModel"
    examples: list[Instruction]
    records: list[Question]
    tuned: Encoded
    parts: dict[str, Encoded]
    asked: dict[str, list[Question]]
    losses: dict[str, TokenLoss]
    texts: tuple[str, ...]
    rejected: list[Rejected]
    notes: list[str]
    record: dict[str, Any]
    weights: str
    content: str
    loss_content: dict[str, Any]
    choices: Choices

    @property
    def untuned(self) -> PyTree:
        """New adapters, which change nothing."""
        return init_adapters(jax.random.key(0), self.model.decoder, self.model.params)


def prepare(
    configuration: TuneConfiguration,
    split: Split,
    folder: RunFolder,
    *,
    model: "LanguageModel",
    weights: str,
    texts: tuple[str, ...],
    choices: Choices,
) -> Prepared:
    """Encode the questions and find out how uncertain each sample is.

    Args:
        configuration: normalised.
        split: the questions.
        folder: of the run; keeps the uncertainties.
        model: without adapters.
        weights: its digest.
        texts: of `read_texts`.
        choices: see `Prepared`.

    Returns:
        `Prepared`.

    Raises:
        TuningError: no question can be asked, or there are no uncertainties.
    """
    config = finetune_config(configuration)
    check_decoder(
        model.decoder, "tuning",
        "tune its own parameters by the same losses: jaxuq.language.finetune with "
        "token_loss=jaxuq.tuning.token_loss(...) and FinetuneConfig(adapters=None)",
    )  # fmt: skip
    if model.lora is not None:
        raise TuningError("the model has adapters already; merge them first (jaxuq.language.merge_adapters)")
    if configuration.max_length > model.functions.max_positions:
        raise TuningError(f"--max-length is {configuration.max_length}; the model's context is shorter")
    model = model._replace(decoder=model.decoder.clone(lora=config.adapters))
    rejected = list(split.rejected)
    train = _usable(model, _first(split.train, configuration.limit), configuration.max_length, rejected)
    examples = training_examples(model.tokenizer, train)
    record, notes = {}, []
    if configuration.keep_ratio is not None:
        scores = folder.cell("pruned.npz", weights=weights, data=examples)
        rows, counts = kept_examples(_plain(model), examples, configuration.keep_ratio, scores)
        train, examples = [train[row] for row in rows], [examples[row] for row in rows]
        if not rows:
            raise TuningError(f"--keep-ratio {configuration.keep_ratio} leaves none of {counts['of']} questions")
        record["pruned"] = counts
        notes.append(pruning_note(counts))
    encode = functools.partial(
        encode_questions, model.tokenizer, num_options=configuration.options, max_length=configuration.max_length
    )
    asked = {split.name: _first(split.test, configuration.limit)}
    if split.shifted:
        asked[f"{split.name}-shifted"] = _first(split.shifted, configuration.limit)
    parts = {part: encode(records) for part, records in asked.items()}
    tuned = encode(train)
    for one in (tuned, *parts.values()):
        rejected += one.rejected
    found: dict[str, TokenLoss] = {}
    follows: dict[str, Any] = {}
    weights_of = sample_weights(train, configuration)
    for name in configuration.loss:
        entry = choices.loss[name]
        follows[name] = (identity_of(entry), configuration.smoothing, *(() if weights_of is None else (weights_of,)))
        if "uncertainty" not in entry.needs:
            found[name] = token_loss(entry, smoothing=configuration.smoothing, sample_weights=weights_of)
            continue
        source = choices.uncertainty[configuration.uncertainty]
        samples = Samples(_plain(model), train, examples, choices.judge)
        uncertain = _uncertainty(configuration, folder, weights, source, samples)
        smoothing = uncertainty_smoothing(
            jnp.asarray(uncertain.values), mean=configuration.smoothing, largest=configuration.largest_smoothing,
            direction=configuration.direction, where=jnp.asarray(uncertain.known),
        )  # fmt: skip
        lengths = np.array([one.response.sum() for one in examples], np.float32)
        weighted = jnp.asarray(lengths.mean() / lengths) * (1.0 if weights_of is None else weights_of)
        found[name] = token_loss(
            entry, smoothing=configuration.smoothing, sample_smoothing=smoothing, sample_weights=weighted
        )
        spread = np.asarray(smoothing)
        follows[name] = (identity_of(entry), spread, np.asarray(weighted))
        notes += [
            *uncertain.notes,
            f"Smoothing of {name}, by {source.name}: mean {spread.mean():.3f}, from {spread.min():.3f} to "
            f"{spread.max():.3f}.",
        ]
    asked = {part: answerable(parts[part], records) for part, records in asked.items()}
    content = digest(weights, examples, tuned, parts, asked, texts)
    return Prepared(
        model, examples, train, tuned, parts, asked, found, texts, rejected, notes, record, weights, content, follows,
        choices,
    )  # fmt: skip


def sample_weights(records: Sequence[Question], configuration: TuneConfiguration) -> Float[Array, " samples"] | None:
    """The weights that came with the data, with a mean of 1.

    Args:
        records: to tune on.
        configuration: of the run.

    Returns:
        Of each sample; None where all weigh the same.

    Raises:
        TuningError: none weighs anything, or the run labels in rounds or teaches.
    """
    weights = np.array([one.weight for one in records], np.float32)
    if (weights == weights[0]).all() and weights[0] > 0:
        return None
    if not weights.any():
        raise TuningError("`weight` is 0 on every line: there is nothing to tune on")
    if configuration.acquire or configuration.teach:
        kind = "--acquire" if configuration.acquire else "--teach"
        raise TuningError(f"{kind} does not go with a `weight` a line: leave that field out")
    return jnp.asarray(weights / weights.mean())


def answerable(encoded: Encoded, records: list[Question]) -> list[Question]:
    """The records that could be encoded, in the order of `encoded`.

    Args:
        encoded: from `encode_questions`.
        records: that it was given.

    Returns:
        As many as `encoded` has.
    """
    by_id = {one.id: one for one in records}
    return [by_id[name] for name in encoded.ids]


def _plain(model: "LanguageModel") -> "LanguageModel":
    """Without room for adapters."""
    return model._replace(decoder=model.decoder.clone(lora=None))


def _first(records: list[Question], limit: int | None) -> list[Question]:
    """Evenly spaced ones, so that every category is there."""
    if limit is None or limit >= len(records):
        return records
    return [records[at * len(records) // limit] for at in range(limit)]


def _usable(model: "LanguageModel", records: list[Question], longest: int, rejected: list[Rejected]) -> list[Question]:
    kept = []
    for one in records:
        try:
            (example,) = training_examples(model.tokenizer, [one])
            if len(example.tokens) > longest:
                raise PromptError(f"has {len(example.tokens)} tokens, more than the {longest} of a row")
            kept.append(one)
        except PromptError as error:
            rejected.append(Rejected(one.id, str(error)))
    if not kept:
        raise TuningError(f"no question can be tuned on; the first: {rejected[-1][0]}, {rejected[-1][1]}")
    return kept


def _uncertainty(
    configuration: TuneConfiguration, folder: RunFolder, weights: str, source: Entry, samples: Samples
) -> SampleUncertainty:
    """As kept in the folder, or measured now."""
    asked_of: tuple[Any, ...] = ()
    if "judge" in source.needs:
        named = configuration.judge, configuration.judge_model
        asked_of = (fingerprint(samples.judge),) if configuration.judge is None else named
    cell = folder.cell(
        "uncertainty.npz", weights=weights, data=[samples.examples, samples.records],
        source=identity_of(source), judge=asked_of,
    )  # fmt: skip
    kept = cell.read()
    if kept is not None:
        return SampleUncertainty(kept["values"], kept["known"], tuple(str(note) for note in kept["notes"]))
    found = measured_uncertainty(source, samples)
    cell.write({"values": found.values, "known": found.known, "notes": np.array(found.notes, "U300")})
    return found


def read_texts(configuration: TuneConfiguration) -> tuple[str, ...]:
    """The texts on which forgetting is measured.

    Args:
        configuration: names a file of them, or none.

    Returns:
        Texts.

    Raises:
        TuningError: the file cannot be read, or holds none.
    """
    if configuration.texts is None:
        return PLAIN_TEXTS
    try:
        lines = configuration.texts.expanduser().read_text(encoding="utf-8-sig").splitlines()
    except DAMAGED as error:
        raise TuningError(f"--texts {configuration.texts} cannot be read ({error})") from None
    texts = tuple(line.strip() for line in lines if line.strip())
    if not texts:
        raise TuningError(f"--texts {configuration.texts} holds no text; expected one a line")
    return texts
