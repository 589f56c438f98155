"""The tuning room: fine-tuning that knows about uncertainty, in the loss, in the adapters' posterior, in the data.

It builds on `language` (adapters, the fine-tuning loop), `posterior`, `losses` and `metrics`; what is asked comes from
`questions`. A posterior over adapters is read like any other:

    decoder = model.decoder                                   # with a lora configuration
    apply = bind_answers(decoder, model.params)               # apply(lora, prompts) -> logits of the possible answers
    samples = isotropic_samples(rng_key, model.lora, 0.004, 10)
    forecast = predict_forecast(apply, samples, prompts, "categorical")
    forecast.probabilities, forecast.aleatoric, forecast.epistemic

Which one? `ensemble` if tuning can be repeated; `laplace` with `adapter_factors` after one tuning
(`fit_adapter_laplace`); `isotropic_samples` with `largest_scale` if there is next to no time; `blob`, `swag` or `sgld`
where tuning goes on anyway; `mc_dropout` if the adapters were tuned with dropout. `jaxuq tune` compares them.

Two other kinds of runs share all this: `run_labelling` asks for labels in rounds and draws learning curves;
`run_teaching` has the model learn, from grades of its own answers, to say how sure to be.
"""

from jaxuq.tuning.answers import answer_logits, answer_loss, bind_answers, option_logits, placed_prompts
from jaxuq.tuning.choices import Choices, make_choices
from jaxuq.tuning.configuration import TuneConfiguration
from jaxuq.tuning.errors import TuningError
from jaxuq.tuning.evaluation import SCORES, answer_scores, confidence_scores, text_loss
from jaxuq.tuning.features import silhouette
from jaxuq.tuning.honesty.grading import Graded, graded_answers, written_answers
from jaxuq.tuning.honesty.head import head_confidence, last_states
from jaxuq.tuning.honesty.probe import LinearProbe, fit_linear_probe, probe_confidence
from jaxuq.tuning.honesty.refusal import refusal_records, stated_confidence_records, sufficiency_records
from jaxuq.tuning.honesty.run import run_teaching
from jaxuq.tuning.honesty.teaching import WAYS, asked_confidence, taught_examples
from jaxuq.tuning.honesty.verdicts import VERDICTS, Verdict, verdict_prompts, verdict_records
from jaxuq.tuning.labelling.acquisition import bald, base_tuned_gap, batch_bald, margin
from jaxuq.tuning.labelling.choosing import ACQUISITIONS, Pool, choose_questions
from jaxuq.tuning.labelling.rounds import LabellingRound, label_in_rounds
from jaxuq.tuning.labelling.run import run_labelling
from jaxuq.tuning.listener import listener_preferences, listener_trust
from jaxuq.tuning.posteriors.bayesianise import isotropic_samples, largest_scale, rotate_adapter
from jaxuq.tuning.posteriors.blob import BLoB, BLoBState, blob, flipout, flipout_noise, growing_kl_weight
from jaxuq.tuning.posteriors.curvature import adapter_factors, decoder_adapters, stacked_adapters
from jaxuq.tuning.posteriors.drawing import POSTERIORS
from jaxuq.tuning.posteriors.laplace_fit import fit_adapter_laplace, laplace_draws
from jaxuq.tuning.posteriors.rank_dropout import log_uniform_kl, useless_ranks
from jaxuq.tuning.posteriors.tuned import Tuned
from jaxuq.tuning.predicting import AnswerForecast, average_answers, forecast_answers, sample_answers
from jaxuq.tuning.preference_acquisition import diverse_preferences
from jaxuq.tuning.preference_pairs import PreferencePairs, hedged_pairs, listener_pairs
from jaxuq.tuning.preference_tuning import encode_preferences, preference_log_probs, preference_loss
from jaxuq.tuning.prompts import AnswerPrompts, Encoded, encode_questions, take_questions, training_examples
from jaxuq.tuning.responses import ResponseScores, response_scores
from jaxuq.tuning.rewards import (
    Preference,
    RewardHeads,
    cautious_reward,
    fit_reward_heads,
    preference_information,
)
from jaxuq.tuning.selection import PrunedSamples, prune_samples, token_error
from jaxuq.tuning.split import Split, load_split
from jaxuq.tuning.study import run_tuning
from jaxuq.tuning.token_losses import LOSSES, LossSettings, stated_token_loss, token_loss
from jaxuq.tuning.uncertainty import (
    SOURCES,
    Samples,
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
    "ACQUISITIONS",
    "LOSSES",
    "POSTERIORS",
    "SCORES",
    "SOURCES",
    "VERDICTS",
    "WAYS",
    "AnswerForecast",
    "AnswerPrompts",
    "BLoB",
    "BLoBState",
    "Choices",
    "Encoded",
    "Graded",
    "LabellingRound",
    "LinearProbe",
    "LossSettings",
    "Pool",
    "Preference",
    "PreferencePairs",
    "PrunedSamples",
    "ResponseScores",
    "RewardHeads",
    "SampleUncertainty",
    "Samples",
    "Split",
    "TuneConfiguration",
    "Tuned",
    "TuningError",
    "Verdict",
    "adapter_factors",
    "answer_entropy",
    "answer_logits",
    "answer_loss",
    "answer_scores",
    "asked_confidence",
    "average_answers",
    "bald",
    "base_tuned_gap",
    "batch_bald",
    "bind_answers",
    "blob",
    "cautious_reward",
    "choose_questions",
    "column_uncertainty",
    "confidence_scores",
    "decoder_adapters",
    "disagreement_uncertainty",
    "diverse_preferences",
    "encode_preferences",
    "encode_questions",
    "fit_adapter_laplace",
    "fit_linear_probe",
    "fit_reward_heads",
    "flipout",
    "flipout_noise",
    "forecast_answers",
    "graded_answers",
    "growing_kl_weight",
    "head_confidence",
    "hedged_pairs",
    "isotropic_samples",
    "judge_prompt",
    "judged_uncertainty",
    "label_in_rounds",
    "laplace_draws",
    "largest_scale",
    "last_states",
    "listener_pairs",
    "listener_preferences",
    "listener_trust",
    "load_split",
    "log_uniform_kl",
    "make_choices",
    "margin",
    "option_logits",
    "perplexity_uncertainty",
    "placed_prompts",
    "preference_information",
    "preference_log_probs",
    "preference_loss",
    "probe_confidence",
    "prune_samples",
    "read_judgement",
    "refusal_records",
    "response_scores",
    "rotate_adapter",
    "run_labelling",
    "run_teaching",
    "run_tuning",
    "sample_answers",
    "silhouette",
    "stacked_adapters",
    "stated_confidence_records",
    "stated_token_loss",
    "sufficiency_records",
    "take_questions",
    "taught_examples",
    "text_loss",
    "token_error",
    "token_loss",
    "training_examples",
    "useless_ranks",
    "verdict_prompts",
    "verdict_records",
    "written_answers",
]
