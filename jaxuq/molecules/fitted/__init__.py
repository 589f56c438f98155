"""A model of molecules that is kept: fitted once, saved as a folder, asked about new molecules.

    data = load_csv("mine.csv")
    fitted = fit_molecules(jax.random.key(0), data, divide_molecules(data.smiles))
    save_molecules("solubility", fitted)
    forecast = predict_molecules(load_molecules_model("solubility"), ["CCO", "c1ccccc1"])
    forecast.mean, forecast.lower, forecast.upper, forecast.similarity
    choose_molecules(fitted, pool, 50).rows                   # which to measure next

The labels that chose the epoch are never those of calibration, and neither are those of the test: four parts.
"""

from jaxuq.molecules.fitted.choosing import Choice, choose_molecules
from jaxuq.molecules.fitted.exporting import export_molecules
from jaxuq.molecules.fitted.fitting import FittedMolecules, MoleculeRecipe, fit_molecules
from jaxuq.molecules.fitted.folder import load_molecules_model, save_molecules
from jaxuq.molecules.fitted.model import MoleculeNetwork
from jaxuq.molecules.fitted.parts import PartRows, divide_molecules, named_parts
from jaxuq.molecules.fitted.predicting import MoleculeForecast, predict_molecules, promise_for
from jaxuq.molecules.fitted.representing import MoleculeFeatures, represent_molecules
from jaxuq.molecules.fitted.searching import Search, Trial, search_recipe, search_space
from jaxuq.molecules.fitted.testing import score_forecast
from jaxuq.molecules.fitted.writing import Forecasted, predict_to_file, write_features, write_forecast

__all__ = [
    "Choice",
    "FittedMolecules",
    "Forecasted",
    "MoleculeFeatures",
    "MoleculeForecast",
    "MoleculeNetwork",
    "MoleculeRecipe",
    "PartRows",
    "Search",
    "Trial",
    "choose_molecules",
    "divide_molecules",
    "export_molecules",
    "fit_molecules",
    "load_molecules_model",
    "named_parts",
    "predict_molecules",
    "predict_to_file",
    "promise_for",
    "represent_molecules",
    "save_molecules",
    "score_forecast",
    "search_recipe",
    "search_space",
    "write_features",
    "write_forecast",
]
