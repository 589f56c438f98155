r"""Does an answer change more where its attention chain is begun again? A test of UQAC's premise by intervention.

At every token y_t of a written reasoning another token is put in its place, drawn from the model's own distribution
without y_t, and the rest is drawn at temperature 1. F_t is the probability that the final answer is another one then.
With p_t the probability of y_t, that of another answer where all from token t on is drawn again is

    C_t = p_t C_{t+1} + (1 - p_t) F_t,

C at the end of the reasoning being drawn directly; and a token's own share of it is C_t - C_{t+1}. Shares sum to the
whole, wherever a token stands; C falls from token to token, for an early one leaves more to be drawn again. So F and C,
and the shares too, are compared at one place: a token of a group with the nearest tokens outside of it, before and
after, interpolated to its place. A token that has none on one side is left out.

Groups: the attention chain; as many tokens of the highest entropy; outside are the other tokens of the reasoning that a
chain may take (no stop words, no punctuation).
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxuq.confidence import stop_tokens as chain_stops
from jaxuq.confidence import uqac
from jaxuq.language import (
    GREEDY,
    LanguageModel,
    Sampling,
    continue_generation,
    decode_tokens,
    encode_reply,
    generate,
    start_generation,
    stop_tokens,
)
from jaxuq.parallel import on_host, pad_rows, plan_rows
from jaxuq.questions import Question, read_answer
from jaxuq.reporting.canvas import GREY, INK, NORMAL, new_figure, panel_title, quiet
from jaxuq.study import write_json

OUTCOMES = {"other": "another token here", "redrawn": "drawn again from here", "share": "own share of that"}
GROUPS = {"chain": ("attention chain", "#D55E00"), "entropy": ("highest entropy", "#0072B2"),
          "rest": ("neither", GREY)}  # fmt: skip
NUMBERS = ("first", "second", "difference", "lower", "upper")
_ROWS = 64  # that are generated together
_CHUNK = 6  # questions that are kept together
_LONGEST = 64
_LIKELIEST = 20  # tokens that another one is drawn from
_RESAMPLES = 2000
_BINS = 5


def make_forks(
    model: LanguageModel, questions: Sequence[Question], folder: Path, redraws: int, seed: int
) -> list[dict[str, Any]]:
    """A record for each question whose answer has a reasoning and a chain; goes on from what is in the folder."""
    records: list[dict[str, Any]] = []
    for begin in range(0, len(questions), _CHUNK):
        part = list(questions[begin : begin + _CHUNK])
        file = folder / f"{begin:04d}.json"
        if not file.exists():
            found = _read(model, part, np.random.default_rng([seed, begin]))
            _fork(model, found, redraws, jax.random.fold_in(jax.random.key(seed), begin))
            folder.mkdir(parents=True, exist_ok=True)
            write_json(file, [{key: value for key, value in one.items() if key != "asked"} for one in found])
            print(f"forks: {begin + len(part)} of {len(questions)} questions", flush=True)
        records += json.loads(file.read_text())
    return records


def _read(model: LanguageModel, questions: Sequence[Question], rng: np.random.Generator) -> list[dict[str, Any]]:
    """Greedy answers: their tokens, probabilities, entropies and chains, and another token for each place."""
    answers = generate(model, [one.prompt for one in questions], max_new_tokens=_LONGEST, sampling=GREEDY, chat=False,
                       batch_size=_CHUNK, top_alternatives=_LIKELIEST)  # fmt: skip
    texts = [one.text.partition("\n")[0] for one in answers]
    kept = [at for at, one in enumerate(questions) if texts[at].strip() and read_answer(texts[at], one) is not None]
    if not kept:
        return []
    asked, given = [questions[at] for at in kept], [texts[at] for at in kept]
    records = []
    for at, one, text, found in zip(kept, asked, given, uqac(model, asked, given, measures=("uqac_attention",))):
        answer, tokens = answers[at], encode_reply(model.tokenizer, text)
        same = tokens == answer.tokens[: len(tokens)].tolist()
        # The last sentence only repeats the value that was found: it is no reasoning.
        last = text.rfind(" The answer is")
        lengths = np.cumsum([len(piece) for piece in found.pieces])
        end = int(np.searchsorted(lengths, last, side="right")) if last > 0 else int(np.argmax(found.answer))
        links = sorted({link.token for link in found.chain if 0 <= link.token < end})
        if not same or end < 2 or not links or found.found is None or answer.alternatives is None:
            continue
        others = []
        for token, candidates, log_probs in zip(tokens[:end], *answer.alternatives):
            weights = np.where(candidates == token, 0.0, np.exp(log_probs.astype(np.float64)))
            others.append(int(rng.choice(candidates, p=weights / weights.sum())))
        records.append({
            "id": one.id, "asked": one, "prompt": answer.prompt_tokens.tolist(), "tokens": [int(x) for x in tokens],
            "pieces": list(found.pieces), "answer": found.found.text, "end": end, "chain": links, "others": others,
            "probabilities": [float(np.exp(value)) for value in answer.log_probs[:end]],
            "entropies": [float(value) for value in answer.entropies[:end]],
            "stops": [bool(stop) for stop in chain_stops(found.pieces)[:end]],
        })  # fmt: skip
    return records


def _fork(model: LanguageModel, records: Sequence[dict[str, Any]], redraws: int, key: Any) -> None:
    """Add to each record the share of other answers with another token at each place, and from the reasoning's end."""
    begun = [(one, [*one["tokens"][:at], other]) for one in records for at, other in enumerate(one["others"])]
    begun += [(one, one["tokens"][: one["end"]]) for one in records]
    drawn = _continued(model, [one["prompt"] + tokens for one, tokens in begun], Sampling(1.0), redraws, key)
    shares = [
        float(np.mean([_changed(model, one, tokens + reply) for reply in replies]))
        for (one, tokens), replies in zip(begun, drawn)
    ]
    at = 0
    for one, last in zip(records, shares[len(shares) - len(records) :]):
        one["other"], one["last"] = shares[at : at + one["end"]], last
        at += one["end"]


