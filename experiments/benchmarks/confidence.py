"""What all measures of one answer cost beside generating it: SmolLM2-135M, 256 new tokens, float32, this machine.

    python experiments/benchmarks/confidence.py [--model smollm2] [--new-tokens 256] [--rows 8] [--repeats 3]

Prints seconds and shares of the time of plain generation (no states kept, no measures). The best of the repeats counts,
since other work on a machine only ever adds time; the measurements take turns. Compilation is left out. The answer is
the last two words before the end of the text, so that chains may reach back through all of it.
"""

import argparse
import functools
import json
import time

import jax
import jax.numpy as jnp
import numpy as np

import jaxuq
from jaxuq import confidence
from jaxuq.confidence.text.answering import locate_answer, make_texts
from jaxuq.confidence.text.generating import generate_greedy
from jaxuq.confidence.text.marginal import marginal_confidence
from jaxuq.confidence.text.measuring import measured, reading_fields
from jaxuq.confidence.text.passes import generated_pass, text_positions
from jaxuq.confidence.text.reading import ALL_NEEDS, read_pass
from jaxuq.confidence.text.token_quantities import looks_back, reductions_of
from jaxuq.language import encode_prompt, load_model
from jaxuq.networks import as_model, capability
from jaxuq.questions import Question

QUESTION = "A farmer has {} sheep and buys 25 more. Explain step by step how many sheep the farmer has, and why."


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--new-tokens", type=int, default=256)
    parser.add_argument("--rows", type=int, default=1, help="answers at once")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", help="also write the seconds here")
    options = parser.parse_args()

    model = load_model(options.model)
    decoder, variables = model.decoder, model.variables
    rows = options.rows
    questions = [QUESTION.format(17 + row) for row in range(rows)]
    prompts = [encode_prompt(model.tokenizer, question) for question in questions]
    greedy = functools.partial(generate_greedy, model, prompts, max_new_tokens=options.new_tokens, stops=(), rows=rows)
    generation, tokens = greedy()
    marks = np.zeros(len(tokens[0]), bool)
    marks[-4:-2] = True
    responses = [
        locate_answer(model, np.array(prompt, np.int32), answer, Question("", question, kind="text"))
        for prompt, answer, question in zip(prompts, tokens, questions)
    ]
    texts = make_texts([one._replace(answer=marks) for one in responses])
    single = [one for one in confidence.chosen_measures(["single"]) if one.name != "uqac" and "score" in one.functions]
    watched = functools.partial(greedy, reductions=reductions_of(single))
    generation, _ = watched()
    kept = generated_pass(decoder, generation, texts)
    read = functools.partial(read_pass, decoder, variables, texts, kept, reductions=reductions_of(single))
    reading, attention = read(), capability(as_model(decoder), "attention")
    back = jax.jit(
        lambda queries, keys: looks_back(
            queries, jnp.stack(keys) if isinstance(keys, tuple) else keys, text_positions(texts), attention
        )
    )
    stages = {
        "generate, nothing kept": lambda: greedy(keep=False)[0].tokens,
        "generate, states kept": lambda: greedy()[0].tokens,
        "generate, states kept, distributions reduced": lambda: watched()[0].tokens,
        "put the pass in order": lambda: generated_pass(decoder, generation, texts),
        "read": lambda: read(needs=ALL_NEEDS - {"substitutions"}),
        "  of it: RAUQ, AttentionScore": lambda: back(kept.queries, kept.cache.keys),
        "read, with candidates for P~": read,
        "measures from arrays": lambda: measured(
            single, reading_fields(texts, reading, answered=texts.answer.any(1), published=False), [{}] * rows
        ),
        "substitutions (P~)": lambda: marginal_confidence(decoder, variables, texts, reading, kept.cache),
    }
    best = dict.fromkeys(stages, float("inf"))
    for repeat in range(options.repeats + 1):
        for name, stage in stages.items():
            began = time.perf_counter()
            jax.block_until_ready(stage())
            if repeat:
                best[name] = min(best[name], time.perf_counter() - began)
    plain, watching = best["generate, nothing kept"], best["generate, states kept, distributions reduced"]
    best["keeping states and reducing"] = max(0.0, watching - plain)
    best["all but P~"] = sum(
        best[name] for name in ("keeping states and reducing", "put the pass in order", "read", "measures from arrays")
    )
    candidates = max(0.0, best["read, with candidates for P~"] - best["read"])
    best["all measures of one answer"] = best["all but P~"] + candidates + best["substitutions (P~)"]
    tried, length = int(reading.changes.valid.sum()), int(reading.chain.tokens.sum())
    print(f"{rows} answers at once, {len(prompts[0])} tokens of prompt, {len(tokens[0])} of answer; chains of {length},"
          f" {tried} substitutions")  # fmt: skip
    for name, seconds in best.items():
        print(f"{name:46s}{seconds:9.3f} s {seconds / plain:8.1%}")
    if options.json:
        with open(options.json, "w") as file:
            json.dump(best, file, indent=2)


if __name__ == "__main__":
    jaxuq.use_huge_pages()  # for all that is timed here
    main()
