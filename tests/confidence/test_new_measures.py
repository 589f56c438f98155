"""Iterated prompting, pairs, prefixes, groups, hedges, turns, orders: worked numbers, and loops over named indices."""

import itertools
import math
import re

import jax.numpy as jnp
import numpy as np
import pytest

from jaxuq import confidence as c
from jaxuq.calibration import abstention_threshold
from jaxuq.confidence.measures import MEASURES, in_a_run
from tests.confidence.calling import call

RNG = np.random.default_rng(3)


def close(actual, expected, atol=2e-6):
    np.testing.assert_allclose(np.asarray(actual), expected, atol=atol)


# Iterated prompting
ONCE = np.log([0.3, 0.2, 0.1])
AGAIN = np.log([[0.5, 0.1, 0.05], [0.25, 0.2, 0.05], [0.3, 0.1, 0.2]])


def literal_iterated(once, again, clusters, joint_floor, product_floor):
    """Algorithm 3, over clusters called by their first answer."""
    names = [one for one in dict.fromkeys(clusters) if one >= 0]
    first, given = {}, {}
    for name in names:
        first[name] = sum(math.exp(once[j]) for j in range(len(once)) if clusters[j] == name)
    total = sum(first.values())
    first = {name: value / total for name, value in first.items()}
    for shown in names:
        centre = list(clusters).index(shown)
        row = {name: sum(math.exp(again[centre][j]) for j in range(len(once)) if clusters[j] == name) for name in names}
        given[shown] = {name: value / sum(row.values()) for name, value in row.items()}
    second = {name: sum(first[shown] * given[shown][name] for shown in names) for name in names}
    information = 0.0
    for shown, name in itertools.product(names, names):
        joint = first[shown] * given[shown][name]
        information += joint * math.log((joint + joint_floor) / (first[shown] * second[name] + product_floor))
    return information, first, second


def test_iterated_prompting_has_its_worked_numbers():
    found = call(c.iterated_mutual_information, ONCE, AGAIN)
    close(found.mutual_information, 0.066125)
    close(found.entropy, 1.011404)
    close(found.first, [0.5, 1 / 3, 1 / 6])
    close(found.second, [0.634615, 0.238034, 0.127350])
    for floor, expected in ((0.1, 0.043382), (1 / 90, 0.059524)):
        close(call(c.iterated_mutual_information, ONCE, AGAIN, joint_floor=floor).mutual_information, expected)
    pairs = np.array([[0, 0], [0, 1], [0, 0], [1, 1], [2, 0]])
    drawn = np.log([0.24, 0.08, 0.24, 0.06, 0.02])
    close(call(c.tuple_mutual_information, drawn, pairs), 0.197579)
    close(call(c.tuple_mutual_information, drawn, pairs, joint_floor=0.2), 0.079359)
    close(call(c.missing_mass, np.array([0, 1, 0, 2, 3])), 0.6)
    close(call(c.iterated_bound, np.array(1.0), samples=10, support=9), -4.819297)
    close(call(c.iterated_bound, np.array(1.0), samples=1000, support=9), 0.354414)


def test_iterated_prompting_is_its_loops():
    for clusters in ([0, 0, 2, 1, -1, 2], [5, 3, 3, 5, 0, 1]):
        once, again = -np.abs(RNG.normal(size=6)), -np.abs(RNG.normal(size=(6, 6)))
        found = call(c.iterated_mutual_information, once, again, np.array(clusters), joint_floor=0.02,
                     product_floor=0.05)  # fmt: skip
        information, first, second = literal_iterated(once, again, clusters, 0.02, 0.05)
        close(found.mutual_information, information)
        for name in first:
            close(found.first[clusters.index(name)], first[name])
            close(found.second[clusters.index(name)], second[name])


