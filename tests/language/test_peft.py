"""PEFT's folders both ways: its logits are ours, what we write it reads, and what we cannot do is refused by name."""

import json
import pathlib
import shutil

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from jaxuq.checkpoints import CheckpointWarning
from jaxuq.language import init_adapters, load_peft, merge_adapters, save_peft
from jaxuq.language.errors import CheckpointError
from jaxuq.networks import Decoder, LoraConfig, unstack_layers
from tests.language.golden_decoders import load
from tests.language.tiny_decoder import logits_of

GOLDEN = pathlib.Path(__file__).parent / "golden"
FUSED = ("fused", "fused-dora")  # of Phi-3, whose files hold one projection for several of ours


@pytest.fixture(scope="module")
def llama():
    return load("llama")


@pytest.mark.parametrize("kind", ["lora", "rslora", "dora", "patterns", "layers", "dora-patterns", *FUSED])
def test_logits_are_those_of_peft(kind, llama):
    llama = load("phi3") if "fused" in kind else llama
    config, lora = load_peft(GOLDEN / f"peft-{kind}", llama.config)
    with np.load(GOLDEN / f"peft-{kind}" / "logits.npz") as file:
        tokens, logits = file["tokens"], file["logits"]
    decoder = Decoder(llama.config, lora=config)
    np.testing.assert_allclose(logits_of(decoder, llama.params, lora, tokens), logits, rtol=1e-4, atol=1e-4)
    merged = merge_adapters(llama.params, lora, config)
    np.testing.assert_allclose(logits_of(decoder, merged, None, tokens), logits, rtol=1e-4, atol=1e-4)
    assert np.abs(logits_of(decoder, llama.params, None, tokens) - logits).max() > 0.1


@pytest.mark.parametrize("kind", FUSED)
def test_a_fused_projection_is_written_as_peft_names_it(kind, tmp_path):
    config, lora = load_peft(GOLDEN / f"peft-{kind}", load("phi3").config)
    save_peft(tmp_path, config, lora, family="phi3")
    theirs, ours = (load_file(folder / "adapter_model.safetensors") for folder in (GOLDEN / f"peft-{kind}", tmp_path))
    assert {name: (a.shape, a.tobytes()) for name, a in ours.items()} == {
        name: (a.shape, a.tobytes()) for name, a in theirs.items()
    }
    settings = [
        json.loads((folder / "adapter_config.json").read_text()) for folder in (GOLDEN / f"peft-{kind}", tmp_path)
    ]
    assert (
        set(settings[0]["target_modules"]) == set(settings[1]["target_modules"]) and settings[1]["rank_pattern"] == {}
    )


@pytest.mark.parametrize("rslora", [False, True])
@pytest.mark.parametrize("dora", [False, True])
def test_parts_with_factors_of_their_own_are_fused_to_the_same_model(rslora, dora, tmp_path, rng):
    phi = load("phi3")
    config = LoraConfig(2, 3.0, targets=phi.config.linear_layers, rslora=rslora, dora=dora)
    decoder = Decoder(phi.config, lora=config)
    lora = init_adapters(jax.random.key(0), decoder, phi.params)
    lora = jax.tree.map(lambda leaf: leaf + rng.normal(size=leaf.shape).astype(np.float32) / 8, lora)
    save_peft(tmp_path, config, lora, family="phi3")
    names = load_file(tmp_path / "adapter_model.safetensors")
    assert names["base_model.model.model.layers.0.self_attn.qkv_proj.lora_A.weight"].shape[0] == 6
    again, back = load_peft(tmp_path, phi.config)
    tokens = np.arange(12).reshape(2, 6) % phi.config.vocab_size
    expected = logits_of(decoder, phi.params, lora, tokens)
    found = logits_of(Decoder(phi.config, lora=again), phi.params, back, tokens)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    assert np.abs(expected - logits_of(decoder, phi.params, None, tokens)).max() > 0.1
    only = {"layers": {"query": lora["layers"]["query"]}}
    with pytest.raises(ValueError, match=r"qkv_proj is one module, and there is no adapter of key, value"):
        save_peft(tmp_path, config, only, family="phi3")


