"""The table of label models: how each is fitted and what it says, by one function for all.

A label model is an `Entry`; one of another package's is declared under `jaxuq.label_models`, one of a program's own is
put into `METHODS`. Its functions are

    run(rng_key, problem) -> Outcome        fits and labels
    template(text, settings) -> params      parameters of the right shapes, for reading a saved model
    predict(params, text, settings) -> LabelForecast
                                            labels text with given parameters

the last two only where fitted models can be saved, and what is known about it, all of it False unless said (but
`votes`): `random` (whether seeds differ), `neural` (whether it needs word vectors), `gold` (whether it sees gold
labels: a reference, no method), `votes` (whether it needs labelling functions to label).
"""

import functools
import importlib
import pathlib
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from jaxuq._entries import Entries, Entry
from jaxuq._keys import named_key
from jaxuq.tagging.benchmark.settings import Settings
from jaxuq.tagging.embedded import Embeddings
from jaxuq.tagging.finetuning import finetune_tagger
from jaxuq.tagging.label_model import LabelForecast, LabelModel
from jaxuq.tagging.majority_vote import best_consensus, majority_vote
from jaxuq.tagging.neural_layers import silence
from jaxuq.tagging.neural_model import EmbeddedText, NeuralFitted
from jaxuq.tagging.records import TaggingDataError, WeakLabels
from jaxuq.tagging.tagger import crf_tagger, hard_targets


class Problem(NamedTuple):
    """A data set as methods see it.

    Attributes:
        name: of the data set.
        fit: text to fit on.
        valid: text to choose epochs by.
        test: text to label.
        settings: options of the neural models.
        checkpoint: a folder for the state of a training that takes hours; None: none is kept.
        on_progress: called with what is trained, steps done, steps in all, and the loss.
    """

    name: str
    fit: EmbeddedText
    valid: EmbeddedText
    test: EmbeddedText
    settings: Settings
    checkpoint: pathlib.Path | None = None
    on_progress: Callable[[str, int, int, float], None] | None = None

    @property
    def num_labels(self) -> int:
        """Number of labels."""
        return len(self.fit.labels.label_names)


class Outcome(NamedTuple):
    """What a method gives.

    Attributes:
        forecast: labels of the test text.
        params: the fitted parameters, None if there are none.
        reliability: for each function what the model takes its reliability to be; None if it has no such notion.
        objective: what was maximised, by step or epoch.
        scores: validation scores by epoch.
        soft: labels of the text that was fitted on, for a second stage; None for gold access without them.
    """

    forecast: LabelForecast
    params: Any
    reliability: np.ndarray | None
    objective: np.ndarray
    scores: np.ndarray
    soft: np.ndarray | None


Run = Callable[[Key[Array, ""], Problem], Outcome]


def known(entry: Entry, what: str) -> bool:
    """Whether a label model is `random`, `neural`, `gold`, or needs `votes`.

    Args:
        entry: the label model.
        what: one of these.

    Returns:
        True or False.
    """
    return bool(entry.about.get(what, what == "votes"))


def _arrays(text: EmbeddedText, settings: Settings) -> tuple[Array, Array]:
    outside = "votes" if settings.outside == "votes" else "abstain"
    observations = silence(text.labels.observations, len(text.labels.label_names), outside)
    return jnp.asarray(observations, jnp.int32), jnp.asarray(text.labels.lengths, jnp.int32)


@functools.cache
def _compiled(model: LabelModel) -> tuple[Any, Any]:
    return jax.jit(model.fit), jax.jit(model.predict)


def _predict_votes(model: LabelModel, params: Any, text: EmbeddedText, settings: Settings) -> LabelForecast:
    return jax.device_get(_compiled(model)[1](params, *_arrays(text, settings)))


def _entry(
    name: str, title: str, style: tuple[str, str, str], functions: Mapping[str, Any], formula: int = 1, **about: bool
) -> Entry:
    drawn: dict[str, Any] = dict(zip(("colour", "line", "marker"), style))
    return Entry(name, title, functions, (name,), style=drawn, formula=formula, about=about)