def _changed(model: LanguageModel, record: dict[str, Any], tokens: Sequence[int]) -> bool:
    """Whether a response says something else than the first one; one that says nothing does."""
    text = decode_tokens(model.tokenizer, list(tokens)).partition("\n")[0]
    found = read_answer(text, record["asked"])
    return found is None or found.text != record["answer"]


def _continued(
    model: LanguageModel, prefixes: Sequence[Sequence[int]], sampling: Sampling, samples: int, key: Any
) -> list[list[list[int]]]:
    """Continuations of each prefix; those of similar length run together, so that few rows wait for others."""
    found: list[list[list[int]]] = [[] for _ in prefixes]
    stops = stop_tokens(model)
    for batch in plan_rows([len(one) for one in prefixes], max_rows=max(1, _ROWS // samples)):
        tokens, lengths = map(jnp.asarray, pad_rows([prefixes[at] for at in batch.rows], batch))
        indices = jnp.asarray(np.pad(batch.rows, (0, batch.size - len(batch.rows))))
        state = start_generation(
            model.functions, model.variables, tokens, lengths, jax.vmap(jax.random.fold_in, (None, 0))(key, indices),
            capacity=_LONGEST, sampling=sampling, stop_tokens=stops, num_samples=samples,
        )  # fmt: skip
        state = continue_generation(
            model.functions, model.variables, state, until=_LONGEST, sampling=sampling, stop_tokens=stops
        )
        made, counts = on_host((state.tokens, state.num_generated))
        for row, at in enumerate(batch.rows):
            rows = range(row * samples, (row + 1) * samples)
            found[at] = [made[one, : counts[one]].tolist() for one in rows]
    return found


def interpolated(values: np.ndarray, members: np.ndarray, others: np.ndarray) -> list[tuple[float, float]]:
    """The value of each member, and that of its nearest others before and after it, interpolated to its place."""
    found = []
    for at in members:
        before, after = others[others < at], others[others > at]
        if before.size and after.size:
            low, high = before[-1], after[0]
            weight = (at - low) / (high - low)
            found.append((float(values[at]), float((1 - weight) * values[low] + weight * values[high])))
    return found


def _groups(record: dict[str, Any]) -> dict[str, np.ndarray]:
    """Places in the reasoning by group."""
    entropies = np.asarray(record["entropies"])
    chain = np.asarray(record["chain"])
    highest = np.sort(np.argsort(-entropies, kind="stable")[: len(chain)])
    eligible = np.flatnonzero(~np.asarray(record["stops"]))
    return {"chain": chain, "entropy": highest, "eligible": eligible}


def _outcomes(record: dict[str, Any]) -> dict[str, np.ndarray]:
    other, redrawn = np.asarray(record["other"]), [record["last"]]
    for probability, share in zip(record["probabilities"][::-1], other[::-1]):
        redrawn.insert(0, probability * redrawn[0] + (1 - probability) * share)
    whole = np.asarray(redrawn)
    return {"other": other, "redrawn": whole[:-1], "share": whole[:-1] - whole[1:]}


def compare_groups(records: Sequence[dict[str, Any]], seed: int) -> list[dict[str, Any]]:
    """A row for each outcome and contrast: means over questions, and the paired difference with its 95 % interval."""
    rng = np.random.default_rng(seed)
    rows = []
    for outcome in OUTCOMES:
        found: dict[str, dict[int, tuple[float, float]]] = {"chain": {}, "entropy": {}}
        counts = {"chain": 0, "entropy": 0}
        for number, record in enumerate(records):
            values, groups = _outcomes(record)[outcome], _groups(record)
            for group in found:
                pairs = interpolated(values, groups[group], np.setdiff1d(groups["eligible"], groups[group]))
                counts[group] += len(pairs)
                if pairs:
                    found[group][number] = tuple(np.mean(pairs, axis=0))
        for group in found:
            pairs = np.array(list(found[group].values())).reshape(-1, 2)
            rows.append(_row(rng, outcome, f"{group} - others", pairs, counts[group]))
        both = sorted(set(found["chain"]) & set(found["entropy"]))
        excess = np.array([[found[group][number][0] - found[group][number][1] for group in ("chain", "entropy")]
                           for number in both]).reshape(-1, 2)  # fmt: skip
        rows.append(_row(rng, outcome, "chain - entropy", excess, min(counts.values())))
    return rows


def _row(rng: np.random.Generator, outcome: str, contrast: str, pairs: np.ndarray, tokens: int) -> dict[str, Any]:
    row = {"outcome": outcome, "contrast": contrast, "questions": len(pairs), "tokens": tokens}
    if not len(pairs):
        return row | dict.fromkeys(NUMBERS, float("nan"))
    drawn = pairs[rng.integers(len(pairs), size=(_RESAMPLES, len(pairs)))].mean(axis=1)
    lower, upper = np.quantile(drawn[:, 0] - drawn[:, 1], [0.025, 0.975])
    first, second = pairs.mean(axis=0)
    return row | {"first": first, "second": second, "difference": first - second, "lower": lower, "upper": upper}


def forking_section(records: Sequence[dict[str, Any]], seed: int) -> str:
    """The part of a page about forks, as Markdown."""
    text = "\n## Does the answer change more at the chain?\n\n"
    if not records:
        return text + "No answer has a reasoning and a chain.\n"
    whole = 100 * np.mean([_outcomes(one)["redrawn"][0] for one in records])
    last = 100 * np.mean([one["last"] for one in records])
    tokens, chains = sum(one["end"] for one in records), sum(len(one["chain"]) for one in records)
    groups = [_groups(one) for one in records]
    overlap = 100 * np.mean([np.isin(one["chain"], one["entropy"]).mean() for one in groups])
    places = np.mean([np.mean(np.asarray(one["chain"]) / one["end"]) for one in records])
    text += f"""At each of {tokens} tokens of the reasoning of {len(records)} answers another token was put in its
place, drawn from the model's own distribution without it, and the rest was drawn at temperature 1. From that and the
token's probability follows how often the answer changes where all from the token on is drawn again: {whole:.0f} % from
the first token on, {last:.0f} % from the last sentence on. {chains} tokens are in attention chains; the mean place of a
chain is at {places:.2f} of the reasoning, and {overlap:.0f} % of it are among as many tokens of the highest entropy.

An early token leaves more to be drawn again. So a token is compared with the nearest tokens outside of its group (no
stop words), before and after it, interpolated to its place; its own share is what is drawn again there less that at
the next token. Means over questions; differences are paired, with 95 % bootstrap intervals over questions. In the rows
`chain - entropy` the columns are how far each is above the tokens around it.

| the answer changes, % | of | first | second | difference [95 %] | questions | tokens |
|---|---|---|---|---|---|---|
"""
    for row in compare_groups(records, seed):
        first, second, middle, lower, upper = (
            100 * row[key] for key in ("first", "second", "difference", "lower", "upper")
        )
        text += (f"| {OUTCOMES[row['outcome']]} | {row['contrast']} | {first:.1f} | {second:.1f} | "
                 f"{middle:+.1f} [{lower:+.1f}, {upper:+.1f}] | {row['questions']} | {row['tokens']} |\n")  # fmt: skip
    return text + "\n![Changed answers by place and group](reasoner-forking.png)\n"


def forking_figure(records: Sequence[dict[str, Any]], seed: int) -> Any:
    """Changed answers by place in the reasoning for each group, and the differences with their intervals."""
    figure = new_figure(10.0, 6.2)
    grid = figure.subplots(2, 3, height_ratios=(3, 2))
    rows = compare_groups(records, seed) if records else []
    for column, (outcome, title) in enumerate(OUTCOMES.items()):
        above, below = grid[:, column]
        for axes in (above, below):
            quiet(axes)
        panel_title(above, title, INK)
        for group, (label, colour) in GROUPS.items():
            points = [point for record in records for point in _points(record, outcome, group)]
            places, values = np.array(points).reshape(-1, 2).T
            bins = np.minimum((places * _BINS).astype(int), _BINS - 1)
            there = [number for number in range(_BINS) if (bins == number).any()]
            means = [100 * values[bins == number].mean() for number in there]
            above.plot([(number + 0.5) / _BINS for number in there], means, "o-", color=colour, label=label)
        above.set_xlabel("place in the reasoning", fontsize=NORMAL)
        own = [row for row in rows if row["outcome"] == outcome]
        for at, row in enumerate(own):
            below.plot([100 * row["lower"], 100 * row["upper"]], [at, at], color=INK, linewidth=2)
            below.plot(100 * row["difference"], at, "o", color=INK)
        below.axvline(0, color=GREY, linewidth=1)
        below.set_yticks(range(len(own)), [row["contrast"] if column == 0 else "" for row in own], fontsize=NORMAL)
        below.set_ylim(len(own) - 0.5, -0.5)
        below.set_xlabel("difference, percentage points", fontsize=NORMAL)
    grid[0, 0].set_ylabel("changed answers, %", fontsize=NORMAL)
    grid[0, 0].legend(fontsize=NORMAL, frameon=False)
    return figure


def _points(record: dict[str, Any], outcome: str, group: str) -> list[tuple[float, float]]:
    groups, values = _groups(record), _outcomes(record)[outcome]
    rest = np.setdiff1d(groups["eligible"], np.union1d(groups["chain"], groups["entropy"]))
    return [(at / record["end"], float(values[at])) for at in (rest if group == "rest" else groups[group])]
