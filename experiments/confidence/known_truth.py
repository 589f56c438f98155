"""Which measures tell "many answers are right" from "I do not know"? Every one against the true epistemic part.

    python experiments/confidence/known_truth.py --write                       # an hour of two cores
    python experiments/confidence/known_truth.py --twins 30 --unanswerable 15 --epochs 1 --measures single --tiny

A model is tuned on draws from answer distributions that are known (`jaxuq.questions.make_known_truth`), and asked. With
p* the truth and p the model's own probabilities of the options (exact, one pass an option; what it gives to anything
else is left out of p),

    total = CE(p*, p) = H(p*) + KL(p* || p) = aleatoric + epistemic.

Each measure is scored by how it ranks questions by the epistemic part: concordance, pooled and within strata of the
aleatoric part (0; below 0.8 nats; above), where a measure that only sees H(p) has no excuse; by how it tells questions
that are open and well told from those with one answer that is hardly told; and by right and wrong. Intervals: 95 %,
resampling pairs of twins. Writes `known.csv` and `known.md` into the output folder, or `known.md` beside this script.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from known_extra import bare_prompt, extra_measures, keep, option_log_probs

from jaxuq.confidence import MEASURES, StudyConfiguration, run_study
from jaxuq.confidence.measures import stored_facts
from jaxuq.language import FinetuneConfig, finetune, load_model
from jaxuq.networks import LoraConfig
from jaxuq.questions import KnownQuestion, Question, load_questions, make_known_truth
from jaxuq.study import read_sealed, write_table, write_text
from jaxuq.tuning import training_examples

FLOOR = 1e-6  # of a probability, so that the divergence is finite
RESAMPLES = 500
COMMAND = "python experiments/confidence/known_truth.py --write"


def main() -> None:
    """Tune, ask, compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--output", type=Path, default=Path("runs/known"))
    parser.add_argument("--twins", type=int, default=240)
    parser.add_argument("--unanswerable", type=int, default=120)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--measures", default="all")
    parser.add_argument("--samples", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", action="store_true", help="write known.md beside this script")
    parser.add_argument("--tiny", action="store_true", help="stop tuning after four steps: does it run?")
    options = parser.parse_args()
    size = {"seed": options.seed, "twins": options.twins, "unanswerable": options.unanswerable}
    known = make_known_truth(**size)
    model = load_model(options.model)
    drawn = load_questions("known", part="train", **size)
    examples = training_examples(model.tokenizer, [bare(one) for one in drawn.questions])
    config = FinetuneConfig(
        LoraConfig(rank=16), epochs=options.epochs, batch_size=4, max_length=256,
        learning_rate=options.learning_rate, max_steps=4 if options.tiny else None,
    )  # fmt: skip
    tuned = finetune(jax.random.key(options.seed), model, examples, config, checkpoint=options.output / "tuning").model
    once = keep(options.output, tuned, "once", lambda: option_log_probs(tuned, known))
    asked = load_questions("known", **size)
    asked = asked._replace(questions=[bare(one) for one in asked.questions])
    measures = options.measures.split(",")
    study = StudyConfiguration(
        model=f"{options.model}, tuned", data="known", output=options.output / "study", measures=tuple(measures),
        samples=0 if measures == ["single"] else options.samples, temperature=1.0, seed=options.seed, max_new_tokens=8,
    )  # fmt: skip
    folder = run_study(study, model=tuned, questions=asked)
    lines = {line["id"]: line for line in read_sealed(folder.path / "predictions.jsonl")}
    extra = {}
    if measures != ["single"]:
        extra = extra_measures(
            model, tuned, known, options.output, once, lines, people(known), config.adapters,
            [f"{one.question} {one.answers[0]}" for one in drawn.questions], options.seed,
        )  # fmt: skip
    predicted = np.exp(once)
    rows = compare(
        known, predicted, lines, stored_facts(json.loads((folder.path / "run.json").read_text())), extra, options.seed
    )
    write_table(options.output / "known.csv", rows, ("measure",))
    text = page(rows, known, predicted, lines)
    write_text((Path(__file__).parent if options.write else options.output) / "known.md", text)
    print(text)


def bare(question: Question) -> Question:
    """The question as it is asked here."""
    return question._replace(prompt=bare_prompt(question.question), chat=False)


def parts(one: KnownQuestion, predicted: np.ndarray) -> tuple[float, float]:
    """The aleatoric and the epistemic part of a question, nats; NaN where nothing is true."""
    truth = np.asarray(one.probabilities)
    if truth.sum() == 0:
        return float("nan"), float("nan")
    there = truth > 0
    logs = np.log(truth[there])
    aleatoric = -float(truth[there] @ logs)
    return aleatoric, -aleatoric - float(truth[there] @ np.log(np.maximum(predicted[there], FLOOR)))


def concordance(scores: np.ndarray, truth: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The share of pairs ordered as the truth orders them, ties count half; for each row of weights."""
    upper = truth[:, None] < truth[None]
    right = upper * ((scores[:, None] < scores[None]) + 0.5 * (scores[:, None] == scores[None]))
    found, all_ = (np.einsum("rn,rn->r", weights @ pairs, weights) for pairs in (right, upper.astype(float)))
    return np.where(all_ > 0, found / np.maximum(all_, 1e-9), np.nan)


def separates(scores: np.ndarray, positive: np.ndarray, negative: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """AUROC of the scores of some against those of others; of each row of weights."""
    chosen = positive | negative
    return concordance(scores[chosen], positive[chosen].astype(float), weights[:, chosen])


def people(known: Sequence[KnownQuestion]) -> np.ndarray:
    """The number of the pair of twins that each question belongs to."""
    ids = [min(one.id, one.twin) if one.twin else one.id for one in known]
    return np.unique(ids, return_inverse=True)[1]


def compare(
    known: Sequence[KnownQuestion],
    predicted: np.ndarray,
    lines: Mapping[str, Mapping],
    about: Mapping[str, Any],
    extra: Mapping[str, np.ndarray],
    seed: int,
) -> list[dict]:
    """A row a measure: its scores, each with its interval."""
    aleatoric, epistemic = np.array([parts(one, row) for one, row in zip(known, predicted)]).T
    kinds, told = np.array([one.kind for one in known]), np.array([one.told for one in known])
    groups = people(known)
    wrong = np.array([lines[one.id]["correct"] is False for one in known])
    right = np.array([lines[one.id]["correct"] is True for one in known])
    answerable = np.isfinite(epistemic)
    strata = {"eu": answerable, "eu_single": answerable & (aleatoric == 0),
              "eu_closed": answerable & (aleatoric > 0) & (aleatoric < 0.8),
              "eu_open": answerable & (aleatoric >= 0.8)}  # fmt: skip
    open_, unknown = (kinds == "ambiguous") & (told >= 8), (kinds == "single") & (told <= 2)
    nothing = kinds == "unanswerable"
    rng = np.random.default_rng(seed)
    count = groups.max() + 1
    drawn = [np.bincount(rng.integers(count, size=count), minlength=count)[groups] for _ in range(RESAMPLES)]
    weights = np.array([np.ones(len(known)), *drawn])
    rows = []
    oracle = {"the truth itself": epistemic, "entropy of p": -(predicted * np.log(np.maximum(predicted, FLOOR))).sum(1)}
    for name in [*oracle, *extra, *(name for name in about if name not in extra)]:
        if name in oracle or name in extra:
            values = oracle[name] if name in oracle else extra[name]
        else:
            given = [lines[one.id]["measures"].get(name) for one in known]
            values = -about[name].sign * np.array([np.nan if one is None else one for one in given], float)
        there = np.isfinite(values)
        if there.mean() < 0.5:
            continue

        found = {
            key: concordance(values[mask & there], epistemic[mask & there], weights[:, mask & there])
            for key, mask in strata.items()
        }
        found["open_or_unknown"] = separates(values, unknown & there, open_ & there, weights)
        found["open_or_nothing"] = separates(values, nothing & there, open_ & there, weights)
        found["wrong"] = separates(values, wrong & there, right & there, weights)
        row: dict = {"measure": name, "title": name if name in oracle else MEASURES[name].title, "n": int(there.sum())}
        for key, (value, *resampled) in found.items():
            ends = np.nanquantile(resampled, [0.025, 0.975]) if np.isfinite(value) else [np.nan] * 2
            row |= {key: float(value), f"{key}_lower": float(ends[0]), f"{key}_upper": float(ends[1])}
        rows.append(row)
    return rows


def page(
    rows: Sequence[dict], known: Sequence[KnownQuestion], predicted: np.ndarray, lines: Mapping[str, Mapping]
) -> str:
    """The page as Markdown, the best measure first."""
    named = {row["measure"] for row in rows}
    given = np.array([parts(one, row) for one, row in zip(known, predicted)])
    entropy = -(predicted * np.log(np.maximum(predicted, FLOOR))).sum(1)
    right = np.array([lines[one.id]["correct"] is True for one in known])
    text = f"""# Measures against known truth

    {COMMAND}

SmolLM2-135M, tuned by jaxuq on draws from answer distributions that are known, was asked about the same made-up people:
{len(known)} questions of six possible answers. Of an *ambiguous* one several answers are right, with stated
probabilities; its *single* twin has one; of the *unanswerable* ones nothing was ever told. How often the model was told
an answer goes from once to sixteen times. With p* the truth and p the model's own probabilities of the six,
CE(p*, p) = H(p*) + KL(p* || p): the aleatoric and the epistemic part, nats. To guess among six costs 1.79.

| | told | questions | right | aleatoric | epistemic | entropy of p |
|---|---|---|---|---|---|---|
"""
    for kind in ("single", "ambiguous", "unanswerable"):
        for told in sorted({one.told for one in known if one.kind == kind}):
            own = np.array([one.kind == kind and one.told == told for one in known])
            cells = [
                f"{value:.2f}" if np.isfinite(value) else "" for value in (*given[own].mean(0), entropy[own].mean())
            ]
            correct = "" if kind == "unanswerable" else f"{right[own].mean():.2f}"
            text += f"| {kind} | {told} | {own.sum()} | {correct} | {' | '.join(cells)} |\n"
    text += f"""
The model gives {1 - predicted.sum(1).mean():.3f} to what is none of the six.

How well each measure ranks questions by the epistemic part (concordance: 0.5 is chance, 1 perfect): all together, those
with one right answer, with some (aleatoric part below 0.8) and with many. Then AUROC: *open or unknown*, questions with
one answer told once or twice against ambiguous ones told eight times or more; *open or untold*, the unanswerable
against the same; *right or wrong*, of answers. 95 % intervals, resampling pairs of twins.

"""
    if "iterated_mutual_information" in named:
        asked = {name for line in lines.values() for name in line["measures"]}
        left = [
            f"{one.title} ({'which no answer shows' if name in asked else one.needs[0]})"
            for name, one in MEASURES.items() if name not in named
        ]  # fmt: skip
        text += f"""What a study leaves out is made beside it (`known_extra.py`): iterated prompting and pair
prediction, from the probabilities of all six answers after each of them was shown (the model was not trained on pairs);
an ensemble of the snapshots after each epoch of this tuning; confidence against alternatives (least over the tokens);
claim-conditioned probability, exact, since another of the six contradicts and nothing entails; Inv-Entropy over three
wordings of each question; the entropy of the mean prediction without examples and with two in either order; relative
confidence from comparisons with two other questions or more, in both orders; Focus on the answer's word, rare as it
is in the texts of the tuning; and, fitted on one half of the questions and used on the other, logistic regressions, a
probe, a distance, and FineCE's confidence before the answer's first word, integrated backward from its last. Not here,
for what they need: {"; ".join(left)}.

"""
    columns = {"eu": "all", "eu_single": "one answer", "eu_closed": "some", "eu_open": "many",
               "open_or_unknown": "open or unknown", "open_or_nothing": "open or untold",
               "wrong": "right or wrong"}  # fmt: skip
    text += f"| measure | {' | '.join(columns.values())} |\n" + "|---" * (1 + len(columns)) + "|\n"
    for row in sorted(rows, key=lambda row: -row["eu"]):
        cells = [
            f"{row[key]:.3f} [{row[f'{key}_lower']:.3f}, {row[f'{key}_upper']:.3f}]" if np.isfinite(row[key]) else "–"
            for key in columns
        ]
        text += f"| {row['title'].replace('|', chr(92) + '|')} | {' | '.join(cells)} |\n"
    return text


if __name__ == "__main__":
    main()
