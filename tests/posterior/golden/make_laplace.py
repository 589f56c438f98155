"""Make the golden file of the Laplace approximation: what the package laplace-torch computes for a small network.

    python tests/posterior/golden/make_laplace.py

Needs PyTorch and laplace-torch 0.3 (A. Immer, R. Eschenhagen, A. Kristiadi, E. Daxberger; MIT licence). The file holds
numbers that the package computed, in double precision, and none of its code.

A network of 2 inputs, 4 hidden units and 3 outputs; classes, or targets with a noise of 0.4; a prior precision of 0.7.
`<likelihood>:<part>:<structure>:...` with a part `all` or `last` (the last layer, or `bare`, a last layer without bias)
and a structure `full`, `diag` or `kron` has the variances of the linearised outputs at the test inputs and the log
marginal likelihood; `diag` also the diagonal of H in torch's order of the parameters, kernels as [outputs, inputs].
"""

import pathlib

import numpy as np
import torch
from laplace import Laplace
from laplace.curvature import BackPackGGN
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

EXAMPLES, NEW, NOISE, PRIOR = 12, 5, 0.4, 0.7


def network(bias: bool) -> nn.Module:
    """Random weights of unit size."""
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 3, bias=bias)).double()
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_()
    return model


def main() -> None:
    """Every combination, in one file."""
    generator = torch.Generator().manual_seed(2)
    inputs, new = (torch.randn(n, 2, generator=generator, dtype=torch.double) for n in (EXAMPLES, NEW))
    labels = {
        "classification": torch.randint(0, 3, (EXAMPLES,), generator=generator),
        "regression": torch.randn(EXAMPLES, 3, generator=generator, dtype=torch.double),
    }
    arrays = {"inputs": inputs, "new": new} | {f"labels:{name}": value for name, value in labels.items()}
    for name, value in network(True).named_parameters():
        arrays[f"weight:{name}"] = value.detach()
    for name, value in network(False).named_parameters():
        arrays[f"bare:{name}"] = value.detach()
    for likelihood, target in labels.items():
        for part in ("all", "last", "bare"):
            for structure in ("full", "diag", "kron"):
                fitted = Laplace(
                    network(part != "bare"),
                    likelihood,
                    subset_of_weights="all" if part == "all" else "last_layer",
                    hessian_structure=structure,
                    prior_precision=PRIOR,
                    backend=BackPackGGN,
                    **({"sigma_noise": NOISE} if likelihood == "regression" else {}),
                )
                fitted.fit(DataLoader(TensorDataset(inputs, target), batch_size=EXAMPLES))
                _, covariance = fitted._glm_predictive_distribution(new)
                at = f"{likelihood}:{part}:{structure}"
                arrays[f"{at}:variance"] = torch.diagonal(covariance, dim1=1, dim2=2)
                arrays[f"{at}:evidence"] = fitted.log_marginal_likelihood()
                if structure == "diag":
                    arrays[f"{at}:diagonal"] = fitted.posterior_precision - PRIOR
    path = pathlib.Path(__file__).parent / "laplace.npz"
    np.savez_compressed(path, **{name: value.detach().numpy() for name, value in arrays.items()})


if __name__ == "__main__":
    main()
