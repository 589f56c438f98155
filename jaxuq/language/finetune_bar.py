"""Fine-tuning's progress on a terminal."""

import contextlib
import math
from collections.abc import Callable, Iterator

from jaxuq.language.finetune import FinetuneProgress


@contextlib.contextmanager
def finetune_bar() -> Iterator[Callable[[FinetuneProgress], None]]:
    """A progress bar on the terminal, as `on_progress` of `finetune`.

    with finetune_bar() as on_progress:
        finetune(rng_key, model, data, on_progress=on_progress)

    Yields:
        The function to be called after each step; it shows epoch, loss, tokens a second and the time left.
    """
    import rich.console
    import rich.progress

    columns = (
        rich.progress.TextColumn("epoch {task.fields[epoch]}"),
        rich.progress.BarColumn(),
        rich.progress.MofNCompleteColumn(),
        rich.progress.TextColumn("loss {task.fields[loss]:.3f}  {task.fields[speed]:,.0f} tokens/s"),
        rich.progress.TimeRemainingColumn(),
    )
    with rich.progress.Progress(*columns, console=rich.console.Console(stderr=True)) as bar:
        task = bar.add_task("", total=None, epoch="", loss=math.nan, speed=math.nan)

        def show(progress: FinetuneProgress) -> None:
            bar.update(
                task,
                completed=progress.step,
                total=progress.num_steps,
                epoch=f"{progress.epoch}/{progress.num_epochs}",
                loss=progress.loss,
                speed=progress.tokens_per_second,
            )

        yield show
