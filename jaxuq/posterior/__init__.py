"""The posterior room: one file per way of getting parameter samples, and one way to predict with any of them."""

from jaxuq.posterior.forecast import BernoulliForecast, CategoricalForecast, Forecast, GaussianForecast

__all__ = ["BernoulliForecast", "CategoricalForecast", "Forecast", "GaussianForecast"]
