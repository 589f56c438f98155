"""The networks of a kept model as one compiled-anywhere program, for those who have JAX and not this library."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxuq._extras import needed_package
from jaxuq.molecules.fitted.fitting import FittedMolecules
from jaxuq.molecules.fitted.model import backbone_of, model_function
from jaxuq.molecules.records import DataError, Row
from jaxuq.molecules.rows import clean_rows
from jaxuq.posterior import summarise

PLATFORMS = ("cpu", "cuda", "tpu")


def export_molecules(fitted: FittedMolecules, smiles: Sequence[Row]) -> bytes:
    """The forward pass of a model by `jax.export`: from features to the forecast before calibration.

    `jax.export.deserialize(bytearray(blob)).call(inputs)` gives a dictionary of arrays, on the scale on which networks
    were trained: the fields of `GaussianForecast`, `BernoulliForecast` or `CategoricalForecast` of `jaxuq.posterior`.
    What comes after (scaler, calibrator, intervals) is in the model's folder, for NumPy alone. Of descriptors and
    fingerprints `inputs` is one array with any number of rows. Those of graphs have the shapes of the examples: a list
    of the leaves of the features, in the order of `jax.tree.leaves`.

    Args:
        fitted: the model, whose parameters are in the program.
        smiles: examples that can be read, for the shapes of the features.

    Returns:
        The program, for CPU, CUDA and TPU.

    Raises:
        DataError: no example.
        MissingPackageError: the package flatbuffers is not installed.
    """
    needed_package("flatbuffers", "exporting a model")
    rows = clean_rows(smiles, fitted.molecule_columns)
    if not rows:
        raise DataError("no example molecule is given, from which to know the shapes of the features")
    backbone = backbone_of(fitted.network)
    model = model_function(backbone, fitted.task_type, len(fitted.task_names), tuple(map(len, fitted.classes)))
    leaves, structure = jax.tree.flatten(backbone.featurise(rows, None))
    samples = jax.tree.map(jnp.asarray, fitted.forecaster.samples)

    def forecast(inputs: Any) -> dict[str, Any]:
        whole = jax.tree.unflatten(structure, inputs if isinstance(inputs, list) else [inputs])
        outputs = jax.vmap(model, in_axes=(0, None))(samples, whole)
        return dict(summarise(outputs, fitted.forecaster.likelihood)._asdict())

    shapes: Any = [jax.ShapeDtypeStruct(leaf.shape, jnp.asarray(leaf).dtype) for leaf in leaves]
    if len(leaves) == 1:
        count = jax.export.symbolic_shape("molecules")[0]
        shapes = jax.ShapeDtypeStruct((count, *leaves[0].shape[1:]), shapes[0].dtype)
    return bytes(jax.export.export(jax.jit(forecast), platforms=PLATFORMS)(shapes).serialize())
