"""`jaxuq tag`: run label models with progress on the terminal, print their scores, write the page."""

import time

from jaxuq.cli.telling import say
from jaxuq.tagging.benchmark.configuration import TaggingConfiguration


def run(configuration: TaggingConfiguration) -> None:
    """Fit and score, or label with a saved model.

    Args:
        configuration: the options.
    """
    from jaxuq.cli.compiled import keep_compiled_programs

    keep_compiled_programs()
    from jaxuq.cli.tag_display import TagDisplay
    from jaxuq.tagging.benchmark import apply_model, run_tagging

    began = time.monotonic()
    if configuration.apply is not None:
        with TagDisplay() as display:
            file, scores = apply_model(configuration, display.listener())
        for name, found in scores.items():
            if found is not None:
                print(f"{name}: precision {found['precision']:.4f}, recall {found['recall']:.4f}, F1 {found['f1']:.4f}")
        print(file)
        return
    from jaxuq.reporting import write_report

    with TagDisplay() as display:
        folder = run_tagging(configuration, display.listener())
    page = write_report(folder.path)
    display.print_scores(folder.path)
    say(f"Done in {time.monotonic() - began:.0f} s. Written to {folder.path}:")
    for name, content in (
        ("report.html", "open this: scores, reliability of the labelling functions, emissions"),
        ("results.csv", "one row per data set, method and seed"),
        ("summary.csv", "mean and deviation over seeds"),
        ("reliability.csv", "each labelling function as the model sees it, and as it is"),
        ("predictions.jsonl", "entities with a confidence, sentence by sentence (first seed)"),
        ("models/", "fitted models, for jaxuq tag --apply"),
        ("figures/", "the page's figures as files"),
        ("run.json", "configuration, versions, device"),
    ):
        print(f"  {page.parent / name.rstrip('/')}  ({content})")
