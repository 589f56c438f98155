"""Seconds of one training epoch of CHMM and Sparse-CHMM on NCBI-Disease, after compilation.

    JAXUQ_DATA=<folder> python experiments/benchmarks/tagging_epoch.py [--width 384] [--epochs 6]

The word vectors are random: an epoch costs the same with real ones. The published PyTorch code took 2.2 s an epoch for
Sparse-CHMM and 3.4 s for CHMM on a machine with two slow cores, batch 128; the last column is how many times faster
this is, which means something only on such a machine. Without the data set, sentences of its size are made up.
"""

import argparse
import time

import jax
import numpy as np

import jaxuq
from jaxuq.parallel import plan_rows
from jaxuq.tagging import (
    EmbeddedText,
    SparseOptions,
    TaggingDataError,
    TrainOptions,
    WeakLabels,
    bio_label_names,
    chmm,
    load_weak_labels,
    make_weak_labels,
    sparse_chmm,
)


def made_up() -> WeakLabels:
    """592 abstracts of 217 words with five functions that mark one word in twenty."""
    rng = np.random.default_rng(0)
    lengths = rng.normal(217, 80, 592).clip(30, 502).astype(int)
    votes = [np.where(rng.random((n, 5)) < 0.02, 1, 0) for n in lengths]
    names = [f"f{i}" for i in range(5)]
    return make_weak_labels([["word"] * n for n in lengths], votes, None, bio_label_names(["Disease"]), names)


def main(args: argparse.Namespace) -> None:
    try:
        data = load_weak_labels(args.dataset, "train")
    except TaggingDataError as error:
        print(f"{error}\nmaking sentences up")
        data = made_up()
    rng = np.random.default_rng(0)
    text = EmbeddedText(data, [rng.normal(size=(n, args.width)).astype(np.float32) for n in data.lengths])
    labels, groups = len(data.label_names), plan_rows(data.lengths, max_padding=0.2, least=None)
    padding = 1 - data.lengths.sum() / sum(batch.size * batch.length for batch in groups)
    print(
        f"{len(data.ids)} sentences, {data.lengths.sum()} tokens, {labels} labels, "
        f"{len(groups)} buckets, padding {padding:.1%}"
    )

    options = TrainOptions(num_epochs=args.epochs, pretrain_epochs=0, batch_size=128)
    models = {
        "chmm": chmm(labels, options=options),
        "sparse-chmm, stage 1": sparse_chmm(labels, options=options, sparse=SparseOptions(stages="1")),
    }
    for name, model in models.items():
        params = model.init(jax.random.key(0), text)
        model.fit(jax.random.key(1), params, text)  # compiles
        began = time.process_time()
        seconds = model.fit(jax.random.key(1), params, text).seconds
        processor = (time.process_time() - began) / args.epochs  # with bucketing; on both cores together
        ratio = (3.4 if name == "chmm" else 2.2) / seconds.min()
        print(
            f"{name:22} best {seconds.min():6.3f} s, median {np.median(seconds):6.3f} s an epoch, "
            f"{processor:6.3f} s of processor time; {ratio:5.1f} times as fast",
            flush=True,
        )


if __name__ == "__main__":
    jaxuq.use_huge_pages()  # for all that is timed here
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--dataset", default="NCBI-Disease")
    parser.add_argument("--width", type=int, default=384)
    parser.add_argument("--epochs", type=int, default=6)
    main(parser.parse_args())
