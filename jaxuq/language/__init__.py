"""The language room: decoder language models, to load, to generate with, to score given text, and to adapt.

The network itself is `jaxuq.networks.Decoder`; this room reads its checkpoints, runs it, and trains adapters for it.
"""

from jaxuq.language.adapters import init_adapters, merge_adapters, stack_adapters
from jaxuq.language.answers import Answer, NewToken, generate
from jaxuq.language.architectures import decoder_config
from jaxuq.language.attention import Captured, attention_rows
from jaxuq.language.batches import BatchPlan, Survey, TokenBatch, make_batch, plan_batches, survey_examples
from jaxuq.language.catalogue import fetch_model, model_names
from jaxuq.language.config_json import config_json
from jaxuq.language.constrained_shares import (
    AnswerShares,
    ChoiceProbabilities,
    choice_probabilities,
    weigh_answers,
)
from jaxuq.language.constraints import Constraint, choices_constraint, regex_constraint, schema_constraint
from jaxuq.language.digest import model_digest
from jaxuq.language.errors import CheckpointError, ConstraintError, PromptError
from jaxuq.language.finetune import Finetuned, FinetuneHistory, FinetuneProgress, finetune
from jaxuq.language.finetune_bar import finetune_bar
from jaxuq.language.generated import Generation, take_rows
from jaxuq.language.generation import continue_generation, generate_tokens, start_generation
from jaxuq.language.halting import Halting
from jaxuq.language.instructions import Instruction, InstructionFile, Rejected, encode_instruction
from jaxuq.language.logit_blocks import hidden_gradient, map_logits
from jaxuq.language.model import CheckpointInfo, LanguageModel, inspect_model, load_model, save_model
from jaxuq.language.peft import load_peft, save_peft
from jaxuq.language.prefill import Ask
from jaxuq.language.quoted_table import table_constraint
from jaxuq.language.running_batch import Grown, RunningBatch
from jaxuq.language.sampling import (
    GREEDY,
    PLAIN,
    Sampling,
    check_sampling,
    filter_logits,
    min_p_mask,
    sample_token,
    top_k_mask,
    top_p_mask,
)
from jaxuq.language.scored_answers import score
from jaxuq.language.scoring import Alternatives, Scores, TokenScores, score_tokens, token_scores
from jaxuq.language.steering import Steering, steer_logits
from jaxuq.language.streaming import TextStream
from jaxuq.language.tokenization import decode_tokens, encode_prompt, encode_reply, stop_tokens
from jaxuq.language.tuning import (
    FinetuneConfig,
    FinetuneState,
    PairLoss,
    ScheduledLoss,
    StepReport,
    cross_entropy,
    finetune_step,
    init_finetuning,
    learning_rate_schedule,
    make_optimizer,
    response_log_probs,
    response_loss,
)
from jaxuq.language.watching import AnswerStates
from jaxuq.networks.sharding import PARTITION_RULES, partition_specs, shard_params

__all__ = [
    "GREEDY",
    "PARTITION_RULES",
    "PLAIN",
    "Alternatives",
    "Answer",
    "AnswerShares",
    "AnswerStates",
    "Ask",
    "BatchPlan",
    "Captured",
    "CheckpointError",
    "CheckpointInfo",
    "ChoiceProbabilities",
    "Constraint",
    "ConstraintError",
    "FinetuneConfig",
    "FinetuneHistory",
    "FinetuneProgress",
    "FinetuneState",
    "Finetuned",
    "Generation",
    "Grown",
    "Halting",
    "Instruction",
    "InstructionFile",
    "LanguageModel",
    "NewToken",
    "PairLoss",
    "PromptError",
    "Rejected",
    "RunningBatch",
    "Sampling",
    "ScheduledLoss",
    "Scores",
    "Steering",
    "StepReport",
    "Survey",
    "TextStream",
    "TokenBatch",
    "TokenScores",
    "attention_rows",
    "check_sampling",
    "choice_probabilities",
    "choices_constraint",
    "config_json",
    "continue_generation",
    "cross_entropy",
    "decode_tokens",
    "decoder_config",
    "encode_instruction",
    "encode_prompt",
    "encode_reply",
    "fetch_model",
    "filter_logits",
    "finetune",
    "finetune_bar",
    "finetune_step",
    "generate",
    "generate_tokens",
    "hidden_gradient",
    "init_adapters",
    "init_finetuning",
    "inspect_model",
    "learning_rate_schedule",
    "load_model",
    "load_peft",
    "make_batch",
    "make_optimizer",
    "map_logits",
    "merge_adapters",
    "min_p_mask",
    "model_digest",
    "model_names",
    "partition_specs",
    "plan_batches",
    "regex_constraint",
    "response_log_probs",
    "response_loss",
    "sample_token",
    "save_model",
    "save_peft",
    "schema_constraint",
    "score",
    "score_tokens",
    "shard_params",
    "stack_adapters",
    "start_generation",
    "steer_logits",
    "stop_tokens",
    "survey_examples",
    "table_constraint",
    "take_rows",
    "token_scores",
    "top_k_mask",
    "top_p_mask",
    "weigh_answers",
]