def test_it_is_zero_for_one_who_knows_and_the_entropy_for_one_who_copies():
    row = np.log(RNG.dirichlet(np.ones(5)))
    knows = call(c.iterated_mutual_information, row, np.tile(row, (5, 1)))
    close(knows.mutual_information, 0.0)
    copies = call(c.iterated_mutual_information, ONCE, np.where(np.eye(3, dtype=bool), 0.0, -1e9))
    close(copies.mutual_information, 1.011404)
    order = RNG.permutation(3)
    close(call(c.iterated_mutual_information, ONCE[order], AGAIN[np.ix_(order, order)]).mutual_information, 0.066125)
    close(call(c.iterated_mutual_information, ONCE, AGAIN, np.zeros(3, int)).mutual_information, 0.0)


def test_abstention_is_calibrated_by_it():
    """Among questions with many right answers, entropy says nothing of what is known; the threshold is one on I."""
    information, entropy, correct = [], [], []
    for number in range(300):
        knows = number % 3 != 0
        row = RNG.dirichlet(np.ones(4) * (5.0 if number % 2 else 0.3))
        again = np.tile(row, (4, 1)) if knows else 0.8 * np.eye(4) + 0.2 * row
        found = literal_iterated(np.log(row), np.log(again), [0, 1, 2, 3], 0.0, 0.0)
        information.append(found[0])
        entropy.append(-sum(one * math.log(one) for one in row))
        correct.append(knows)
    tried = np.array([-0.01, -0.1, -0.3, -0.6, -1.2])
    levels = {"level": 0.1, "delta": 0.1}
    threshold = float(call(abstention_threshold, -np.array(information), np.array(correct), tried, **levels))
    accepted = -np.array(information) >= threshold
    assert np.mean(np.array(correct)[accepted]) >= 0.9 and accepted.sum() >= 190
    assert np.isinf(call(abstention_threshold, -np.array(entropy), np.array(correct), tried, **levels))


# Pair prediction
def test_pair_prediction_has_its_worked_numbers():
    groups = np.array([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3]])
    mean = groups.mean(0)
    found = call(c.pair_prediction, mean, (groups.T @ groups / 2) / mean[:, None])
    close(found.covariance, [[0.09, -0.06, -0.03], [-0.06, 0.04, 0.02], [-0.03, 0.02, 0.01]])
    close(found.covariance.sum(1), 0.0)
    close(found.confidence, [0.64, 0.8, 0.8])
    assert int(found.negative) == 0
    close(call(c.pair_interval, np.array(0.6), np.array(0.09), miss=0.5), [0.175736, 1.0, 0.424264])
    close(call(c.pair_interval, np.array(0.6), np.array(0.09), miss=0.1), [0.0, 1.0, 0.948683])
    close(call(c.pair_interval, np.array(0.6), np.array(0.0)), [0.6, 0.6, 0.0])


def test_the_mixture_itself_is_second_order_calibrated():
    """Bins of V hold the mean of (p - mean)^2, and the interval the truth as often as it says."""
    squares, variances, inside = [], [], []
    for _ in range(12):
        hidden = RNG.dirichlet(np.ones(4) * RNG.choice([0.3, 1.0, 10.0]), size=8)  # questions that look alike
        mean = hidden.mean(0)
        repeated = np.zeros((4, 4))
        for a, b, one in itertools.product(range(4), range(4), range(8)):
            repeated[a, b] += hidden[one, a] * hidden[one, b] / 8 / mean[a]
        found = call(c.pair_prediction, mean, repeated)
        squares.append(((hidden - mean) ** 2).mean(0))
        variances.append(found.variance)
        low, high, _ = map(np.asarray, call(c.pair_interval, mean, np.asarray(found.variance), miss=0.3))
        inside.append(((hidden >= low - 1e-6) & (hidden <= high + 1e-6)).mean())
        expected = [mean[a] / repeated[a, a] for a in range(4)]
        close(found.confidence, expected, 1e-5)
    close(np.array(variances), np.array(squares), 1e-6)
    assert np.mean(inside) >= 0.7