def vote_functions(make: Callable[[int], LabelModel]) -> dict[str, Any]:
    """The functions of a label model that sees votes only.

    Args:
        make: gives the model for a number of labels.

    Returns:
        `run`, `template` and `predict`.
    """
    make = functools.cache(make)

    def run(rng_key: Key[Array, ""], problem: Problem) -> Outcome:
        model = make(problem.num_labels)
        arrays = _arrays(problem.fit, problem.settings)
        fitted = _compiled(model)[0](model.init(rng_key, *arrays), *arrays)
        emission = getattr(fitted.params, "log_emission", None)
        return Outcome(
            _predict_votes(model, fitted.params, problem.test, problem.settings),
            fitted.params,
            None if emission is None else _diagonal(np.exp(np.asarray(emission))),
            np.asarray(fitted.objective),
            np.zeros(0),
            np.asarray(_predict_votes(model, fitted.params, problem.fit, problem.settings).probabilities),
        )

    def template(text: EmbeddedText, settings: Settings) -> Any:
        model = make(len(text.labels.label_names))
        return model.init(jax.random.key(0), *_arrays(text, settings))

    def predict(params: Any, text: EmbeddedText, settings: Settings) -> LabelForecast:
        return _predict_votes(make(len(text.labels.label_names)), params, text, settings)

    return {"run": run, "template": template, "predict": predict}


def _diagonal(emission: np.ndarray) -> np.ndarray:
    """The mean probability of saying the label of an entity's token."""
    return np.diagonal(emission, axis1=1, axis2=2)[:, 1:].mean(axis=1)


def neural_functions(
    make: Callable[[int, Settings], Any],
    reliability: Callable[[Any, EmbeddedText, Settings], np.ndarray] | None = None,
) -> dict[str, Any]:
    """The functions of a label model that sees votes and word vectors.

    Args:
        make: gives the model for a number of labels and settings, once for all seeds, which share compiled programs.
        reliability: what fitted parameters take the reliability of each function to be; None: they have no such notion.

    Returns:
        `run`, `template` and `predict`.
    """
    make = functools.cache(make)

    def run(rng_key: Key[Array, ""], problem: Problem) -> Outcome:
        model = make(problem.num_labels, problem.settings)
        params = model.init(named_key(rng_key, "init"), problem.fit)
        fitted = model.fit(named_key(rng_key, "fit"), params, problem.fit, problem.valid)
        return Outcome(
            model.predict(fitted.params, problem.test),
            fitted.params,
            None if reliability is None else reliability(fitted.params, problem.test, problem.settings),
            np.asarray(fitted.objective),
            np.asarray(fitted.scores),
            np.asarray(model.predict(fitted.params, problem.fit).probabilities),
        )

    def template(text: EmbeddedText, settings: Settings) -> Any:
        return make(len(text.labels.label_names), settings).init(jax.random.key(0), text)

    def predict(params: Any, text: EmbeddedText, settings: Settings) -> LabelForecast:
        return make(len(text.labels.label_names), settings).predict(params, text)

    return {"run": run, "template": template, "predict": predict}


def _sparse_reliability(params: Any, text: EmbeddedText, settings: Settings) -> np.ndarray:
    from jaxuq.tagging.sparse_reliability import sparse_reliabilities

    values = sparse_reliabilities(params, text, settings.sparse)
    return values[:, : text.labels.observations.shape[2], 1:].mean(axis=(0, 2))


def _from_room(module: str, name: str) -> Callable[..., Any]:
    return getattr(importlib.import_module(f"jaxuq.tagging.{module}"), name)


def _chmm(num_labels: int, settings: Settings) -> Any:
    return _from_room("chmm", "chmm")(num_labels, options=settings.chmm, outside_votes=settings.chmm_outside)


def _chmm_fixed(num_labels: int, settings: Settings) -> Any:
    make = _from_room("chmm", "chmm_fixed_emissions")
    return make(num_labels, options=settings.chmm, outside_votes=settings.chmm_outside)


