"""Scores of a finished run on parts of its test molecules, such as those far from the training part."""

import numpy as np
from jaxtyping import Integer

from jaxuq.molecules.muben.cells import stored_forecast
from jaxuq.molecules.muben.scores import score_forecast
from jaxuq.study import RunFolder, cell_arrays


def binned_scores(
    folder: RunFolder, method: str, seed: int, bins: Integer[np.ndarray, " molecules"], *, muben: bool = False
) -> list[dict[str, float]] | None:
    """Score one method with one seed on each bin of the test molecules by itself.

    Trained once, tested bin by bin, as in MUBen's study of distribution shift on QM9 (appendix A.1): see
    `jaxuq.molecules.scaffold_similarity` and `similarity_bins` for its bins. What is fitted on the validation part
    (conformal thresholds) is the same for all bins.

    Args:
        folder: of the run.
        method: its name.
        seed: its seed.
        bins: number of each test molecule's bin, from 0 up, in the order of the run's test part.
        muben: follow the published code where it differs from the definitions.

    Returns:
        The metrics of each bin, or None when the cell is missing or damaged.

    Raises:
        ValueError: there are more or fewer `bins` than test molecules.

    References:
        Y. Li et al. MUBen: Benchmarking the uncertainty of molecular representation models. TMLR 2024, appendix A.1.
    """
    arrays = cell_arrays(folder.predictions / f"{method}-seed{seed}.npz")
    if arrays is None:
        return None
    if len(bins) != len(arrays["test_labels"]):
        raise ValueError(f"{len(bins)} bins for {len(arrays['test_labels'])} test molecules; each needs one")
    lines = []
    for number in range(int(np.max(bins)) + 1):
        rows = np.flatnonzero(bins == number)
        part = {name: values[rows] for name, values in arrays.items() if name.startswith("test_")}
        lines.append(score_forecast(*stored_forecast(arrays, "valid"), *stored_forecast(part, "test"), muben=muben))
    return lines
