"""What every process of a mesh of eight devices computes, and writes if it is the first: tokens, features, adapters."""

import os
import sys

import jax
import numpy as np

from jaxuq.confidence import uqac
from jaxuq.experts import AdapterCheckpoint, gradient_features
from jaxuq.language import FinetuneConfig, Instruction, Sampling, finetune, generate, init_adapters, model_digest, score
from jaxuq.networks import LoraConfig
from jaxuq.parallel import meet_processes, mesh_of, on_host

PROMPTS = ("one two three", "red blue", "what is red", "a b c d e")
MESHES = ("data=4,tensor=2", "fsdp=8")
KEY = 1


def answers(model):
    """Tokens, and what the model thought of them."""
    found = generate(model, PROMPTS, max_new_tokens=5, sampling=Sampling(1.0), num_samples=2, chat=False)
    yield "tokens", np.concatenate([one.tokens for one in found])
    scored = score(model, PROMPTS, [one.tokens for one in found[::2]], chat=False, keep_hidden=True)
    yield "log_probs", np.concatenate([one.log_probs for one in (*found, *scored)])
    yield "hidden", np.concatenate([one.hidden for one in scored])


def tuned(model, mesh):
    """Gradient features, and adapters after four steps."""
    lora, key = LoraConfig(rank=3), jax.random.key(KEY)
    model = model._replace(decoder=model.decoder.clone(lora=lora))
    examples = [Instruction(np.arange(1, 7) + number, np.arange(6) > 2) for number in range(16)]
    adapters = init_adapters(jax.random.key(0), model.decoder, model.params)
    moments = jax.tree.map(lambda leaf: jax.numpy.full_like(leaf, 0.01), adapters)
    checkpoint = AdapterCheckpoint(adapters, moments, moments, count=3, learning_rate=1e-3)
    given = {"rng_key": key, "dimension": 64, "tokens": "all", "mesh": mesh}
    yield "features", gradient_features(model, [checkpoint], examples, **given).features
    config = FinetuneConfig(lora, epochs=2, batch_size=8, max_length=8, learning_rate=1e-3)
    found = finetune(key, model._replace(decoder=model.decoder.clone(lora=None)), examples, config, mesh=mesh)
    yield "adapters", np.concatenate([leaf.ravel() for leaf in jax.tree.leaves(on_host(found.model.lora))])


def everything(mesh):
    """Names and arrays, one after another."""
    from tests.experts.tiny_run import tiny_model  # which makes arrays, for which devices are looked for

    model = tiny_model()
    meet_processes(mesh)
    model = model.on_mesh(mesh)
    yield "digest", np.array(model_digest(model))
    yield from answers(model)
    yield from tuned(model, mesh)
    chains = uqac(model, list(PROMPTS), ["one two"] * 4, answers=["two"] * 4, kind="text", chat=False)
    yield "chains", np.array([one.confidence for one in chains])


def main(rank, count, port, output):
    """Join the others once all is imported, which may take some of them long."""
    jax.config.update("jax_num_cpu_devices", 8 // count)
    jax.config.update("jax_threefry_partitionable", True)
    if count > 1:
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        jax.config.update("jax_enable_compilation_cache", False)
        jax.distributed.initialize(f"127.0.0.1:{port}", count, rank)
    for number, text in enumerate(MESHES):
        for name, array in everything(mesh_of(text)):
            if rank == 0:
                np.save(os.path.join(output, f"{number}-{name}.npy"), array)
    print(f"process {rank} of {jax.process_count()}, {jax.local_device_count()} of {jax.device_count()} devices")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4])