def _sparse(num_labels: int, settings: Settings) -> Any:
    return _from_room("sparse_chmm", "sparse_chmm")(
        num_labels, options=settings.sparse_options, sparse=settings.sparse, outside_votes=settings.sparse_outside
    )


def _connet(num_labels: int, settings: Settings) -> Any:
    return _from_room("connet", "connet")(num_labels, options=settings.connet, outside_votes=settings.outside)


def _best_consensus(rng_key: Key[Array, ""], problem: Problem) -> Outcome:
    data = problem.test.labels
    if data.labels is None:
        raise TaggingDataError(f"best-consensus reads gold labels, and the part of {problem.name} to label has none")
    labels = np.asarray(best_consensus(jnp.asarray(data.observations), jnp.asarray(data.labels)))
    forecast = LabelForecast(labels, hard_targets(labels, problem.num_labels))  # type: ignore[arg-type]
    return Outcome(forecast, None, None, np.zeros(0), np.zeros(0), None)


@functools.cache
def _tagger(num_labels: int, settings: Settings) -> Any:
    return crf_tagger(num_labels, options=settings.tagger)


@functools.cache
def _encoder_tagger(num_labels: int, settings: Settings) -> Any:
    from jaxuq.checkpoints import load_encoder

    return finetune_tagger(load_encoder(settings.encoder), num_labels, options=settings.tuning)


def teach(
    rng_key: Key[Array, ""], problem: Problem, targets: np.ndarray, *, encoder: bool = False
) -> tuple[LabelForecast, NeuralFitted]:
    """Train the tagger of the second stage on probabilities of the labels of `problem.fit`, or its encoder with it."""
    watched = {}
    if encoder:
        told = problem.on_progress
        watched = {
            "checkpoint": problem.checkpoint,
            "on_progress": None if told is None else functools.partial(told, f"{problem.name}, encoder"),
        }
    tagger = (_encoder_tagger if encoder else _tagger)(problem.num_labels, problem.settings)
    valid = problem.valid if problem.valid.labels.labels is not None else None
    params = tagger.init(named_key(rng_key, "init"), problem.fit)
    fitted = tagger.fit(named_key(rng_key, "fit"), params, problem.fit, targets, valid, **watched)
    return tagger.predict(fitted.params, problem.test), fitted


def _supervised(rng_key: Key[Array, ""], problem: Problem, *, name: str, encoder: bool) -> Outcome:
    gold = problem.fit.labels.labels
    if gold is None:
        raise TaggingDataError(f"{name} learns from gold labels, and the training part of {problem.name} has none")
    forecast, fitted = teach(rng_key, problem, hard_targets(gold, problem.num_labels), encoder=encoder)
    return Outcome(forecast, fitted.params, None, fitted.objective, fitted.scores, None)


def _tagger_template(text: EmbeddedText, settings: Settings) -> Any:
    return _tagger(len(text.labels.label_names), settings).init(jax.random.key(0), text)


def _tagger_predict(params: Any, text: EmbeddedText, settings: Settings) -> LabelForecast:
    return _tagger(len(text.labels.label_names), settings).predict(params, text)


def alternate(rng_key: Key[Array, ""], problem: Problem, run: Run, first: Outcome, rounds: int) -> Outcome:
    """CHMM-ALT: what the tagger says becomes a labelling function, the label model learns afresh, and so on.

    Args:
        rng_key: for all rounds.
        problem: the data set.
        run: of the label model.
        first: what it gave without the tagger.
        rounds: how often.

    Returns:
        The tagger's outcome after the last round; `soft` is the last label model's.
    """
    if first.soft is None:
        raise TaggingDataError("alternation needs a label model that labels the text it is fitted on")
    soft, outcome = first.soft, first
    for number in range(rounds + 1):
        forecast, fitted = teach(named_key(rng_key, "tagger", number), problem, soft)
        outcome = Outcome(forecast, fitted.params, None, fitted.objective, fitted.scores, soft)
        if number == rounds:
            break
        texts = (problem.fit, problem.valid, problem.test)
        fit, valid, test = (
            with_function(text, _tagger_predict(fitted.params, text, problem.settings)) for text in texts
        )
        again = run(named_key(rng_key, "label model", number), problem._replace(fit=fit, valid=valid, test=test))
        assert again.soft is not None
        soft = again.soft
    return outcome


