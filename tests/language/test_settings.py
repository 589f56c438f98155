"""Every setting of every family: a change does to the logits what it does to transformers', or is refused by name."""

import dataclasses
import functools
import json
import pathlib
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxuq.checkpoints import CheckpointWarning
from jaxuq.language.architectures import decoder_config
from jaxuq.language.config_json import _canonical
from jaxuq.language.errors import CheckpointError
from jaxuq.language.families import COMMON_SETTINGS, FAMILIES, IRRELEVANT_SETTINGS, REFUSED_SETTINGS
from jaxuq.language.places import stored_shape, tensor_places
from jaxuq.language.weights import load_weights
from jaxuq.networks import Decoder
from tests.language.golden.make_settings import cases, tokens, weights
from tests.language.golden_decoders import stored

# What transformers computes and we refuse by name.
REFUSALS = {
    "partial_rotary_factor": "partial_rotary_factor",
    "dynamic": "of type 'dynamic'",
    "use_bidirectional_attention": "bidirectional attention",
    "gemma3_text flat": "beside full_attention and sliding_attention",
}


@functools.cache
def golden():
    with np.load(pathlib.Path(__file__).parent / "golden" / "settings.npz") as file:
        return dict(file)


def logits(config, family, read_tokens):
    """The decoder's, of weights that follow from the tensors' names."""
    shapes = {name: stored_shape(places) for name, places in tensor_places(config, family).items()}
    tensors = stored({name: weights(name, shape) for name, shape in shapes.items()})
    params = load_weights(config, tensors, pathlib.Path("settings"), family=family, scan=False)
    decoder = Decoder(config, scan=False)

    @jax.jit
    def run(params, read_tokens):
        hidden = decoder.apply({"params": params}, read_tokens).hidden
        return decoder.apply({"params": params}, hidden[:, -3:], method="logits")

    return np.asarray(run(params, jnp.asarray(read_tokens)))[0]


def _refusal(family, change):
    text = json.dumps(change)
    named = next((key for key in ("clip_qkv", "decoder_sparse_step", "mlp_only_layers") if key in change), None)
    if named is not None:
        return named
    if change.get("partial_rotary_factor"):
        return "of a head of 6 is 3" if family == "phi3" else REFUSALS["partial_rotary_factor"]
    if family != "gemma3_text" and "dynamic" in text:
        return REFUSALS["dynamic"]
    if change.get("use_bidirectional_attention"):
        return REFUSALS["use_bidirectional_attention"]
    if family == "gemma3_text" and "rope_parameters" in change and "full_attention" not in text:
        return REFUSALS["gemma3_text flat"]
    return None


def _accident(family, change):
    """What fails in transformers for no reason of the model's: heads of no given width, kinds of layers unread."""
    unread = ("llama", "gemma", "mixtral", "olmoe", "phi3", "qwen3_moe")
    shared = family == "qwen2_moe" and change == {"num_key_value_heads": None}
    return change == {"head_dim": None} or shared or (family in unread and "layer_types" in change)


def _ours(settings):
    """Our configuration without the numbers that have no effect; None if it is refused."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return _canonical(decoder_config(settings))
        except CheckpointError:
            return None


@pytest.mark.parametrize("family", FAMILIES)
def test_a_setting_changes_our_decoder_if_and_only_if_it_changes_transformers(family):
    listed, first = cases(), f"{family}:{{}}"
    base, expected = _ours(listed[first]), golden()[first]
    compared = 0
    for name in listed:
        found, ours = golden()[name], _ours(listed[name])
        if name.startswith(f"{family}:") and found.size and ours is not None:
            assert (ours == base) == (found.shape == expected.shape and np.allclose(found, expected, atol=1e-5)), name
            compared += 1
    assert compared > 40


@pytest.mark.parametrize("family", FAMILIES)
def test_every_setting_is_used_or_refused_or_known_to_have_no_effect(family):
    from transformers import AutoConfig

    known = {*COMMON_SETTINGS, *FAMILIES[family].reads, FAMILIES[family].activation}
    changed = {key for name in cases() if name.startswith(f"{family}:") for key in json.loads(name.partition(":")[2])}
    assert known - {"model_type", "max_position_embeddings"} <= changed  # one scales YaRN alone, which says its own
    silent = IRRELEVANT_SETTINGS | FAMILIES[family].silent
    assert not known & (silent | set(REFUSED_SETTINGS))
    theirs = {field.name for field in dataclasses.fields(type(AutoConfig.for_model(family))) if field.init}
    assert theirs <= known | silent | set(REFUSED_SETTINGS)
    with pytest.warns(CheckpointWarning, match=r"config.json says a_new_setting, which no such model is known to read"):
        decoder_config({"model_type": family, "a_new_setting": 3.0, "another": None, "use_cache": False})
    for key in REFUSED_SETTINGS:
        with pytest.raises(CheckpointError, match=key):
            decoder_config({"model_type": family, key: {"anything": 1}})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0, "1e-5", True, [1e-5], {}])
def test_numbers_are_numbers(value):
    for settings in ({"rms_norm_eps": value}, {"rope_theta": value}, {"hidden_size": value}, {"vocab_size": value}):
        with pytest.raises(CheckpointError, match=r"config\.json"):
            decoder_config({"model_type": "llama", **settings})
    with pytest.raises(CheckpointError, match=r"config\.json"):
        decoder_config(
            {"model_type": "llama", "rope_parameters": {"rope_type": "linear", "rope_theta": 5.0, "factor": value}}
        )


@pytest.mark.parametrize(
    "family",
    [pytest.param(name, marks=[] if name == "llama" else pytest.mark.long) for name in FAMILIES],
)
def test_a_changed_setting_does_what_it_does_in_transformers_or_is_refused(family):
    seen: dict = {}
    wrong = []
    for name, settings in cases().items():
        of, _, change = name.partition(":")
        if of != family:
            continue
        expected = golden()[name]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                config = decoder_config(settings)
            except CheckpointError as error:
                refusal = _refusal(family, json.loads(change))
                if expected.size and (refusal is None or refusal not in str(error)):
                    wrong.append(f"{name}: {error}")
                continue
        if not expected.size and not _accident(family, json.loads(change)):
            wrong.append(f"{name}: transformers refuses it")
            continue
        key = (config, settings["vocab_size"])
        if key not in seen:
            seen[key] = logits(config, family, tokens(settings))
        if expected.size and not np.allclose(seen[key], expected, rtol=1e-4, atol=2e-4):
            wrong.append(f"{name}: off by {np.abs(seen[key] - expected).max():.3g}")
    assert not wrong, "\n".join(wrong)
    assert len(seen) > 12
