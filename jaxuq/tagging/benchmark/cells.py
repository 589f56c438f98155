"""Cells of a run: one model on one data set with one seed; what is kept of it, and what follows for the tables."""

import json
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jaxuq import study
from jaxuq.study import (
    Examples,
    Intervals,
    Plan,
    RunFolder,
    Scored,
    digest,
    resample_cells,
    write_predictions,
    write_text,
)
from jaxuq.tagging.benchmark.configuration import TaggingConfiguration
from jaxuq.tagging.benchmark.evaluation import (
    FunctionReliability,
    believed_emissions,
    entities,
    forecast_scores,
    function_reliabilities,
    sentence_counts,
)
from jaxuq.tagging.benchmark.methods import METHODS, TAGGER, Outcome, known
from jaxuq.tagging.benchmark.source import Source
from jaxuq.tagging.label_model import LabelForecast
from jaxuq.tagging.records import WeakLabels
from jaxuq.tagging.tagger import hard_targets

SHOWN = ("precision", "recall", "f1")
_RESAMPLES = 500


class Cell(NamedTuple):
    """One model on one data set with one seed.

    Attributes:
        source: the data set.
        name: of the label model, or of the ablation.
        ending: empty, or that of a second stage: `+tagger`, `+alternating`.
        seed: its number.
    """

    source: Source
    name: str
    ending: str
    seed: int

    @property
    def method(self) -> str:
        """As the tables call it."""
        return f"{self.name}{self.ending}"

    @property
    def title(self) -> str:
        """For the reader."""
        return f"{self.source.name}, {self.method}, seed {self.seed}"

    @property
    def keys(self) -> dict[str, Any]:
        """The first columns of the tables."""
        return {"dataset": self.source.name, "method": self.method, "seed": self.seed}

    @property
    def model_folder(self) -> str:
        """Where the fitted model is, relative to the result folder."""
        return f"models/{self.source.name}/{self.method}/seed-{self.seed}"

    def kept(self, folder: RunFolder, configuration: TaggingConfiguration) -> study.Cell:
        """Where its arrays and its fitted model are kept, and what they follow from."""
        entry = METHODS["sparse-chmm" if configuration.ablations else self.name]
        options, defaults = configuration.cell_options()
        own = {f"{entry.name}.{option}": value for option, value in entry.options.items()}
        return folder.cell(
            f"predictions/{self.source.name}/{self.method.replace(' ', '-')}/seed-{self.seed}.npz",
            options=options | own,
            defaults=defaults | own,
            beside=(self.model_folder,),
            data=self.source.digest,
            method=self.method,
            formula=entry.formula,
            code=entry.about.get("code"),
            second_formula=TAGGER.formula if self.ending else None,
            weights=self.source.encoder if self.ending or known(entry, "neural") else None,
            seed=self.seed,
        )


def cell_content(data: WeakLabels, outcome: Outcome, seconds: float) -> dict[str, Any]:
    """What is kept of a finished cell.

    Args:
        data: the text that was labelled.
        outcome: of the label model, or of a second stage.
        seconds: that it took.

    Returns:
        Arrays by name.
    """
    forecast = outcome.forecast
    scores = forecast_scores(data, np.asarray(forecast.labels))
    rows = function_reliabilities(data, forecast, outcome.reliability)
    gold = None if data.labels is None else hard_targets(data.labels, len(data.label_names))
    found = [entity["confidence"] for row in range(len(data.lengths)) for entity in entities(data, forecast, row)]
    return {
        "ids": np.array(data.ids, str),
        "lengths": data.lengths,
        "gold": np.zeros(0, np.int16) if data.labels is None else data.labels.astype(np.int16),
        "labels": np.asarray(forecast.labels, np.int16),
        "confidences": np.array(found, np.float32),
        "emission": believed_emissions(data, np.asarray(forecast.probabilities)).astype(np.float32),
        "true_emission": np.zeros(0) if gold is None else believed_emissions(data, gold).astype(np.float32),
        "functions": np.array([row[1:] for row in rows], np.float64),
        "scores": np.zeros(0) if scores is None else np.array([getattr(scores, name) for name in SHOWN]),
        "objective": np.asarray(outcome.objective, np.float32),
        "validation": np.asarray(outcome.scores, np.float32),
        "seconds": np.float64(seconds),
    }