def with_function(text: EmbeddedText, forecast: LabelForecast, name: str = "tagger") -> EmbeddedText:
    """The text with one more labelling function, which says what a forecast says."""
    data: WeakLabels = text.labels
    observations = np.concatenate([data.observations, np.asarray(forecast.labels)[..., None]], axis=-1)
    data = data._replace(observations=observations, function_names=(*data.function_names, name))
    return text._replace(labels=data)


def _taught(name: str, encoder: bool) -> dict[str, Any]:
    run = functools.partial(_supervised, name=name, encoder=encoder)
    return {"run": run, "template": _tagger_template, "predict": _tagger_predict}


METHODS: Entries[Entry] = Entries(
    "label model",
    "jaxuq.label_models",
    {
        entry.name: entry
        for entry in (
            _entry("majority-vote", "Majority vote", ("#777777", "solid", "s"), vote_functions(majority_vote),
                   random=True),
            _entry("snorkel", "Snorkel", ("#E69F00", "solid", "^"),
                   vote_functions(lambda n: _from_room("token_models", "snorkel")(n)), formula=2),
            _entry("dawid-skene", "Dawid–Skene", ("#CC79A7", "solid", "<"),
                   vote_functions(lambda n: _from_room("token_models", "dawid_skene")(n))),
            _entry("ibcc", "IBCC", ("#AA4499", "solid", ">"),
                   vote_functions(lambda n: _from_room("bayesian_combination", "ibcc")(n))),
            _entry("ebcc", "EBCC", ("#882255", "solid", "v"),
                   vote_functions(lambda n: _from_room("bayesian_combination", "ebcc")(n)), random=True),
            _entry("flying-squid", "FlyingSquid", ("#999933", "solid", "*"),
                   vote_functions(lambda n: _from_room("flying_squid", "flying_squid")(n))),
            _entry("hmm", "HMM", ("#0072B2", "solid", "D"), vote_functions(lambda n: _from_room("hmm", "hmm")(n))),
            _entry("chmm", "CHMM", ("#009E73", "solid", "o"), neural_functions(_chmm), random=True, neural=True),
            _entry("sparse-chmm", "Sparse-CHMM", ("#D55E00", "solid", "P"),
                   neural_functions(_sparse, _sparse_reliability), formula=2, random=True, neural=True),
            _entry("connet", "ConNet", ("#56B4E9", "solid", "d"), neural_functions(_connet), random=True, neural=True),
            _entry("best-consensus", "Best consensus (gold access)", ("#000000", "dotted", "s"),
                   {"run": _best_consensus}, gold=True),
            _entry("chmm-fixed-emissions", "CHMM, true emissions (gold access)", ("#117733", "dotted", "^"),
                   neural_functions(_chmm_fixed), random=True, neural=True, gold=True),
            _entry("supervised", "Supervised tagger (gold access)", ("#332288", "dotted", "D"),
                   _taught("supervised", False), random=True, neural=True, gold=True, votes=False),
            _entry("fine-tuned", "Fine-tuned encoder (gold access)", ("#661100", "dotted", "o"),
                   _taught("fine-tuned", True), random=True, neural=True, gold=True, votes=False),
        )
    },
)  # fmt: skip
"""By the name that `--model` takes."""
TAGGER = Entry("tagger", "Tagger", _taught("tagger", False), about={"random": True, "neural": True, "votes": False})
Level = Literal["label", "entity"]


def no_embeddings(data: WeakLabels) -> Embeddings:
    """Vectors of width one for methods that read none."""
    return [np.zeros((int(length), 1), np.float32) for length in data.lengths]
