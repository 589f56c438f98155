"""`jaxuq tag`: run label models with progress on the terminal, print their scores, write the page."""

from jaxuq.tagging.benchmark.configuration import TaggingConfiguration

_FILES = (
    ("report.html", "open this: scores, reliability of the labelling functions, emissions"),
    ("active.csv", "one row per model, acquisition, seed and round"),
    ("saved.csv", "tokens that each acquisition saves against chance, with intervals"),
    ("rounds/", "which sentences had labels, and how much those of all others were wanted"),
    ("results.csv", "one row per data set, method and seed"),
    ("summary.csv", "mean, deviation and interval over sentences"),
    ("reliability.csv", "each labelling function as the model sees it, and as it is"),
    ("predictions.jsonl", "entities with a confidence, sentence by sentence (first seed)"),
    ("models/", "fitted models, for jaxuq tag --apply"),
    ("figures/", "the page's figures as files"),
    ("run.json", "configuration, versions, device"),
)


def run(configuration: TaggingConfiguration) -> None:
    """Fit and score, or label with a saved model.

    Args:
        configuration: the options.
    """
    from jaxuq.cli.compiled import keep_compiled_programs

    keep_compiled_programs()
    from jaxuq.cli.display import Display, run_and_report
    from jaxuq.tagging.benchmark import apply_model, run_active_tagging, run_tagging

    if configuration.apply is not None:
        with Display() as display:
            file, scores = apply_model(configuration, display.listener())
        for name, found in scores.items():
            if found is not None:
                print(f"{name}: precision {found['precision']:.4f}, recall {found['recall']:.4f}, F1 {found['f1']:.4f}")
        print(file)
        return
    run_one = run_active_tagging if configuration.active else run_tagging
    run_and_report(lambda listener: run_one(configuration, listener), _FILES)