def cell_rows(plan: Plan, arrays: dict[str, np.ndarray]) -> dict[str, list[dict[str, Any]]]:
    """The lines of `results.csv` (none without gold labels) and `reliability.csv` of a finished cell.

    Args:
        plan: of the cell.
        arrays: of `cell_content`.

    Returns:
        By file.
    """
    cell: Cell = plan.about
    results = []
    if arrays["scores"].size:
        values = dict(zip(SHOWN, map(float, arrays["scores"])))
        results.append({**cell.keys, **values, "seconds": round(float(arrays["seconds"]), 2)})
    reliability = []
    for name, row in zip(cell.source.texts.test.function_names, arrays["functions"]):
        named = dict(zip(FunctionReliability._fields[1:], map(float, row)))
        reliability.append({**cell.keys, "function": name, **named, "entities": int(named["entities"])})
    return {"results.csv": results, "reliability.csv": reliability}


@jax.jit
def entity_f1(counts: Float[Array, "sentences 3"], *, where: Bool[Array, " sentences"]) -> Float[Array, "3"]:
    """Precision, recall and F1 of entities, from those that are right, found and to be found in each sentence."""
    right, found, gold = jnp.where(where[:, None], counts, 0.0).sum(0)

    def share(of: Array) -> Array:
        return jnp.where(of > 0, right / jnp.maximum(of, 1.0), 0.0)

    return jnp.stack([share(found), share(gold), share(0.5 * (found + gold))])


def intervals_of(folder: pathlib.Path, plans: Sequence[Plan[study.Cell]]) -> Intervals:
    """95 % intervals over sentences of the means over seeds, all models on the same resamples: `resamples.npz`.

    Args:
        folder: of the run.
        plans: its cells, all finished.

    Returns:
        Ends by data set and method; none without gold labels.
    """

    def examples(plan: Plan[study.Cell]) -> Examples:
        arrays, data = plan.kept.read() or {}, plan.about.source.texts.test
        counts = sentence_counts(data, arrays["labels"])
        return Examples((counts.astype(np.float32),), np.ones(len(counts), bool), digest(arrays["ids"], arrays["gold"]))

    scored = [
        Scored(plan.about.keys, plan.kept.identity.address, lambda plan=plan: examples(plan))
        for plan in plans
        if plan.about.source.texts.test.labels is not None
    ]
    if not scored:
        return {}
    return resample_cells(folder, scored, entity_f1, SHOWN, num_resamples=_RESAMPLES).intervals(("dataset", "method"))


def write_labelled(folder: pathlib.Path, plans: Sequence[Plan[study.Cell]]) -> None:
    """Write `predictions.jsonl`, with the first seed of each model, and a table beside each cell: a row a token.

    Args:
        folder: of the run.
        plans: its cells, all finished.
    """
    lines = []
    for plan in plans:
        arrays, data = plan.kept.read() or {}, plan.about.source.texts.test
        found = _labelled(data, arrays["labels"], arrays["confidences"])
        if plan.about.seed == 0:
            lines += _lines(data, found, plan.about.keys)
        write_predictions(plan.kept, _token_rows(data, arrays["labels"], found))
    write_text(folder / "predictions.jsonl", "".join(lines))


def prediction_lines(data: WeakLabels, labels: np.ndarray, confidences: np.ndarray, head: dict[str, Any]) -> list[str]:
    """A line of JSON for each sentence."""
    return _lines(data, _labelled(data, labels, confidences), head)


def _labelled(data: WeakLabels, labels: np.ndarray, confidences: np.ndarray) -> list[list[dict[str, Any]]]:
    """The entities of each sentence, with their confidences."""
    forecast = LabelForecast(labels, hard_targets(labels, len(data.label_names)))  # type: ignore[arg-type]
    sure = iter(confidences)
    return [
        [entity | {"confidence": round(float(next(sure)), 4)} for entity in entities(data, forecast, row)]
        for row in range(len(data.ids))
    ]


def _lines(data: WeakLabels, found: list[list[dict[str, Any]]], head: dict[str, Any]) -> list[str]:
    records = [
        {**head, "id": name, "tokens": list(tokens), "entities": own}
        for name, tokens, own in zip(data.ids, data.tokens, found)
    ]
    return [json.dumps(record, ensure_ascii=False) + "\n" for record in records]


def _token_rows(data: WeakLabels, labels: np.ndarray, found: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """A token a row, with the confidence of the entity that it is in."""
    rows, names, gold = [], data.label_names, data.labels
    for row, (name, tokens, own) in enumerate(zip(data.ids, data.tokens, found)):
        sure = {at: one["confidence"] for one in own for at in range(one["start"], one["end"])}
        for at, token in enumerate(tokens[: int(data.lengths[row])]):
            known = {} if gold is None else {"gold": names[gold[row, at]]}
            place = {"sentence": name, "token": at, "text": token, "label": names[labels[row, at]]}
            rows.append(place | known | {"confidence": sure.get(at, "")})
    return rows