def test_what_no_pair_can_be_is_counted():
    found = call(c.pair_prediction, np.array([0.5, 0.5]), np.array([[0.2, 0.8], [0.8, 0.2]]))
    assert int(found.negative) == 2
    close(found.variance, [0.0, 0.0])
    close(found.confidence, [1.0, 1.0])


# Prefixes
def test_prefixes_have_their_worked_numbers():
    close(call(c.backward_integration, np.array([0.4, 0.6, 0.9])), [0.575, 0.75, 0.9])
    close(call(c.integrated_confidence, np.array(0.6), np.array([0.9, 0.3])), 0.6)
    right = np.array([[1, 1, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0]])
    close(call(c.prefix_targets, right).share, [0.5, 1.0, 0.0])  # the released code has 5, 8 and 5 tenths
    thirty = call(c.prefix_targets, np.arange(30) < 18)
    close([thirty.share, thirty.standard_error, thirty.smoothed], [0.6, 0.089443, 0.59375])
    where = np.array([1, 0, 1, 1, 0], bool)
    masked = call(c.backward_integration, np.array([0.4, np.nan, 0.6, 0.9, np.nan]), where=where)
    close(masked, [0.575, np.nan, 0.75, 0.9, np.nan])


def test_integration_stays_within_what_comes_after():
    values = RNG.random(12)
    found = np.asarray(call(c.backward_integration, values, weight=0.3))
    later = values[-1]
    for j in reversed(range(12)):
        later = values[j] if j == 11 else 0.3 * values[j] + 0.7 * later
        close(found[j], later)
        assert values[j:].min() - 1e-6 <= found[j] <= values[j:].max() + 1e-6


def test_soft_targets_are_least_at_the_true_chance():
    """On a chain with known chances of success, by enumeration of what may come."""
    chances = [0.2, 0.5, 0.9]
    grid = np.linspace(0.01, 0.99, 99)
    for chance in chances:
        draws = RNG.random((400, 30)) < chance
        targets = np.asarray(call(c.prefix_targets, draws).share)
        losses = [-(targets * math.log(p) + (1 - targets) * math.log(1 - p)).mean() for p in grid]
        assert abs(grid[int(np.argmin(losses))] - targets.mean()) <= 0.0051
        assert abs(targets.mean() - chance) < 3 * math.sqrt(chance * (1 - chance) / 12000)


# Groups
ROWS = [[0.7, 0.2, 0.1], [0.98, 0.01, 0.01], [1 / 3] * 3, [0.6, 0.3, 0.1], [0.9, 0.05, 0.05]]


def test_group_confidence_has_its_worked_numbers():
    confidences = np.asarray(call(c.token_confidence, np.log(ROWS)))
    close(confidences, [1.422899, 3.076848, 1.098612, 1.339128, 2.032275])
    kinds = {"mean": 1.793952, "tail": 1.685701, "lowest": 1.218870, "bottom": 1.218870}
    for kind, expected in kinds.items():
        close(call(c.trace_confidence, confidences, kind=kind, window=2), expected)
        close(call(c.trace_confidence, confidences, kind=kind, window=6), 1.793952)  # shorter than the window
    vote = call(c.weighted_vote, np.array([0, 0, 1, 1]), np.array([1.5, 1.2, 2.6, 2.4]))
    assert int(vote.cluster) == 1
    close(vote.share, 0.649351)
    warm = np.array([1.2, 1.5, 1.8, 2.4, 2.6])
    close(call(c.stopping_threshold, warm, kept=0.9), 1.32)
    close(call(c.stopping_threshold, warm, kept=0.1), 2.52)
    close(call(c.token_confidence, np.array([np.log(0.5), -np.inf])), np.log(2))


