"""Make the golden files of lm-evaluation-harness: samples that its own `EvaluationTracker` writes, one file a task.

    python tests/confidence/golden/make_harness.py

Needs lm-eval 0.4.13 (MIT). The model is none: what it answers is a table here, so a file's numbers are known. Every
task is small and of another form: choices, choices with the likelihoods of their texts alone, choices that stand in the
question, texts with two filters and three repeats, a vote over repeats, a metric of degrees, one continuation, and a
whole text.
"""

import json
import pathlib
import tempfile

COLOURS = ("red", "green", "ultramarine blue")
KNOWN = (  # log-likelihoods of the colours after a question, whether each is what greedy decoding says, which is right
    ((-0.5, -1.5, -2.5), (True, False, False), 0),
    ((-0.7, -0.6, -2.0), (False, False, False), 1),
    ((-1.0, -2.0, -1.2), (False, False, False), 2),
    ((-3.0, -0.25, -1.75), (False, True, False), 0),
    ((-2.5, -4.5, -0.125), (False, False, True), 2),
    ((-0.9, -1.1, -1.3), (False, False, False), 1),
)
ALONE = {" red": -0.4, " green": -3.0, " ultramarine blue": -4.0}  # without a question before them
SUMS = (  # a sum, and what is said of it
    ((2, 3), ("2 + 3 makes 5.\n#### 5", "It is 5.\n#### 5", "Five, so 6.\n#### 6")),
    ((4, 4), ("4 + 4 makes 9.\n#### 9", "4 + 4 makes 8.\n#### 8", "4 + 4 is 8.\n#### 8")),
    ((7, 5), ("7 + 5 is 12, I think", "7 + 5 makes 12.\n#### 12", "#### 12")),
    ((600, 500), ("Together 1,100.\n#### 1,100", "#### 1100", "#### 1,000")),
    ((1, 0), ("1 + 0 makes 10.\n#### 10", "#### 10", "#### 10")),
)
PLACES = (("in the box", True, -0.2), ("on the hill", False, -3.5), ("at sea", False, -1.25))


def overlap(references, predictions, **_):
    """Common letters of the right answer and the last word, of all letters of both: a metric of degrees."""
    right, said = set(references[0]), set(predictions[0].split()[-1])
    return len(right & said) / len(right | said)


def tasks() -> list[dict]:
    """The tasks, as a file of the harness describes one."""
    asked = [{"question": f"Colour {n}?", "label": right} for n, (_, _, right) in enumerate(KNOWN)]
    sums = [{"question": f"What is {a} + {b}?", "answer": f"{a} + {b} = {a + b}\n#### {a + b}"} for (a, b), _ in SUMS]
    choice = {
        "output_type": "multiple_choice", "doc_to_text": "Question: {{question}}\nAnswer:", "doc_to_target": "label",
        "doc_to_choice": list(COLOURS),
    }  # fmt: skip
    text = {
        "output_type": "generate_until", "doc_to_text": "Question: {{question}}\nAnswer:",
        "doc_to_target": "{{answer.split('####')[-1].strip()}}", "repeats": 3,
        "generation_kwargs": {"until": ["Question:"], "do_sample": True, "temperature": 0.7},
        "metric_list": [{"metric": "exact_match", "regexes_to_ignore": [","], "ignore_case": True}],
    }  # fmt: skip
    strict = {"function": "regex", "regex_pattern": r"#### (\-?[0-9\.,]+)"}
    flexible = {"function": "regex", "group_select": -1, "regex_pattern": r"(-?[0-9.,]{2,})|(-?[0-9]+)"}
    first, vote = {"function": "take_first"}, {"function": "majority_vote"}
    return [
        _task("choice", asked, {**choice, "metric_list": [{"metric": one} for one in ("acc", "acc_norm")]}),
        _task("greedy_choice", asked, {**choice, "metric_list": [{"metric": one} for one in ("exact_match", "acc")]}),
        _task("normal_choice", asked, {**choice, "metric_list": [{"metric": "acc_norm"}]}),
        _task("information", asked, {**choice, "metric_list": [{"metric": m} for m in ("acc", "acc_mutual_info")]}),
        _task("several_right", [{**one, "labels": sorted({one["label"], 1})} for one in asked],
              {**choice, "doc_to_target": "labels", "metric_list": [{"metric": "acc"}]}),
        _task("inputs", [{"left": "A", "right": "B", "end": " won.", "label": n % 2} for n in range(4)],
              {"output_type": "multiple_choice", "doc_to_text": "label", "doc_to_target": "{{end.strip()}}",
               "doc_to_choice": "{{[left, right]}}", "metric_list": [{"metric": "acc"}]}),
        _task("sums", sums, {**text, "filter_list": [
            {"name": "strict-match", "filter": [strict, first]},
            {"name": "flexible-extract", "filter": [flexible, first]}]}),
        _task("voted", sums, {**text, "filter_list": [{"name": "maj@3", "filter": [flexible, vote, first]}]}),
        _task("plain", sums, {**text, "repeats": 1, "doc_to_text": "{{question}}",
                              "metric_list": [{"metric": "exact_match"}, {"metric": "bleu"}]}),
        _task("degrees", sums, {**text, "repeats": 1, "metric_list": [
            {"metric": overlap, "aggregation": "mean", "higher_is_better": True}]}),
        _task("places", [{"text": f"Place {n}:", "end": end} for n, (end, _, _) in enumerate(PLACES)],
              {"output_type": "loglikelihood", "doc_to_text": "{{text}}", "doc_to_target": "{{' ' + end}}",
               "metric_list": [{"metric": "perplexity"}, {"metric": "acc"}]}),
        _task("texts", [{"page": "one two three"}, {"page": "four five"}],
              {"output_type": "loglikelihood_rolling", "doc_to_text": "", "doc_to_target": "{{page}}",
               "metric_list": [{"metric": "word_perplexity"}]}),
    ]  # fmt: skip