@pytest.mark.parametrize("kind", ["lora", "rslora", "dora"])
def test_round_trip_is_exact(kind, llama, tmp_path):
    config, lora = load_peft(GOLDEN / f"peft-{kind}", llama.config)
    save_peft(tmp_path / "adapter", config, lora, base_model="somewhere")
    theirs, ours = (
        load_file(folder / "adapter_model.safetensors") for folder in (GOLDEN / f"peft-{kind}", tmp_path / "adapter")
    )
    assert {name: (a.shape, a.dtype, a.tobytes()) for name, a in ours.items()} == {
        name: (a.shape, a.dtype, a.tobytes()) for name, a in theirs.items()
    }
    settings = [
        json.loads((folder / "adapter_config.json").read_text())
        for folder in (GOLDEN / f"peft-{kind}", tmp_path / "adapter")
    ]
    for name in ("peft_type", "task_type", "r", "lora_alpha", "lora_dropout", "use_rslora", "use_dora", "bias"):
        assert settings[0][name] == settings[1][name]
    unrolled = unstack_layers(lora, 2)
    save_peft(tmp_path / "adapter", config, unrolled)  # replaces the first
    again, back = load_peft(tmp_path / "adapter", llama.config, scan=False)
    assert again == config
    jax.tree.map(np.testing.assert_array_equal, back, unrolled)
    assert sorted(path.name for path in (tmp_path / "adapter").iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
    ]


@pytest.fixture
def folder(tmp_path):
    return pathlib.Path(shutil.copytree(GOLDEN / "peft-lora", tmp_path / "adapter"))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("peft_type", "LOHA", "'LOHA' are not supported"),
        ("bias", "all", "trained biases"),
        ("rank_pattern", {"q_proj": 4}, r"q_proj \(a\) has shape .*; this model needs \(4, 16\)"),
        ("rank_pattern", {"q_proj": 0}, "q_proj is 0"),
        ("rank_pattern", ["q_proj"], "rank_pattern"),
        ("alpha_pattern", {"q_proj": float("nan")}, "q_proj is nan"),
        ("alpha_pattern", {"(a*)*": 4}, "alpha_pattern has a pattern that is not supported"),
        ("exclude_modules", "(", "exclude_modules is no pattern"),
        ("exclude_modules", ["q_proj"], "unexpected .*q_proj"),
        ("layers_to_transform", [0], "unexpected layers.1"),
        ("layers_to_transform", "all", "expected numbers of layers"),
        ("layers_to_transform", True, "expected numbers of layers"),
        ("layers_to_transform", [0, True], "expected numbers of layers"),
        ("lora_alpha", float("inf"), "lora_alpha is inf"),
        ("lora_alpha", "8", "lora_alpha is '8'"),
        ("r", 0, "r is 0"),
        ("r", 2.5, "r is 2.5"),
        ("use_rslora", "yes", "use_rslora"),
        ("modules_to_save", ["lm_head"], "modules_to_save is"),
        ("init_lora_weights", "pissa_niter_16", "changes the base model"),
        ("init_lora_weights", "OLoRA", "'OLoRA', which changes the base model"),
        ("use_dora", True, r"missing .*layers.0.mlp.down_proj \(magnitude\)"),
        ("r", 4, r"has shape \(3, 16\); this model needs \(4, 16\)"),
        ("r", "many", "r is .many.; expected an integer"),
    ],
)
def test_settings_that_are_not_supported_are_refused(folder, llama, name, value, message):
    file = folder / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {name: value}))
    with pytest.raises(CheckpointError, match=message) as caught:
        load_peft(folder, llama.config)
    assert str(folder) in str(caught.value)