@pytest.mark.parametrize("window", [1, 4, 7])
def test_streamed_windows_are_the_convolution_for_any_chunking(window):
    values = 2 + RNG.normal(size=40)
    expected = np.convolve(values, np.ones(window) / window, "valid")
    close(np.asarray(call(c.group_confidence, values, window=window))[window - 1 :], expected, 2e-6)
    for sizes in ([1] * 40, [3, 9, 28]):
        state, said = c.begin_groups(window), []
        for end, size in zip(np.cumsum(sizes), sizes):
            state, groups = c.extend_groups(state, jnp.asarray(values[end - size : end], jnp.float32))
            said.append(np.asarray(groups))
        close(np.concatenate(said)[window - 1 :], expected, 2e-6)
    mask = RNG.random(40) < 0.6
    among = values[mask]
    kept = np.asarray(call(c.group_confidence, np.where(mask, values, np.nan), window=window, where=mask))
    close(kept[mask][window - 1 :], np.convolve(among, np.ones(window) / window, "valid"))
    ordered = np.sort(np.convolve(among, np.ones(window) / window, "valid"))
    options = {"kind": "bottom", "window": window, "share": 0.3, "where": mask}
    lowest = ordered[: max(1, int(0.3 * len(ordered)))]
    close(call(c.trace_confidence, np.where(mask, values, np.nan), **options), lowest.mean())


def test_a_trace_stops_at_its_first_weak_window():
    values = np.array([3.0, 3.0, 2.0, 1.0, 1.0, 5.0])
    groups = call(c.group_confidence, values, window=2)
    for threshold in (0.5, 1.2, 1.6, 2.7, 9.0):
        full = [place for place in range(1, 6) if (values[place - 1] + values[place]) / 2 < threshold]
        assert int(c.stopped_at(groups, threshold)) == (full[0] if full else 6)


def test_equal_weights_are_the_majority_and_few_voters_the_surest():
    for _ in range(6):
        clusters = RNG.integers(-1, 4, 9)
        counts = [int((clusters == one).sum()) for one in range(4)]
        vote = call(c.weighted_vote, clusters, np.full(9, 1.7))
        assert int(vote.cluster) == (int(np.argmax(counts)) if max(counts) else -1)
        close(vote.share, max(counts) / max(sum(counts), 1))
        weights = RNG.random(9)
        voters = sorted((one for one in range(9) if clusters[one] >= 0), key=lambda one: -weights[one])
        voters = voters[: max(1, int(0.4 * len(voters)))]
        totals = {name: sum(weights[one] for one in voters if clusters[one] == name) for name in range(4)}
        found = call(c.weighted_vote, clusters, weights, kept=0.4)
        assert int(found.cluster) == max(totals, key=lambda name: (totals[name], -name))
    nothing = call(c.weighted_vote, np.array([-1, -1]), np.ones(2))
    assert int(nothing.cluster) == -1 and float(nothing.share) == 0.0


# Hedges
def test_hedges_are_the_longest_phrases():
    texts = ["It is probably Paris.", "Probably not Rome.", "I am not certain, but Rome.", "It is not definitely Rome.",
             "Rome, certainly!", "Uncertainly said.", "Paris."]  # fmt: skip
    found = c.read_hedges(texts)
    close(found.values, [0.7, 0.25, 0.3, np.nan, 0.95, np.nan, np.nan])
    assert found.phrases[:3] == ["probably", "probably not", "not certain"]
    close(found.unhedged, 3 / 7)
    said = [
        "I don't think it is likely that it is Rome.",
        "It is not Rome but probably Paris.",
        "Not so likely, maybe.",
    ]
    assert c.read_hedges(said).phrases == ["", "probably", "maybe"]
    for phrase in c.HEDGES:
        assert c.read_hedges([f"well, {phrase} it is"]).phrases == [phrase]


def test_of_several_hedges_the_one_beside_the_answer_counts():
    text = "Rome is unlikely. It is probably Paris, and maybe other things are so. I guess."
    assert c.read_hedges([text], ["paris"]).phrases == ["probably"]
    assert c.read_hedges([text]).phrases == ["unlikely"]  # the least sure, where the answer is not known
    assert c.read_hedges(["I am sure of it. Paris."], ["Paris"]).phrases == ["i am sure"]


