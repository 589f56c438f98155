"""ELREA and the baselines of appendix D.4: which adapters a method has, and what weight each has for each question."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, PyTree

from jaxuq._entries import Entries, Entry, entry_of, given_entries, identity_of
from jaxuq._keys import named_key
from jaxuq.experts.errors import ExpertsError
from jaxuq.experts.gating import train_gates
from jaxuq.experts.mixture import Mixing
from jaxuq.experts.pipeline.configuration import EvaluateConfiguration, tuning_of
from jaxuq.experts.pipeline.costs import costs_of
from jaxuq.experts.pipeline.features import Features, find_clusters, read_clusters, read_features, write_features
from jaxuq.experts.pipeline.records import prompt_text
from jaxuq.experts.pipeline.training import Told, train_cluster, train_named
from jaxuq.experts.pipeline.weights import Context, feature_weights, gradient_weights, members_of
from jaxuq.experts.routing import ROUTINGS
from jaxuq.study import read_arrays, write_arrays


class Plan(NamedTuple):
    """How a method answers questions.

    Attributes:
        members: names of adapters; empty: the model without any.
        weights: of the members for every question.
        mix: None: logits are added; else how adapters are mixed within layers.
        gates: of MoLE.
        samples: answers to vote over; 1: one greedy answer.
        unrouted: questions without a direction, which the base adapter answers.
    """

    members: tuple[str, ...]
    weights: Float[np.ndarray, "questions members"]
    mix: Mixing | None = None
    gates: PyTree | None = None
    samples: int = 1
    unrouted: int = 0


def elrea(
    context: Context,
    *,
    top_k: int | None = None,
    dimension: int | None = None,
    routing: str | Entry | Callable[..., Any] = "elrea",
) -> Plan:
    """Weights over the experts of gradient clusters and the base adapter, of Eq 5.9 or by another rule."""
    weights, unrouted = gradient_weights(context, top_k=top_k, dimension=dimension, routing=routing)
    return Plan(("base", *_experts(context)), weights, unrouted=unrouted)


def _base_model(context: Context) -> Plan:
    return Plan((), _ones(context, 1))


def _base_adapter(context: Context) -> Plan:
    return Plan(("base",), _ones(context, 1))


def _dataset_adapters(context: Context) -> Plan:
    """An adapter for each source of the training data, which answers the questions of that source alone."""
    sources = sorted({record.source for record in context.run.data.records})
    if sources == [""]:
        raise ExpertsError("dataset-adapters needs data with a source on each line ('source', 'dataset' or 'task')")
    members = []
    for source in sources:
        own = [
            one for one, record in zip(context.run.data.examples, context.run.data.records) if record.source == source
        ]
        members.append(f"dataset-{len(members)}")
        _train(context, own, members[-1], "datasets")
    place = {source: number for number, source in enumerate(sources)}
    weights = np.zeros((len(context.questions.records), len(sources)), np.float32)
    for row, record in enumerate(context.questions.records):
        if record.source not in place:
            raise ExpertsError(f"there is no training data of {record.source!r}, which questions are from")
        weights[row, place[record.source]] = 1.0
    return Plan(tuple(members), weights)


def _random_clusters(context: Context) -> Plan:
    """Experts of clusters of the same sizes, drawn at random, with equal weights."""
    labels = np.random.default_rng([context.run.configuration.seed, 7]).permutation(context.run.found.labels)
    return _uniform(context, ("base", *_clustered(context, labels, "random")))


def _instruction_embedding(context: Context) -> Plan:
    """Clusters and weights by sentence vectors of the instructions in place of their gradients."""
    run, folder = context.run, context.run.path
    told = context.on_progress
    vectors = read_features(folder / "features" / "embedding.npz")
    if vectors is None:
        vectors = _embedded([prompt_text(record) for record in run.data.records], told)
        write_features(folder / "features" / "embedding.npz", vectors)
    found = read_clusters(folder, "clusters-embedding")
    if found is None:
        found = find_clusters(run.configuration, vectors, folder / "clusters-embedding.npz")
    members = ("base", *_clustered(context, found.labels, "embedding"))
    asked = _embedded([prompt_text(record) for record in context.questions.records], told)
    weights, unrouted = feature_weights(asked, found.centroids, len(context.questions.records))
    return Plan(members, weights, unrouted=unrouted)


def _uniform_weights(context: Context) -> Plan:
    return _uniform(context, ("base", *_experts(context)))


def _moe_routing(context: Context) -> Plan:
    return elrea(context)._replace(mix="routing")


def _moe_merging(context: Context) -> Plan:
    return elrea(context)._replace(mix="merging")


def _mole(context: Context) -> Plan:
    plan = _uniform_weights(context)
    run = context.run
    file = run.path / "adapters" / "mole.npz"
    stored = read_arrays(file)
    if stored is None:
        config = tuning_of(run.configuration, "gates", run.model.decoder.lora)
        told = None if context.on_progress is None else _step(context.on_progress, "gates")
        with costs_of(run.path, "gates"):
            key = named_key(jax.random.key(run.configuration.seed), "gates")
            experts = members_of(context.run, plan.members)
            gates = train_gates(key, run.model, experts, run.data.examples, config, on_progress=told)
        stored = {
            f"{layers}/{name}": np.asarray(one["gate"])
            for layers, group in gates.items()
            for name, one in group.items()
        }
        write_arrays(file, stored)
    gates: dict[str, Any] = {}
    for path, gate in stored.items():
        layers, name = path.split("/")
        gates.setdefault(layers, {})[name] = {"gate": jnp.asarray(gate)}
    return plan._replace(mix="gate", gates=gates)


def _lora_ensemble(context: Context) -> Plan:
    """The base adapter and others that differ in their random numbers."""
    members = [f"member-{number}" for number in range(1, context.options.ensemble + 1)]
    for name in members:
        _train(context, context.run.data.examples, name, "members")
    return _uniform(context, ("base", *members))


def _self_consistency(context: Context) -> Plan:
    return _base_adapter(context)._replace(samples=context.options.samples)


_PLANS: dict[str, tuple[str, Callable[[Context], Plan]]] = {
    "base-model": ("Model without adapters", _base_model),
    "base-adapter": ("Base adapter", _base_adapter),
    "dataset-adapters": ("Adapter of each data set", _dataset_adapters),
    "moe-routing": ("MoE routing", _moe_routing),
    "moe-merging": ("MoE merging", _moe_merging),
    "mole": ("MoLE", _mole),
    "lora-ensemble": ("LoRA ensemble", _lora_ensemble),
    "self-consistency": ("Self-consistency", _self_consistency),
    "instruction-embedding": ("Instruction embedding", _instruction_embedding),
    "random-clusters": ("Random clusters", _random_clusters),
    "uniform-weights": ("Uniform weights", _uniform_weights),
    "elrea": ("ELREA", elrea),
}
METHODS: Entries[Entry] = Entries(
    "method",
    "jaxuq.expert_methods",
    {name: Entry(name, title, {"plan": plan}) for name, (title, plan) in _PLANS.items()},
    role="plan",
)
"""Methods by name, in the order of the dissertation's tables. The functions of an entry hold `plan(Context) -> Plan`.
Put yours in, or declare an entry point of the group."""


class Method(NamedTuple):
    """A row of an evaluation's tables.

    Attributes:
        name: of the row.
        plan: see `METHODS`.
        identity: what its answers follow from besides the training, the questions and the options.
    """

    name: str
    plan: Callable[[Context], Plan]
    identity: Any


def methods_of(
    options: EvaluateConfiguration, *, methods: Mapping[str, Any] | None = None, routing: Any = None
) -> list[Method]:
    """What an evaluation runs: ELREA, the baselines asked for, its sweeps, and what the caller gave.

    Args:
        options: of the evaluation.
        methods: see `run_evaluation`.
        routing: see `run_evaluation`.

    Returns:
        Methods; sweeps are called `elrea-top-2`, `elrea-512`.

    Raises:
        ExpertsError: an unknown baseline; names near ones.
        OptionError: what is given is no function or entry, or has the name of something else.
    """
    if routing is None or isinstance(routing, Mapping):
        rules = given_entries(routing, ROUTINGS)
    else:
        rules = given_entries({entry_of(ROUTINGS, routing).name: routing}, ROUTINGS)
    asked = [name.strip() for name in options.baselines.split(",") if name.strip() not in ("", "none")]
    if "all" in asked:
        asked = list(METHODS)
    unknown = [name for name in asked if name not in METHODS]
    if unknown:
        raise ExpertsError(f"--baselines {unknown[0]}: expected all, none, or some of {', '.join(METHODS)}")
    own = given_entries(methods, METHODS)
    chosen = [name for name in own if name in asked or name == "elrea" or name in (methods or {})]
    rows = [Method(name, own[name].functions["plan"], identity_of(own[name])) for name in chosen]
    named = [name.strip() for one in options.routing for name in one.split(",") if name.strip() not in ("", "elrea")]
    for name in dict.fromkeys([*named, *(name for name in rules if name not in ROUTINGS)]):
        rows.append(Method(name, functools.partial(elrea, routing=rules[name]), ["routing", identity_of(rules[name])]))
    sweeps = {f"elrea-top-{k}": functools.partial(elrea, top_k=k) for k in options.top_k}
    sweeps |= {f"elrea-{dimension}": functools.partial(elrea, dimension=dimension) for dimension in options.dimension}
    taken = [row.name for row in rows]
    twice = next((name for name in taken if taken.count(name) > 1 or name.startswith("elrea-")), None)
    if twice is not None:
        raise ExpertsError(f"{twice!r} is the name of another row of the tables; give yours another")
    return rows + [Method(name, plan, name) for name, plan in sweeps.items()]


def _embedded(texts: list[str], on_progress: Told | None) -> Features:
    from jaxuq.experts.sentences import embed_sentences

    told = None if on_progress is None else _step(on_progress, "sentence vectors")
    rows = embed_sentences(texts, on_progress=told)
    return Features(rows, np.arange(len(rows)), int((~rows.any(1)).sum()))


def _step(on_progress: Told, name: str) -> Callable[[int, int], None]:
    return lambda done, total: on_progress(name, done, total)


def _ones(context: Context, members: int) -> np.ndarray:
    return np.ones((len(context.questions.records), members), np.float32)


def _uniform(context: Context, members: tuple[str, ...]) -> Plan:
    return Plan(members, _ones(context, len(members)))


def _experts(context: Context) -> tuple[str, ...]:
    return tuple(f"expert-{cluster}" for cluster in range(len(context.run.found.centroids)))


def _clustered(context: Context, labels: np.ndarray, prefix: str) -> list[str]:
    run = context.run
    given = (run.configuration, run.model, run.base, run.data, labels, prefix)
    return [train_cluster(*given, cluster, context.on_progress) for cluster in range(int(labels.max()) + 1)]


def _train(context: Context, examples: list[Any], name: str, step: str) -> None:
    run = context.run
    train_named(run.configuration, run.model, examples, name, "base", step=step, on_progress=context.on_progress)
