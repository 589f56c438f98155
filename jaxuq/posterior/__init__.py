from jaxuq.posterior.bbp import BBP, BBPState, bbp, dense
from jaxuq.posterior.deterministic import Deterministic, deterministic
from jaxuq.posterior.ensemble import Ensemble, ensemble
from jaxuq.posterior.forecast import BernoulliForecast, CategoricalForecast, Forecast, GaussianForecast
from jaxuq.posterior.mc_dropout import MCDropout, mc_dropout
from jaxuq.posterior.moments import summarise
from jaxuq.posterior.predict import predict, predict_forecast
from jaxuq.posterior.psgld import PSGLDState, psgld
from jaxuq.posterior.sghmc import SGHMCState, sghmc
from jaxuq.posterior.sgld import SGLDState, sgld
from jaxuq.posterior.subtree import merge, paths_containing, select
from jaxuq.posterior.swag import SWAG, SWAGState, swag
from jaxuq.posterior.trace import StochasticGradientMCMC, Trace
