"""A model that reasons, and Tables 3.1 and 3.2 of the dissertation on it.

    python experiments/confidence/reasoner.py --output runs/reasoner           # an hour and a half on busy cores
    python experiments/confidence/reasoner.py --output runs/reasoner --write   # also writes reasoner.md, its figures
    python experiments/confidence/reasoner.py --output runs/tiny --tiny        # does it run?

SmolLM2-135M is tuned on written-out arithmetic (`arithmetic.py`), and answers other expressions without an example in
its prompt. How large their numbers are is chosen on a validation part, so that about half of the answers are right.
Then every measure of one answer and of five samples is scored as the dissertation scores it, the attention is taken out
of the chain (Table 3.2), and answers are begun again in their middle (`forking.py`). Called again, it goes on.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from arithmetic import make_arithmetic
from forking import make_forks
from reasoner_page import figures, page

from jaxuq.confidence import StudyConfiguration, balanced_scores, run_study, uqac
from jaxuq.language import (
    GREEDY,
    FinetuneConfig,
    FinetuneProgress,
    LanguageModel,
    finetune,
    generate,
    load_model,
    merge_adapters,
)
from jaxuq.networks import LoraConfig
from jaxuq.questions import Question, QuestionSet, grade
from jaxuq.reporting.canvas import figure_bytes
from jaxuq.study import read_sealed, write_json, write_text
from jaxuq.tuning import training_examples

TRAINED = (9, 30)  # numbers of the expressions that it is tuned on
LEVELS = (6, 9, 15, 30, 50)  # and those that it may be asked about
LONGEST = 64  # tokens of an answer
ADAPTERS = LoraConfig(rank=16, targets=("query", "key", "value", "output", "gate", "up", "down"))
KEEPS, ABOVE = (8, 9, 10, 11, 12), (0.0, 0.1, 0.2)  # of the similarity filter, as section 3.5.5 varies them


def main() -> None:
    """Tune, choose a level, ask, compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--output", type=Path, default=Path("runs/reasoner"))
    parser.add_argument("--examples", type=int, default=1500, help="to tune on")
    parser.add_argument("--questions", type=int, default=300, help="to be asked")
    parser.add_argument("--validation", type=int, default=60, help="questions a level")
    parser.add_argument("--samples", type=int, default=5)
    parser.add_argument("--temperature", type=float, default=0.3, help="of the samples, as in UQAC's released code")
    parser.add_argument("--forks", type=int, default=60, help="questions whose answers are begun again in their middle")
    parser.add_argument("--redraws", type=int, default=2, help="at each token")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tiny", action="store_true", help="two steps of tuning and a dozen questions: does it run?")
    parser.add_argument("--write", action="store_true", help="write reasoner.md and its figures beside this script")
    options = parser.parse_args()
    if options.tiny:
        options.examples, options.questions, options.validation = 60, 12, 4
        options.samples, options.forks, options.redraws = 2, 3, 2
    base = load_model(options.model)
    model = tuned_model(base, options)
    level = chosen_level(model, options)
    asked = make_arithmetic("test", options.questions, (level["largest"],), options.seed)
    folders = [study(model, asked, options, attention) for attention in (True, False)]
    folders.append(asked_before(base, asked, options))
    settings = varied_settings(model, asked, options)
    forks = make_forks(model, asked[: options.forks], options.output / "forking", options.redraws, options.seed)
    about = {"level": level, "rank": ADAPTERS.rank, **vars(options)}
    text = page(about, folders, settings, forks)
    print(text)
    write_text(options.output / "reasoner.md", text)
    here = Path(__file__).parent if options.write else options.output
    for name, figure in figures(folders[0], settings, forks, options.seed).items():
        (here / f"reasoner-{name}.png").write_bytes(figure_bytes(figure, "png"))
    if options.write:
        write_text(here / "reasoner.md", text)


def tuned_model(model: LanguageModel, options: argparse.Namespace) -> LanguageModel:
    """The model after tuning; goes on from its checkpoints, and is there at once when they are complete."""
    examples = training_examples(model.tokenizer, make_arithmetic("train", options.examples, TRAINED, options.seed))
    config = FinetuneConfig(
        ADAPTERS, batch_size=4, max_length=256, learning_rate=1e-3, max_steps=2 if options.tiny else None
    )

    def told(progress: FinetuneProgress) -> None:
        if progress.step % 5 == 0:
            speed = f"{progress.tokens_per_second:.0f} tokens a second, {progress.seconds:.0f} s"
            print(f"step {progress.step} of {progress.num_steps}, loss {progress.loss:.3f}, {speed}", flush=True)

    tuned = finetune(
        jax.random.key(options.seed), model, examples, config, checkpoint=options.output / "tuning",
        checkpoint_steps=10, on_progress=told,
    ).model  # fmt: skip
    return model._replace(params=merge_adapters(model.params, tuned.lora, ADAPTERS))


