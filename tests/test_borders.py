"""At the borders of the language rooms: lists where arrays are due, wrong counts, lengths, tokens, weights, NaN.

The walks find their functions by themselves: whatever has an `Example` of the protocol, or an argument of that name.
"""

import importlib
import inspect
import zlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxuq
from jaxuq import confidence, experts, language, networks, tuning

ROOMS = ("language", "confidence", "experts", "tuning")
KEY = jax.random.key(0)
DECODER = networks.Decoder(networks.DecoderConfig(7, 4, 4, num_layers=1, num_heads=1, num_kv_heads=1, head_dim=4))
VARIABLES = jax.jit(DECODER.init)(KEY, jnp.zeros((1, 2), jnp.int32))
LOG_PROBS = np.log(np.array([[[0.9, 0.1], [0.6, 0.4], [0.85, 0.15]], [[0.2, 0.8], [0.5, 0.5], [0.25, 0.75]]], "f4"))
ALL = np.ones(3, bool)
INSTRUCTION = language.Instruction(np.array([1, 2, 30]), np.array([False, True, True]))


def _examples():
    for room in ROOMS:
        module = importlib.import_module(f"jaxuq.{room}")
        for name, given in importlib.import_module(f"tests.{room}.protocol").EXAMPLES.items():
            example = given[0] if isinstance(given, list) else given
            public = getattr(module, name)
            if example.function is public and all(isinstance(one, np.ndarray) for one in example.args):
                yield f"{room}.{name}", example


EXAMPLES = dict(_examples())


def _public():
    for room in ROOMS:
        module = importlib.import_module(f"jaxuq.{room}")
        for name in module.__all__:
            if inspect.isfunction(inspect.unwrap(getattr(module, name))):
                yield f"{room}.{name}", getattr(module, name)


def _some(names):
    """One in four, by its name; the others are long, as each operation is compiled by itself."""
    for name in names:
        yield pytest.param(name, marks=[] if zlib.crc32(name.encode()) % 4 == 0 else [pytest.mark.long])


@pytest.mark.parametrize("name", [*_some(EXAMPLES)])
def test_lists_of_numbers_are_as_good_as_arrays(name):
    """... to every public function of arrays, with the same numbers."""
    example = EXAMPLES[name]
    with jax.numpy_dtype_promotion("standard"):
        arrays = example.function(*map(jnp.asarray, example.args), **example.kwargs)
        lists = example.function(*(one.tolist() for one in example.args), **example.kwargs)
    jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6), arrays, lists)


def test_the_walk_meets_many_functions():
    assert len(EXAMPLES) > 50


def test_a_list_that_makes_no_array_is_named(unchecked):
    for said in ([[1.0], [2.0, 3.0]], ["a"], [None]):
        with pytest.raises(jaxuq.JaxuqError, match="log_probs is a list that makes no array"):
            confidence.mean_probability(said)


def test_a_list_of_traced_numbers_is_an_array_too():
    got = jax.jit(lambda one: confidence.mean_probability([one, 2 * one]))(-1.0)
    np.testing.assert_allclose(got, confidence.mean_probability(jnp.array([-1.0, -2.0])), rtol=1e-6)


COUNTS = (
    "top_k",
    "num_samples",
    "count",
    "batch_size",
    "num_clusters",
    "sample_size",
    "max_clusters",
    "max_new_tokens",
)
COUNTS += ("capacity", "max_length", "rounds", "pca")


def _counted():
    """Calls that are right but for what the walk puts in."""
    prompts, keys = (jnp.array([[1, 2]]), jnp.array([2])), jax.random.split(KEY, 1)
    asked = {"model": DECODER, "params": VARIABLES, "prompts": prompts[0], "lengths": prompts[1], "rng_keys": keys}
    return {
        "language.generate_tokens": asked | {"max_new_tokens": 2},
        "language.start_generation": asked | {"capacity": 2},
        "language.top_k_mask": {"logits": jnp.ones(3), "top_k": 1},
        "language.plan_batches": {"lengths": np.array([3, 2]), "batch_size": 1, "max_length": 4, "seed": 0},
        "confidence.token_entropy": {"logits": jnp.ones((2, 3)), "top_k": 1},
        "experts.route": {"features": jnp.ones((2, 3)), "centroids": jnp.ones((2, 3)), "top_k": 1},
        "experts.cluster_features": {"features": np.eye(9), "rng_key": KEY, "num_clusters": 2, "pca": 2, "rounds": 1},
        "tuning.batch_bald": {"log_probs": jnp.asarray(LOG_PROBS), "batch_size": 1},
        "tuning.choose_questions": {
            "rng_key": KEY, "acquisition": "entropy", "log_probs": LOG_PROBS, "count": 1, "where": ALL
        },
    }  # fmt: skip


