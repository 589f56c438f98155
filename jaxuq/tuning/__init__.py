"""The tuning room: fine-tuning that knows about uncertainty, in the loss, in the adapters' posterior, in the data.

It builds on `language` (adapters, the fine-tuning loop), `posterior`, `losses` and `metrics`; the packaged questions
come from `confidence`. A posterior over adapters is read like any other:

    decoder = model.decoder                                   # with a lora configuration
    apply = bind_answers(decoder, model.params)               # apply(lora, prompts) -> logits of the possible answers
    samples = isotropic_samples(rng_key, model.lora, 0.004, 10)
    forecast = predict_forecast(apply, samples, prompts, "categorical")
    forecast.probabilities, forecast.aleatoric, forecast.epistemic

Which one? `ensemble` if tuning can be repeated; `kronecker_laplace` with `adapter_factors` after one tuning;
`isotropic_samples` with `largest_scale` if there is next to no time; `blob`, `swag` or `sgld` where tuning goes on
anyway; `mc_dropout` if the adapters were tuned with dropout. `jaxuq tune` compares them.
"""

from jaxuq.tuning.acquisition import bald, base_tuned_gap, batch_bald, margin
from jaxuq.tuning.answers import answer_logits, answer_loss, bind_answers, option_logits, placed_prompts
from jaxuq.tuning.bayesianise import isotropic_samples, largest_scale, rotate_adapter
from jaxuq.tuning.blob import BLoB, BLoBState, blob, flipout, flipout_noise, growing_kl_weight
from jaxuq.tuning.configuration import POSTERIORS, TuneConfiguration
from jaxuq.tuning.curvature import adapter_factors, decoder_adapters, stacked_adapters
from jaxuq.tuning.errors import TuningError
from jaxuq.tuning.evaluation import SCORES, answer_scores, score_intervals, text_loss
from jaxuq.tuning.features import silhouette
from jaxuq.tuning.laplace_fit import fit_adapter_laplace, laplace_draws
from jaxuq.tuning.predicting import AnswerForecast, Draws, forecast_answers
from jaxuq.tuning.probe import LinearProbe, fit_linear_probe, probe_confidence
from jaxuq.tuning.prompts import AnswerPrompts, Encoded, encode_questions, training_examples
from jaxuq.tuning.rank_dropout import log_uniform_kl, useless_ranks
from jaxuq.tuning.records import Record, Split, load_split
from jaxuq.tuning.refusal import refusal_records, stated_confidence_records, sufficiency_records
from jaxuq.tuning.selection import PrunedSamples, prune_samples, token_error
from jaxuq.tuning.study import Listener, run_tuning
from jaxuq.tuning.token_losses import LOSSES, token_loss
from jaxuq.tuning.uncertainty import (
    SampleUncertainty,
    answer_entropy,
    column_uncertainty,
    disagreement_uncertainty,
    judge_prompt,
    judged_uncertainty,
    perplexity_uncertainty,
    read_judgement,
)

__all__ = [
    "LOSSES",
    "POSTERIORS",
    "SCORES",
    "AnswerForecast",
    "AnswerPrompts",
    "BLoB",
    "BLoBState",
    "Draws",
    "Encoded",
    "LinearProbe",
    "Listener",
    "PrunedSamples",
    "Record",
    "SampleUncertainty",
    "Split",
    "TuneConfiguration",
    "TuningError",
    "adapter_factors",
    "answer_entropy",
    "answer_logits",
    "answer_loss",
    "answer_scores",
    "bald",
    "base_tuned_gap",
    "batch_bald",
    "bind_answers",
    "blob",
    "column_uncertainty",
    "decoder_adapters",
    "disagreement_uncertainty",
    "encode_questions",
    "fit_adapter_laplace",
    "fit_linear_probe",
    "flipout",
    "flipout_noise",
    "forecast_answers",
    "growing_kl_weight",
    "isotropic_samples",
    "judge_prompt",
    "judged_uncertainty",
    "laplace_draws",
    "largest_scale",
    "load_split",
    "log_uniform_kl",
    "margin",
    "option_logits",
    "perplexity_uncertainty",
    "placed_prompts",
    "probe_confidence",
    "prune_samples",
    "read_judgement",
    "refusal_records",
    "rotate_adapter",
    "run_tuning",
    "score_intervals",
    "silhouette",
    "stacked_adapters",
    "stated_confidence_records",
    "sufficiency_records",
    "text_loss",
    "token_error",
    "token_loss",
    "training_examples",
    "useless_ranks",
]
