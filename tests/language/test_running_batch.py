"""A running batch: answers are those of `generate_tokens` alone, whoever comes and goes; memory and programs few."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxuq
from jaxuq.language import Ask, RunningBatch, Sampling, Steering, decode_loop, generate_tokens, prefill
from jaxuq.language.row_sampling import RowSampling, sample_rows
from jaxuq.language.sampling import check_sampling, sample_token
from jaxuq.networks import CapabilityError, Decoder, as_model
from tests.language.tiny_decoder import CONFIG, base_params

DECODER, STOP, LONGEST = Decoder(CONFIG), 3, 60
VARIABLES = {"params": base_params()}
MIXED = (Sampling(None), Sampling(0.9), Sampling(1.2, 9, 0.9, 0.02))
PROMPTS = [
    np.random.default_rng(seed).integers(4, 40, length).tolist()
    for seed, length in enumerate([3, 17, 33, 150, 40, 64, 5, 1, 128])
]


def batch_of(**options):
    options = {"most_rows": 4, "most_tokens": 4096, "stop_tokens": (STOP,), **options}
    return RunningBatch(DECODER, VARIABLES, **options)


def run(batch, asks, every=1):
    """Hand one in at a time, and collect all that is said: by place in `asks` and sample."""
    asks, places, found = list(asks), {}, {}
    for number, ask in enumerate(asks):
        places[batch.add(ask)] = number
        for _ in range(every):
            collect(batch.advance(), places, found)
    while batch.busy:
        collect(batch.advance(), places, found)
    return found


def collect(grown, places, found):
    for one in grown:
        old = found.setdefault((places[one.ticket], one.sample), [[], [], [], ""])
        assert not old[3], "it had ended"
        old[0] += one.tokens.tolist()
        old[1] += one.log_probs.tolist()
        old[2] += one.entropies.tolist()
        old[3] = one.finish


def ask(prompt, seed, sampling=MIXED[1], tokens=LONGEST, **more):
    return Ask(prompt, tokens, jax.random.key(seed), sampling=sampling, **more)


@pytest.fixture(scope="module")
def direct():
    """What `generate_tokens` says to every prompt, with each sampling, three times; prompt i has the seed i."""
    width = max(map(len, PROMPTS))
    prompts = jnp.asarray([prompt + [0] * (width - len(prompt)) for prompt in PROMPTS])
    lengths, keys = jnp.asarray(list(map(len, PROMPTS))), jax.vmap(jax.random.key)(jnp.arange(len(PROMPTS)))
    known = {}
    for sampling in MIXED:
        made = generate_tokens(
            DECODER, VARIABLES, prompts, lengths, keys, max_new_tokens=LONGEST, sampling=sampling, num_samples=3,
            stop_tokens=(STOP,),
        )  # fmt: skip
        known[sampling] = jax.device_get((made.tokens, made.num_generated, made.log_probs, made.entropies))
    return known


def same(found, direct, sampling, prompt, sample, longest=LONGEST):
    tokens, counts, log_probs, entropies = direct[sampling]
    row = prompt * 3 + sample
    count = min(int(counts[row]), longest)
    assert found[0] == tokens[row, :count].tolist()
    np.testing.assert_allclose(found[1], log_probs[row, :count], atol=1e-5)
    np.testing.assert_allclose(found[2], entropies[row, :count], atol=1e-5)
    assert found[3] == ("stop" if found[0][-1] == STOP else "length")


@pytest.mark.parametrize("every", [0, 1, 3])
def test_in_whatever_company_an_answer_is_that_of_generate(direct, every):
    asks, wanted = [], []
    for number, prompt in enumerate(PROMPTS):
        sampling, longest, samples = MIXED[number % 3], (LONGEST, 20, 1)[number // 3], 1 + number % 2 * 2
        asks.append(ask(prompt, number, sampling, longest, num_samples=samples))
        wanted += [(number, sample, sampling, longest) for sample in range(samples)]
    found = run(batch_of(), asks, every)
    assert len(found) == len(wanted)
    for number, sample, sampling, longest in wanted:
        same(found[number, sample], direct, sampling, number, sample, longest)


def test_alone_and_in_any_order_it_is_the_same(direct):
    rng = np.random.default_rng(0)
    for rows in (1, 4):
        order = rng.permutation(len(PROMPTS))
        found = run(batch_of(most_rows=rows), [ask(PROMPTS[at], at) for at in order], rng.integers(3))
        for place, at in enumerate(order):
            same(found[place, 0], direct, MIXED[1], at, 0)


def test_who_leaves_frees_a_row_at_the_next_chunk_and_changes_nobody(direct):
    batch = batch_of(most_rows=2)
    tickets = [batch.add(ask(PROMPTS[at], at, tokens=LONGEST)) for at in (1, 4, 5, 6)]
    found = {}
    places = dict(zip(tickets, (1, 4, 5, 6)))
    while batch.running < 2:
        collect(batch.advance(), places, found)
    batch.leave(tickets[0])
    batch.leave(tickets[2])  # which still waits
    assert batch.running == 1
    collect(batch.advance(), places, found)
    assert batch.running == 2
    while batch.busy:
        collect(batch.advance(), places, found)
    assert (5, 0) not in found and len(found.get((1, 0), [[]])[0]) < LONGEST
    for at in (4, 6):
        same(found[at, 0], direct, MIXED[1], at, 0)


def test_one_of_several_samples_may_leave(direct):
    batch = batch_of()
    ticket = batch.add(ask(PROMPTS[1], 1, num_samples=3))
    found = {}
    while not found:
        collect(batch.advance(), {ticket: 1}, found)
    batch.leave(ticket, 1)
    assert batch.running == 2
    while batch.busy:
        collect(batch.advance(), {ticket: 1}, found)
    for sample in (0, 2):
        same(found[1, sample], direct, MIXED[1], 1, sample)


def test_a_common_beginning_is_read_once(direct, monkeypatch):
    read = []
    whole = prefill.read_piece
    monkeypatch.setattr("jaxuq.language.prefill.read_piece", lambda *given: read.append(given[-1]) or whole(*given))
    shared, batch = PROMPTS[3], batch_of()
    run(batch, [ask(shared[:140], 0)])
    assert sum(map(int, read)) == 140
    read.clear()
    found = run(batch, [ask(shared, 3, num_samples=3)])
    assert sum(map(int, read)) == 150 - 128  # the beginning is known up to a multiple of 32
    for sample in range(3):
        same(found[0, sample], direct, MIXED[1], 3, sample)
    assert batch._prefill._prefixes.slots <= 4096 // 4
    run(batch, [ask(np.roll(shared, at).tolist(), 0, tokens=1) for at in range(12)])
    assert batch._prefill._prefixes.slots <= 4096 // 4


def test_a_long_prompt_stops_nobody():
    batch = batch_of()
    first = batch.add(ask(PROMPTS[0], 0, tokens=LONGEST, eager=True))
    batch.advance()
    batch.add(ask((PROMPTS[3] * 5)[:700], 1, tokens=1))
    heard = 0
    while batch._prefill.pending:
        grown = batch.advance()
        heard += sum(one.ticket == first for one in grown)
    assert heard >= 700 // 128


def test_penalties_and_biases_are_those_of_generate(direct):
    prompt = jnp.asarray([PROMPTS[1]])
    bias = {7: 3.0, 9: -50.0, 11: 2.0}
    added = jnp.zeros(CONFIG.vocab_size).at[jnp.asarray(list(bias))].set(jnp.asarray(list(bias.values())))
    made = generate_tokens(
        DECODER, VARIABLES, prompt, jnp.asarray([17]), jax.random.key(5)[None], max_new_tokens=30,
        sampling=MIXED[1], steering=Steering(added, 0.4, 0.6), stop_tokens=(STOP,),
    )  # fmt: skip
    steered = ask(PROMPTS[1], 5, tokens=30, bias=bias, frequency=0.4, presence=0.6)
    found = run(batch_of(), [ask(PROMPTS[0], 0), steered, ask(PROMPTS[4], 4)])
    count = int(made.num_generated[0])
    assert found[1, 0][0] == made.tokens[0, :count].tolist()
    np.testing.assert_allclose(found[1, 0][1], made.log_probs[0, :count], atol=1e-5)
    same(found[0, 0], direct, MIXED[1], 0, 0)


def test_the_likeliest_tokens_go_to_who_asked_for_them():
    batch = batch_of(most_alternatives=4)
    asked, other = batch.add(ask(PROMPTS[0], 0, MIXED[0], 9, alternatives=True)), batch.add(ask(PROMPTS[1], 1))
    seen = {asked: 0, other: 0}
    while batch.busy:
        for one in batch.advance():
            seen[one.ticket] += 1
            assert (one.alternatives is not None) == (one.ticket == asked)
            if one.alternatives is not None:
                np.testing.assert_array_equal(one.alternatives.tokens[:, 0], one.tokens)  # greedy
                np.testing.assert_allclose(one.alternatives.log_probs[:, 0], one.log_probs, atol=1e-6)
                assert (np.diff(one.alternatives.log_probs, axis=1) <= 0).all()
    assert all(seen.values())


def test_memory_is_bounded_whatever_comes():
    batch, rng = batch_of(most_tokens=1024), np.random.default_rng(1)
    for number in range(60):
        length = int(rng.choice([3, 30, 100, 400]))
        batch.add(ask(rng.integers(4, 40, length).tolist(), number, tokens=int(rng.choice([1, 5, 50]))))
    while batch.busy:
        batch.advance()
        if batch._slots is not None:
            assert batch._slots.places.shape == (len(batch._rows), batch._width)
            assert len(batch._rows) * batch._width <= 1024 and batch._used <= batch._width
    with pytest.raises(jaxuq.JaxuqError, match=r"prompt and answer take 3003 tokens.*most_tokens is 1024"):
        batch.add(ask([4, 5, 6], 0, tokens=3000))


def test_few_programs_are_compiled():
    rng, batch = np.random.default_rng(2), batch_of(most_tokens=4 * 512)
    decode_loop.advance_rows.clear_cache()
    for number in range(60):
        batch.add(ask(rng.integers(4, 40, int(rng.integers(1, 300))).tolist(), number, tokens=int(rng.integers(1, 40))))
        batch.advance()
    while batch.busy:
        batch.advance()
    assert decode_loop.advance_rows._cache_size() <= 2 * 3  # rows 1, 4; slots 128, 256, 512


@pytest.mark.parametrize("field", ["put", "seek"])
def test_a_model_that_cannot_is_refused_by_name(field):
    model = as_model(DECODER)
    with pytest.raises(CapabilityError, match=f"no `rows.{field}`, which is needed for answers that join a batch"):
        RunningBatch(model._replace(rows=model.rows._replace(**{field: None})), VARIABLES)


@pytest.mark.parametrize(
    ("change", "said"),
    [({"prompt": []}, "no tokens"), ({"max_new_tokens": 0}, "max_new_tokens"), ({"num_samples": 0}, "num_samples"),
     ({"sampling": Sampling(-1.0)}, "temperature")],
)  # fmt: skip
def test_what_cannot_be_answered_is_refused_before_it_costs_anything(change, said):
    batch = batch_of()
    with pytest.raises(jaxuq.JaxuqError, match=said):
        batch.add(ask([4], 0)._replace(**change))
    assert not batch.busy


def test_rows_choose_as_they_would_alone():
    rng = np.random.default_rng(3)
    every = [Sampling(t, k, p, m) for t in (0.0, 0.7) for k in (0, 3) for p in (1.0, 0.6) for m in (0.0, 0.2)]
    logits = jnp.asarray(rng.normal(size=(len(every), 300)) * 3, jnp.float32)
    keys = jax.random.split(jax.random.key(1), len(every))
    columns = RowSampling(*(jnp.asarray(column) for column in zip(*every)))
    together = jax.jit(sample_rows)(keys, logits, columns)
    for row, sampling in enumerate(every):
        assert int(together[row]) == int(sample_token(keys[row], logits[row], check_sampling(sampling)))
