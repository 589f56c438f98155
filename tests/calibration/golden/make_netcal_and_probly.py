"""Make the golden file of calibration errors, scaling, entropies and evidential losses that other packages compute.

    python tests/calibration/golden/make_netcal_and_probly.py

Needs netcal 1.4.0 (Apache-2.0) and probly 0.3.0 (MIT), with PyTorch. The file holds numbers that the packages computed
and none of their code: `<package>:<function>`; inputs without a package.
"""

import pathlib

import numpy as np
import torch
from netcal.binning import IsotonicRegression
from netcal.metrics.confidence import ACE, ECE, MCE
from netcal.metrics.regression import ENCE, NLL, PICP
from netcal.regression import VarianceScaling
from netcal.scaling import BetaCalibration, LogisticCalibration, TemperatureScaling
from probly import losses, metrics
from probly.quantification import classification
from scipy.special import expit, log_softmax, softmax

KNOWN, NEW = 400, 9


def of_probabilities(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Errors of stated probabilities, and maps that mend them."""
    logits, new_logits = 3 * rng.normal(size=KNOWN), 3 * rng.normal(size=NEW)
    events = (rng.random(KNOWN) < expit(0.5 * logits + 0.4)).astype(int)
    confidence, new = expit(logits), expit(new_logits)
    arrays = {"logits": logits, "new_logits": new_logits, "events": events}
    for name, metric in (("ece", ECE), ("mce", MCE), ("ace", ACE)):
        arrays[f"netcal:{name}"] = np.array(metric(bins=8).measure(confidence, events))
    for name, method in (
        ("logistic", LogisticCalibration()),
        ("temperature", TemperatureScaling()),
        ("beta", BetaCalibration()),
        ("isotonic", IsotonicRegression()),
    ):
        method.fit(confidence, events)
        arrays[f"netcal:{name}"] = np.squeeze(method.transform(new))
    return arrays


def of_variances(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Errors of stated variances."""
    mean, deviation = rng.normal(size=KNOWN), rng.uniform(0.5, 2, KNOWN)
    values = mean + 1.4 * deviation * rng.normal(size=KNOWN)
    arrays = {"mean": mean, "deviation": deviation, "values": values}
    forecast = (mean, deviation)
    arrays["netcal:ence"] = np.array(ENCE(bins=1).measure(forecast, values))
    arrays["netcal:nll"] = np.array(NLL().measure(forecast, values))
    levels = np.linspace(0.1, 0.9, 9)
    arrays["netcal:picp"] = np.array([PICP().measure(forecast, values, q=[q]).picp.item() for q in levels])
    scaling = VarianceScaling()
    scaling.fit(forecast, values)
    arrays["netcal:variance"] = np.squeeze(scaling.transform(forecast))
    return arrays


def of_samples(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Parts of the uncertainty of sampled classes, and evidential losses."""
    samples = 2 * rng.normal(size=(6, NEW, 4))  # samples first, as a posterior gives them
    classes = rng.integers(0, 4, NEW)
    probabilities = softmax(samples, axis=-1).transpose(1, 0, 2)
    arrays = {"samples": samples, "classes": classes}
    for name in ("total_entropy", "conditional_entropy", "mutual_information"):
        arrays[f"probly:{name}"] = getattr(classification, name)(probabilities, base=np.e)
    mixed = probabilities.mean(1)
    arrays["probly:log_loss"] = np.array(metrics.log_loss(mixed, classes))
    arrays["probly:brier_score"] = np.array(metrics.brier_score(mixed, classes))

    evidence = rng.uniform(0, 5, (NEW, 4))
    target = torch.tensor(classes)
    arrays["evidence"] = evidence
    for name in ("EvidentialMSELoss", "EvidentialKLDivergence"):
        each = [getattr(losses, name)()(torch.tensor(evidence[i : i + 1]), target[i : i + 1]) for i in range(NEW)]
        arrays[f"probly:{name}"] = np.array(each)
    raw = rng.normal(size=(NEW, 4))  # location, then what softplus makes the other three of; alpha is 1 more
    positive = np.log1p(np.exp(raw[:, 1:]))
    columns = (raw[:, 0], positive[:, 0], 1 + positive[:, 1], positive[:, 2])
    inputs = {name: torch.tensor(column) for name, column in zip(("gamma", "nu", "alpha", "beta"), columns)}
    labels = rng.normal(size=NEW)
    arrays |= {"normal_inverse_gamma": raw, "targets": labels}
    for name in ("EvidentialNIGNLLLoss", "EvidentialRegressionRegularization"):
        loss = getattr(losses, name)()
        arrays[f"probly:{name}"] = np.array([
            loss({k: v[i : i + 1] for k, v in inputs.items()}, torch.tensor(labels[i : i + 1])) for i in range(NEW)
        ])  # fmt: skip
    logits = rng.normal(size=(NEW, 4))
    arrays["class_logits"] = logits
    focal = losses.FocalLoss()
    arrays["probly:FocalLoss"] = np.array([
        focal(torch.tensor(log_softmax(logits[i : i + 1], axis=-1)), target[i : i + 1]) for i in range(NEW)
    ])  # fmt: skip
    return arrays


if __name__ == "__main__":
    generator = np.random.default_rng(1919)
    np.savez_compressed(
        pathlib.Path(__file__).parent / "netcal_and_probly.npz",
        **of_probabilities(generator), **of_variances(generator), **of_samples(generator),
    )  # fmt: skip