def test_a_negative_count_is_named():
    functions, met = dict(_public()), 0
    for name, given in _counted().items():
        for argument in [one for one in COUNTS if one in inspect.signature(functions[name]).parameters]:
            with pytest.raises(jaxuq.JaxuqError, match=argument):
                functions[name](**given | {argument: -1})
            met += 1
    assert met >= 14


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: _generated([[1, 2]], [5]), "lengths holds 5; expected whole numbers from 0 to 2"),
        (lambda: _generated([[1, 2]], [-1]), "lengths holds -1"),
        (lambda: _generated([[1, 9]], [2]), "prompts holds 9; expected .* a vocabulary of 7"),
        (lambda: _generated([[1, 2]], [2], max_new_tokens=0), "max_new_tokens is 0; expected an integer of at least 1"),
        (lambda: language.plan_batches(np.array([3, 9]), batch_size=1, max_length=4, seed=0), "lengths holds 9"),
        (lambda: language.top_p_mask(jnp.ones(3), 0.0), "top_p is 0"),
        (lambda: language.min_p_mask(jnp.ones(3), 2.0), "min_p is 2"),
        (lambda: language.finetune(KEY, _tiny(), [INSTRUCTION], _config()), "the token 30: expected tokens of a vocab"),
        (lambda: confidence.kernel_language_entropy(jnp.ones((3, 3)), time=-5.0), "time is -5"),
        (lambda: confidence.kernel_language_entropy(jnp.ones((3, 3)), kernel="matern", length=0.0), "length is 0"),
        (lambda: confidence.ensemble_uncertainty(jnp.ones((2, 3)), jnp.ones(2)), "weights sums to 2 .*: divide by"),
        (lambda: confidence.ensemble_uncertainty(jnp.ones((2, 3)), jnp.array([2.0, -1.0])), "weights holds -1"),
        (lambda: confidence.mahalanobis_distance(_fitted(), jnp.ones((3, 5))), "hidden has shape .*of size 2"),
        (lambda: confidence.sequence_entropy(jnp.ones(2), jnp.array([3, -1])), "lengths holds -1"),
        (lambda: experts.cluster_features(np.array([[1.0, np.nan], [1, 2]]), rng_key=KEY), "example 0 are not finite"),
        (lambda: experts.cluster_features(np.eye(9), rng_key=KEY, threshold=-1.0), "threshold is -1"),
        (lambda: experts.cluster_features(np.ones(9), rng_key=KEY), r"features has shape \(9,\)"),
        (lambda: experts.cluster_features(np.eye(9), rng_key=KEY, pca=20), "pca is 20"),
        (lambda: experts.cluster_features(np.eye(9), rng_key=KEY, where=np.ones(3, bool)), "where has shape"),
        (lambda: _random_clusters([3, -1, 7]), "sizes holds -1"), (lambda: _random_clusters([3, 3]), "add up to 6"),
        (lambda: tuning.choose_questions(KEY, "entropy", LOG_PROBS, 1, where=np.ones(2, bool)), "where"),
    ],
)  # fmt: skip
def test_what_is_out_of_range_is_one_error_that_names_it(call, said, unchecked):
    with pytest.raises(jaxuq.JaxuqError, match=said) as error:
        call()
    assert "\n" not in str(error.value)


def _generated(prompts, lengths, **options):
    keys = jax.random.split(KEY, 1)
    options = {"max_new_tokens": 2, **options}
    return language.generate_tokens(DECODER, VARIABLES, jnp.array(prompts), jnp.array(lengths), keys, **options)


def _random_clusters(sizes):
    return experts.cluster_features(np.eye(9), rng_key=KEY, method="random", sizes=np.array(sizes))


def _tiny():
    return language.LanguageModel(DECODER, VARIABLES["params"], tokenizer=None, name="tiny")


def _config():
    return language.FinetuneConfig(networks.LoraConfig(rank=2), epochs=1, batch_size=1, max_length=4)


def _fitted():
    return confidence.fit_mahalanobis(jnp.arange(8.0).reshape(4, 2), shrinkage=0.1)


def test_padding_may_be_any_token_and_traced_numbers_are_not_looked_at():
    padded = _generated([[1, 99]], [1])
    np.testing.assert_array_equal(padded.tokens, _generated([[1, 0]], [1]).tokens)
    assert jax.jit(language.top_k_mask)(jnp.array([1.0, 3.0, 2.0]), 1).tolist() == [False, True, False]
    traced = jax.jit(confidence.ensemble_uncertainty)(jnp.ones((2, 3)), jnp.array([0.5, 0.5]))
    np.testing.assert_allclose(traced.total, np.log(3), rtol=1e-6)


@pytest.mark.parametrize("acquisition", ["random", "entropy", "margin", "bald", "batch-bald", "gap"])
def test_a_question_without_a_score_is_never_chosen(acquisition):
    broken = LOG_PROBS.copy()
    broken[:, 0] = np.nan
    base = {"base_entropy": np.ones(3, np.float32)} if acquisition == "gap" else {}
    chosen = tuning.choose_questions(KEY, acquisition, broken, 3, where=ALL, **base)
    assert sorted(chosen.tolist()) == [1, 2]
    own = tuning.choose_questions(KEY, lambda pool: np.array([np.nan, 1.0, 2.0]), LOG_PROBS, 3, where=ALL)
    assert own.tolist() == [2, 1]


def test_a_batch_never_holds_a_question_twice():
    free = jnp.array([True, False, True])
    chosen, information = tuning.batch_bald(jnp.asarray(LOG_PROBS), 3, where=free)
    assert chosen.tolist()[:2] == [0, 2] and chosen[2] == -1 and np.isnan(information[2])
    two, both = tuning.batch_bald(jnp.asarray(LOG_PROBS), 2, where=free)
    assert two.tolist() == [0, 2] and np.allclose(both, information[:2])
    traced, _ = jax.jit(lambda where: tuning.batch_bald(jnp.asarray(LOG_PROBS), 3, where=where))(free)
    assert traced.tolist() == chosen.tolist()