def chosen_level(model: LanguageModel, options: argparse.Namespace) -> dict[str, Any]:
    """The level at which about half of the answers to validation questions are right, and the share at each."""
    file = options.output / "level.json"
    if file.exists():
        return json.loads(file.read_text())
    shares = {}
    for largest in LEVELS:
        questions = make_arithmetic("valid", options.validation, (largest,), options.seed)
        answers = generate(model, [one.prompt for one in questions], max_new_tokens=LONGEST, sampling=GREEDY,
                           chat=False, batch_size=32)  # fmt: skip
        right = [_first_line_right(answer.text, one) for answer, one in zip(answers, questions)]
        shares[str(largest)] = float(np.mean(right))
        print(f"numbers to {largest}: {shares[str(largest)]:.3f} of {len(right)} right", flush=True)
    largest = min(LEVELS, key=lambda level: abs(shares[str(level)] - 0.5))
    found = {"largest": largest, "shares": shares, "questions": options.validation}
    write_json(file, found)
    return found


def _first_line_right(text: str, question: Question) -> bool:
    return grade(text.partition("\n")[0], question).correct is True


def study(model: LanguageModel, asked: Sequence[Question], options: argparse.Namespace, attention: bool) -> Path:
    """The confidence study; without attention only what it changes."""
    name = "study" if attention else "without"
    configuration = StudyConfiguration(
        model=f"{options.model}, tuned", data="arithmetic", output=options.output / name,
        measures=("single", "samples", "stated_confidence") if attention else ("uqac", "uqac_similarity"),
        samples=options.samples if attention else 0, temperature=options.temperature, seed=options.seed,
        max_new_tokens=LONGEST, batch_size=20, use_attention=attention,
    )  # fmt: skip
    questions = QuestionSet("arithmetic", list(asked), [], "line", True)
    return run_study(configuration, model=model, questions=questions).path


def asked_before(base: LanguageModel, asked: Sequence[Question], options: argparse.Namespace) -> Path:
    """The model before tuning, which still does what it is told, asked how sure it is of the tuned one's answers."""
    lines = {line["id"]: line["response"] for line in read_sealed(options.output / "study" / "predictions.jsonl")}
    answered = [one._replace(response=lines[one.id]) for one in asked if lines[one.id].strip()]
    configuration = StudyConfiguration(
        model=options.model, data="arithmetic", output=options.output / "before", measures=("stated_confidence",),
        samples=0, seed=options.seed, max_new_tokens=LONGEST, batch_size=20,
    )  # fmt: skip
    questions = QuestionSet("arithmetic", answered, [], "line", True)
    return run_study(configuration, model=base, questions=questions).path


def varied_settings(
    model: LanguageModel, asked: Sequence[Question], options: argparse.Namespace
) -> list[dict[str, float]]:
    """AUROC and ECE of P~sim on all answers as the filter's two numbers vary, from one reading of the answers.

    The threshold is on the mean cosine over the answer's tokens, as in the released code.
    """
    file = options.output / "settings.json"
    if file.exists():
        return json.loads(file.read_text())
    lines = {line["id"]: line for line in read_sealed(options.output / "study" / "predictions.jsonl")}
    read = [one for one in asked if lines[one.id]["correct"] is not None and lines[one.id]["response"].strip()]
    responses = [lines[one.id]["response"] for one in read]
    found = uqac(model, read, responses, measures=("uqac_similarity",), batch_size=20)
    assessed = [one for one in found if one.found is not None]
    correct = jnp.asarray([float(lines[one.id]["correct"]) for one, its in zip(read, found) if its.found is not None])
    rows = []
    for most in KEEPS:
        for threshold in ABOVE:
            confidences = []
            for one in assessed:
                links = sorted(one.chain, key=lambda link: -link.similarity)[:most]
                least = threshold * max(int(one.answer.sum()), 1)
                kept = [link.probability for link in links if link.similarity > least]
                confidences.append(float(np.exp(one.log_probs[one.answer].sum()) * np.prod(kept)))
            values = jnp.asarray(confidences)
            scores = balanced_scores(jax.random.key(options.seed), values, correct)
            rows.append({"kept": most, "above": threshold, "auroc": float(scores.auroc.mean()),
                         "ece": float(scores.calibration_error.mean())})  # fmt: skip
    write_json(file, rows)
    return rows


if __name__ == "__main__":
    main()