@pytest.mark.parametrize(
    "settings",
    [
        {"layers_to_transform": []},
        {"layers_to_transform": None},
        {"layers_to_transform": [0, 1]},
        {"target_modules": "ALL-LINEAR"},
        {"target_modules": "All-Linear", "layers_to_transform": []},
    ],
)
def test_settings_that_name_all_modules_in_other_words_load(folder, llama, settings):
    """As PEFT has them: an empty list restricts nothing, and the short name may have any case."""
    plain = load_peft(folder, llama.config)
    file = folder / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | settings))
    config, lora = load_peft(folder, llama.config)
    assert config == plain[0]
    jax.tree.map(np.testing.assert_array_equal, lora, plain[1])


def test_damaged_tensors_are_named(folder, llama):
    file = folder / "adapter_model.safetensors"
    tensors = load_file(file)
    first = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"
    last = "base_model.model.model.layers.1.mlp.down_proj.lora_B.weight"

    def refused(changed, message):
        save_file(changed, file)
        with pytest.raises(CheckpointError, match=message) as caught:
            load_peft(folder, llama.config)
        assert str(file) in str(caught.value)

    refused({name: a for name, a in tensors.items() if name not in (first, last)}, r"q_proj \(a\)|down_proj \(b\)")
    refused(tensors | {"base_model.model.lm_head.lora_A.weight": tensors[first]}, "no adapters of .*lm_head")
    refused(tensors | {first.replace("0", "7"): tensors[first]}, "layers.7.self_attn.q_proj")
    refused(tensors | {first: tensors[first] * np.float32("nan")}, r"q_proj \(a\) holds numbers that are not finite")
    refused({}, "holds no adapters")


def test_damaged_files_are_named(folder, llama):
    file = folder / "adapter_model.safetensors"
    whole = file.read_bytes()
    for size in (0, 5, 20, 400, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:size])
        with pytest.raises(CheckpointError, match="damaged or incomplete"):
            load_peft(folder, llama.config)
    file.rename(folder / "adapter_model.bin")
    with pytest.raises(CheckpointError, match="pickled"):
        load_peft(folder, llama.config)
    (folder / "adapter_config.json").write_text("{")
    with pytest.raises(CheckpointError, match="not a readable JSON"):
        load_peft(folder, llama.config)
    with pytest.raises(CheckpointError, match="no adapter folder"):
        load_peft(folder / "nowhere", llama.config)
    with pytest.raises(ValueError, match="save experts one by one"):
        save_peft(folder, LoraConfig(), {"layers": {"query": {"a": np.zeros((2, 2, 4, 3))}}})


@pytest.mark.oracle
@pytest.mark.parametrize("kind", ["lora", "rslora", "dora"])
def test_peft_reads_what_we_write(kind, llama, tmp_path):
    torch = pytest.importorskip("torch")
    peft = pytest.importorskip("peft")
    from tests.language.golden.make_adapters import base_model

    config, lora = load_peft(GOLDEN / f"peft-{kind}", llama.config)
    lora = jax.tree.map(lambda leaf: 0.7 * leaf, lora)
    save_peft(tmp_path, config, lora)
    model = peft.PeftModel.from_pretrained(base_model(), tmp_path).eval()
    tokens = np.arange(18).reshape(2, 9) % 40
    with torch.no_grad():
        theirs = model(torch.tensor(tokens)).logits.numpy()
    ours = logits_of(Decoder(llama.config, lora=config), llama.params, lora, tokens)
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ["lora", "dora", "patterns", *FUSED])
def test_nothing_that_peft_itself_writes_is_news(kind, llama, recwarn):
    load_peft(GOLDEN / f"peft-{kind}", (load("phi3") if "fused" in kind else llama).config)
    assert not [one for one in recwarn if issubclass(one.category, CheckpointWarning)]


@pytest.mark.parametrize("value", [True, {"rank": 3}, 0.5, False, {}, None])
def test_settings_that_no_reader_knows_are_named_if_they_say_something(value, folder, llama, recwarn):
    file = folder / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"use_something_new": value}))
    load_peft(folder, llama.config)
    warned = [str(one.message) for one in recwarn if issubclass(one.category, CheckpointWarning)]
    assert bool(warned) == bool(value) and all("use_something_new" in one for one in warned)