def test_fitted_hedges_are_shrunken_accuracies_in_the_order_of_the_lexicon():
    close(c.fit_hedges(["probably"] * 20, [1] * 12 + [0] * 8, monotone=False)["probably"], 0.633333)
    lexicon = {"sure": 0.9, "likely": 0.7, "maybe": 0.4}
    said = ["sure"] * 30 + ["likely"] * 30 + ["maybe"] * 5 + [""] * 10
    right = [1] * 10 + [0] * 20 + [1] * 28 + [0] * 2 + [1] * 1 + [0] * 4 + [1] * 6 + [0] * 4
    fitted = c.fit_hedges(said, right, lexicon=lexicon)
    assert fitted["maybe"] <= fitted["likely"] <= fitted["sure"]
    close(fitted["sure"], (10 * 0.9 + 10 + 10 * 0.7 + 28) / 80)  # pooled: against the order
    close(fitted["maybe"], (10 * 0.4 + 1) / 15)
    close(fitted[""], (10 * np.mean(right) + 6) / 20)
    assert c.read_hedges(["Paris."], lexicon=fitted).values == [pytest.approx(fitted[""])]


# Turns
def test_turns_have_their_worked_numbers():
    confidences = np.array([[0.2, 0.9, np.nan, np.nan], [0.1, 0.3, 0.2, 0.8]])
    correct, there = np.array([[0, 1, 7, 7], [0, 0, 1, 1]]), np.array([[1, 1, 0, 0], [1, 1, 1, 1]], bool)
    close(call(c.turn_calibration_error, confidences, correct, bins=2, where=there), 0.283333)
    close(call(c.turn_monotonicity, confidences, where=there), [1.0, 0.666667])


def test_turns_are_their_loops():
    confidences, correct = RNG.random((9, 7)), RNG.random((9, 7)) < 0.5
    lengths, bins = RNG.integers(1, 8, 9), 4
    there = np.arange(7) < lengths[:, None]
    gaps = {}
    for dialogue, length in enumerate(lengths):
        for turn in range(1, length + 1):
            level = math.ceil(bins * turn / length) - 1
            gaps.setdefault(level, []).append(correct[dialogue, turn - 1] - confidences[dialogue, turn - 1])
    close(call(c.turn_calibration_error, confidences, correct, bins=bins, where=there),
          np.mean([abs(np.mean(one)) for one in gaps.values()]))  # fmt: skip
    found = np.asarray(call(c.turn_monotonicity, confidences, where=there))
    for dialogue, length in enumerate(lengths):
        pairs = list(itertools.combinations(range(length), 2))
        signs = [np.sign(confidences[dialogue, later] - confidences[dialogue, sooner]) for sooner, later in pairs]
        close(found[dialogue], np.mean(signs) if pairs else np.nan)


def test_one_who_counts_what_is_left_is_calibrated_and_rises():
    """Candidates are struck out turn by turn; the guess is one of those that are left."""
    confidences, correct = np.zeros((4000, 4)), np.zeros((4000, 4), bool)
    for game in range(4000):
        left = 16
        secret = RNG.integers(16)
        for turn in range(4):
            left //= 2
            secret %= left
            confidences[game, turn], correct[game, turn] = 1 / left, RNG.integers(left) == secret
    assert float(call(c.turn_calibration_error, confidences, correct, bins=4)) < 0.02
    close(call(c.turn_monotonicity, confidences), 1.0)


