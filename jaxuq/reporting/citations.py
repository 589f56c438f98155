"""Whom to cite for a benchmark report and for the methods in it."""

_METHODS = {
    "ensemble": "Lakshminarayanan, Pritzel and Blundell, Simple and Scalable Predictive Uncertainty Estimation Using "
    "Deep Ensembles, NeurIPS, 2017.",
    "mc-dropout": "Gal and Ghahramani, Dropout as a Bayesian Approximation: Representing Model Uncertainty in Deep "
    "Learning, ICML, 2016.",
    "temperature": "Guo, Pleiss, Sun and Weinberger, On Calibration of Modern Neural Networks, ICML, 2017.",
    "platt": "Platt, Probabilistic Outputs for Support Vector Machines and Comparisons to Regularized Likelihood "
    "Methods, Advances in Large Margin Classifiers, MIT Press, 1999.",
    "isotonic": "Zadrozny and Elkan, Transforming Classifier Scores into Accurate Multiclass Probability Estimates, "
    "KDD, 2002 (classification); Kuleshov, Fenner and Ermon, Accurate Uncertainties for Deep Learning Using Calibrated "
    "Regression, ICML, 2018 (regression).",
    "variance-scaling": "Levi, Gispan, Giladi and Fetaya, Evaluating and Calibrating Uncertainty Prediction in "
    "Regression Tasks, Sensors 22, 2022.",
    "focal": "Lin, Goyal, Girshick, He and Dollár, Focal Loss for Dense Object Detection, ICCV, 2017.",
    "swag": "Maddox, Garipov, Izmailov, Vetrov and Wilson, A Simple Baseline for Bayesian Uncertainty in Deep "
    "Learning, NeurIPS, 2019.",
    "bbp": "Blundell, Cornebise, Kavukcuoglu and Wierstra, Weight Uncertainty in Neural Networks, ICML, 2015.",
    "sgld": "Welling and Teh, Bayesian Learning via Stochastic Gradient Langevin Dynamics, ICML, 2011.",
    "laplace": "Daxberger, Kristiadi, Immer, Eschenhagen, Bauer and Hennig, Laplace Redux – Effortless Bayesian Deep "
    "Learning, NeurIPS, 2021.",
    "evidential": "Amini, Schwarting, Soleimany and Rus, Deep Evidential Regression, NeurIPS, 2020; Sensoy, Kaplan and "
    "Kandemir, Evidential Deep Learning to Quantify Classification Uncertainty, NeurIPS, 2018.",
}

_MUBEN = """@article{li2024muben,
  title   = {{MUBen}: Benchmarking the Uncertainty of Molecular Representation Models},
  author  = {Li, Yinghao and Kong, Lingkai and Du, Yuanqi and Yu, Yue and Zhuang, Yuchen and Mu, Wenhao and
             Zhang, Chao},
  journal = {Transactions on Machine Learning Research},
  year    = {2024}
}"""


def bibtex(system: str, version: str) -> str:
    """Give the BibTeX entries of the software and of the benchmark that a report is about.

    Args:
        system: name of the system, such as `"muben"`.
        version: version of jaxuq that made the results; empty if unknown.

    Returns:
        One or more entries.

    Example:
        >>> print(bibtex("other", "0.1.0"))
        @software{jaxuq,
          title   = {jaxuq: Uncertainty Quantification and Data-Efficient Learning for Foundation Models, in {JAX}},
          version = {0.1.0}
        }
    """
    fields = [
        "title   = {jaxuq: Uncertainty Quantification and Data-Efficient Learning for Foundation Models, in {JAX}}"
    ]
    if version:
        fields.append(f"version = {{{version}}}")
    entry = "@software{jaxuq,\n  " + ",\n  ".join(fields) + "\n}"
    return f"{entry}\n\n{_MUBEN}" if system == "muben" else entry


def method_references(methods: list[str]) -> list[tuple[str, str]]:
    """Name the papers of the methods that have one.

    Args:
        methods: names as in `results.csv`.

    Returns:
        Pairs of method and reference.

    Example:
        >>> method_references(["deterministic", "sgld"])
        [('sgld', 'Welling and Teh, Bayesian Learning via Stochastic Gradient Langevin Dynamics, ICML, 2011.')]
    """
    return [(method, _METHODS[method]) for method in methods if method in _METHODS]