def _task(name: str, documents: list[dict], more: dict) -> dict:
    return {"task": f"jaxuq_{name}", "test_split": "test", "num_fewshot": 0, "documents": documents, **more}


def write(folder: pathlib.Path) -> dict[str, pathlib.Path]:
    """The samples of every task, written by the harness.

    Args:
        folder: to write into.

    Returns:
        The file of each task, by its name without what all begin with.
    """
    import lm_eval
    from lm_eval.api.model import LM
    from lm_eval.loggers import EvaluationTracker
    from lm_eval.tasks import TaskManager

    class Table(LM):
        """Says what the tables say."""

        def loglikelihood(self, requests):
            found = []
            for before, after in (one.args for one in requests):
                if before.startswith("Place"):
                    _, greedy, value = PLACES[int(before.split()[1].rstrip(":"))]
                    found.append((value, greedy))
                elif before.startswith("Question: Colour"):
                    told, greedy, _ = KNOWN[int(before.split()[2].split("?")[0])]
                    place = COLOURS.index(after.strip())
                    found.append((told[place], greedy[place]))
                else:
                    found.append((ALONE.get(after, {"A": -1.0, "B": -1.5}.get(before)), False))
            return found

        def loglikelihood_rolling(self, requests):
            return [-1.5 * len(one.args[0].split()) for one in requests]

        def generate_until(self, requests):
            told, found = {f"What is {a} + {b}?": list(texts) for (a, b), texts in SUMS}, []
            asked: dict[str, int] = {}
            for one in requests:
                question = one.args[0].removeprefix("Question: ").removesuffix("\nAnswer:")
                asked[one.args[0]] = asked.get(one.args[0], -1) + 1
                found.append(told[question][asked[one.args[0]] % 3])
            return found

    with tempfile.TemporaryDirectory() as place:
        described = []
        for task in tasks():
            source = pathlib.Path(place) / f"{task['task']}.jsonl"
            source.write_text("".join(json.dumps(one) + "\n" for one in task.pop("documents")))
            data = {"data_files": {"test": str(source)}, "cache_dir": place}
            described.append(task | {"dataset_path": "json", "dataset_kwargs": data})
        tracker = EvaluationTracker(output_path=str(folder))
        found = lm_eval.simple_evaluate(
            model=Table(), tasks=described, evaluation_tracker=tracker, bootstrap_iters=0,
            task_manager=TaskManager(include_defaults=False),
        )  # fmt: skip
        samples = found["samples"]
        tracker.save_results_aggregated(found, samples)
        for name, lines in samples.items():
            tracker.save_results_samples(name, lines)
    files = {}
    for name in samples:
        (files[name.removeprefix("jaxuq_")],) = folder.rglob(f"samples_{name}_*.jsonl")
    return files


if __name__ == "__main__":
    import lm_eval

    own = pathlib.Path(__file__).parent / f"lm_eval-{lm_eval.__version__}"
    own.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        for name, path in write(pathlib.Path(place)).items():
            (own / f"samples_{name}.jsonl").write_text(path.read_text())