# Orders
def test_orders_have_their_worked_numbers():
    probabilities = np.array([0.9, 0.6, 0.3])
    found = call(c.order_average, np.log(np.stack([probabilities, 1 - probabilities], 1)))
    close(-found.log_probs[0], 0.510826)
    close(found.gap[0], 0.095894)
    close(found.order_share, 0.136692)
    six = np.array([0.9, 0.6, 0.3, 0.5, 0.7, 0.6])
    for sampled in ([0, 2, 3], [1, 4, 5], [0, 1, 2]):
        some = six[sampled]
        error = call(c.order_average, np.log(np.stack([some, 1 - some], 1)), total=6).standard_error[0]
        close(error, some.std(ddof=1) * math.sqrt(1 / 3) * math.sqrt(1 / 2))
    close(np.std(six, ddof=1) * math.sqrt(1 / 3) * math.sqrt(1 / 2), 0.081650)
    close(call(c.order_average, np.log(np.stack([six, 1 - six], 1)), total=6).standard_error, 0.0)


def test_the_order_of_the_orders_is_nothing_and_the_gap_never_negative():
    log_probs = RNG.normal(size=(6, 3))
    whole = call(c.order_average, log_probs)
    shuffled = call(c.order_average, log_probs[RNG.permutation(6)])
    for one, other in zip(whole, shuffled):
        close(one, np.asarray(other))
    assert (np.asarray(whole.gap) >= 0).all() and float(whole.order_share) >= 0
    # The true share: over all orders of three shots whose scores depend on their place, the mean is the same.
    weights = RNG.normal(size=(3, 3))
    shots = RNG.normal(size=(3, 2))

    def predicted(order):
        scores = sum(weights[place, place % 3] * (1 + place) * shots[shot] for place, shot in enumerate(order))
        return np.r_[0.0, scores]

    orders = list(itertools.permutations(range(3)))
    one = call(c.order_average, np.array([predicted(order) for order in orders])).log_probs
    shots = shots[[2, 0, 1]]
    close(call(c.order_average, np.array([predicted(order) for order in orders])).log_probs, np.asarray(one), 1e-5)


def test_each_has_its_row():
    names = ("iterated_mutual_information", "pair_prediction", "backward_integration", "trace_confidence",
             "lowest_group_confidence", "read_hedges", "order_average")  # fmt: skip
    runs = {name for name in names if in_a_run(MEASURES[name])}
    assert runs == {"trace_confidence", "lowest_group_confidence", "read_hedges"}
    assert all(MEASURES[name].citation for name in names)


def test_hedges_of_random_texts_are_those_of_the_definition():
    """Whole prefixes and whole stretches between, which for a text of thousands of hedges is thousands of texts."""
    rng, lexicon = np.random.default_rng(0), {"probably": 0.7, "likely": 0.6, "maybe": 0.4, "unlikely": 0.2}
    words = [
        *lexicon,
        "not",
        "isn't",
        "never",
        "at",
        "all",
        "Paris",
        "Rome.",
        "no!",
        "so?",
        "neither",
        "x-not",
        "cannot",
        "but",
        "or",
    ]
    turns, whole = {"but", "and", "or", "so", "though", "yet"}, re.compile(r"\w+")

    def is_denied(before):
        if not before.endswith(" "):
            return False
        for word in before.split()[: -(4 + 1) : -1]:
            if re.search(r"(?:(?<!\w)(?:not|never|cannot|neither)|n't)$", word):
                return True
            if word in turns or not whole.fullmatch(word):
                return False
        return False

    for _ in range(400):
        text = " ".join(rng.choice(words, int(rng.integers(1, 14))))
        lower = text.lower()
        said = list(re.finditer(r"(?<!\w)(?:probably|unlikely|likely|maybe)(?!\w)", lower))
        said = [one for one in said if not is_denied(lower[: one.start()])]
        at = lower.rfind("paris")
        near = [
            one for one in said
            if at >= 0 and not re.search(r"[.!?]\s", lower[min(at + 5, one.end()) : max(at, one.start())])
        ]  # fmt: skip
        if near:
            expected = min(near, key=lambda one: max(at - one.end(), one.start() - at - 5))[0]
        else:
            expected = min((one[0] for one in said), key=lambda phrase: lexicon[phrase], default="")
        assert c.read_hedges([text], ["Paris"], lexicon=lexicon).phrases == [expected], text
