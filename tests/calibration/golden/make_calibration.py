"""Make the golden file of conformal methods and Venn-Abers predictors: what other packages compute of the same numbers.

    python tests/calibration/golden/make_calibration.py

Needs MAPIE 1.6 (BSD licence), crepes 0.9 (BSD) and venn-abers 1.5 (MIT), with scikit-learn. The file holds numbers that
the packages computed, in double precision, and none of their code. `<package>:<method>:...`; inputs without a package.
"""

import pathlib

import numpy as np
from crepes import ConformalClassifier, ConformalPredictiveSystem, ConformalRegressor
from mapie.metrics.calibration import kolmogorov_smirnov_statistic, kuiper_statistic
from mapie.regression import CrossConformalRegressor, SplitConformalRegressor
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import KFold
from venn_abers import VennAbers

LEVEL, KNOWN, NEW = 0.8, 40, 7
SETS = 0.83  # no multiple of 1 / (n + 1): crepes keeps p-values that equal one less the level


class Given(RegressorMixin, BaseEstimator):
    """Says what it is asked."""

    def fit(self, inputs, labels):
        self.is_fitted_ = True
        return self

    def predict(self, inputs):
        return np.asarray(inputs)[:, 0]


def main() -> None:
    """Every package on one set of random numbers."""
    rng = np.random.default_rng(21)
    x, new_x = rng.normal(size=(KNOWN, 1)), rng.normal(size=(NEW, 1))
    labels, values = 2 * x[:, 0] + rng.normal(size=KNOWN), 2 * new_x[:, 0] + rng.normal(size=NEW)
    deviations, new_deviations = rng.uniform(0.5, 2, KNOWN), rng.uniform(0.5, 2, NEW)
    groups, new_groups = rng.integers(0, 3, KNOWN), rng.integers(0, 3, NEW)
    probabilities, new_probabilities = (rng.dirichlet(np.ones(4), n) for n in (KNOWN, NEW))
    classes = np.array([rng.choice(4, p=p) for p in probabilities])
    scores, new_scores = np.round(rng.uniform(size=KNOWN), 2), np.round(rng.uniform(size=NEW), 2)
    events = (rng.random(KNOWN) < scores).astype(int)
    arrays = {
        "x": x, "new_x": new_x, "labels": labels, "values": values, "deviations": deviations,
        "new_deviations": new_deviations, "groups": groups, "new_groups": new_groups, "probabilities": probabilities,
        "new_probabilities": new_probabilities, "classes": classes, "scores": scores, "new_scores": new_scores,
        "events": events,
    }  # fmt: skip

    split = SplitConformalRegressor(Given(), confidence_level=LEVEL, prefit=True).conformalize(x, labels)
    arrays["mapie:split"] = split.predict_interval(new_x)[1][:, :, 0]
    folds = KFold(KNOWN)
    models = [LinearRegression().fit(x[train], labels[train]) for train, _ in folds.split(x)]
    arrays["predictions"] = np.stack([model.predict(new_x) for model in models])
    left_out = np.array([model.predict(x[i : i + 1])[0] for i, model in enumerate(models)])
    arrays["residuals"] = np.abs(labels - left_out)
    for name in ("plus", "minmax"):
        method = CrossConformalRegressor(LinearRegression(), confidence_level=LEVEL, method=name, cv=folds)
        arrays[f"mapie:{name}"] = method.fit_conformalize(x, labels).predict_interval(new_x)[1][:, :, 0]
    arrays["mapie:kolmogorov"] = kolmogorov_smirnov_statistic(events, scores)
    arrays["mapie:kuiper"] = kuiper_statistic(events, scores)

    residuals = labels - x[:, 0]
    for name, sigmas, new_sigmas in (("plain", None, None), ("normalised", deviations, new_deviations)):
        system = ConformalPredictiveSystem().fit(residuals, sigmas=sigmas)
        arrays[f"crepes:cdf:{name}"] = system.predict_p(new_x[:, 0], values, sigmas=new_sigmas, smoothing=False)
        arrays[f"crepes:system:{name}"] = system.predict_int(new_x[:, 0], sigmas=new_sigmas, confidence=LEVEL)
        regressor = ConformalRegressor().fit(residuals, sigmas=sigmas)
        arrays[f"crepes:interval:{name}"] = regressor.predict_int(new_x[:, 0], sigmas=new_sigmas, confidence=LEVEL)
    grouped = ConformalRegressor().fit(residuals, bins=groups)
    arrays["crepes:interval:groups"] = grouped.predict_int(new_x[:, 0], bins=new_groups, confidence=LEVEL)
    of_label, of_all = 1 - probabilities[np.arange(KNOWN), classes], 1 - new_probabilities
    classifier = ConformalClassifier().fit(of_label)
    arrays["crepes:sets"] = classifier.predict_set(of_all, confidence=SETS, smoothing=False)
    by_class = ConformalClassifier().fit(of_label, bins=classes)
    columns = [by_class.predict_set(of_all[:, [k]], bins=np.full(NEW, k), confidence=SETS, smoothing=False)
               for k in range(4)]  # fmt: skip
    arrays["crepes:sets:by-class"] = np.concatenate(columns, axis=1)

    binary = VennAbers()
    binary.fit(np.stack([1 - scores, scores], axis=1), events)
    merged, both = binary.predict_proba(np.stack([1 - new_scores, new_scores], axis=1))
    arrays["venn-abers:both"], arrays["venn-abers:merged"] = both, merged[:, 1]

    rounded = {name: np.asarray(value) for name, value in arrays.items()}
    np.savez_compressed(pathlib.Path(__file__).parent / "calibration.npz", **rounded)


if __name__ == "__main__":
    main()
