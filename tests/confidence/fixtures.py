"""The small worked examples that several tests share."""

import numpy as np

# A: three tokens of a vocabulary of four.
ROWS = np.array([[0.70, 0.20, 0.05, 0.05], [0.50, 0.25, 0.15, 0.10], [0.90, 0.05, 0.03, 0.02]])
CHOSEN = np.array([0, 1, 0])
LOGS = np.log([0.70, 0.25, 0.90])
# B: four samples.
SAMPLES = np.log([0.30, 0.10, 0.20, 0.05])
LENGTHS = np.array([2, 3, 2, 4])
TEXTS = ["paris", "paris france", "rome italy", "the rome"]
ENTAIL = np.array(
    [[0.98, 0.80, 0.10, 0.05], [0.70, 0.97, 0.15, 0.05], [0.10, 0.20, 0.98, 0.30], [0.05, 0.05, 0.45, 0.96]]
)
CONTRA = np.array(
    [[0.01, 0.05, 0.70, 0.80], [0.05, 0.01, 0.60, 0.75], [0.75, 0.55, 0.01, 0.25], [0.85, 0.80, 0.20, 0.02]]
)
STRICT, RELAXED = np.array([0, 0, 1, 2]), np.array([0, 0, 1, 1])
# C: eight graded answers.
UNCERTAINTY = np.arange(1, 9) / 10
RIGHT = np.array([1, 1, 0, 1, 1, 0, 1, 0])
CONFIDENCE = np.array([0.95, 0.85, 0.75, 0.65, 0.55, 0.45, 0.35, 0.15])


def unit_diagonal(matrix):
    """The same matrix with ones on its diagonal."""
    return np.where(np.eye(len(matrix), dtype=bool), 1.0, matrix)
