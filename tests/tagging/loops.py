"""Equations of chapter 4 and appendix C.1 of the dissertation as plain Python loops whose indices say what they are.

`state` is the hidden label, `said` the label that a labelling function says, `function` which function; `O` is label 0
(1 in the text). Nothing here is taken from the code under test, and nothing broadcasts.
"""

import math
from itertools import product

import numpy as np


def linear(weight, bias, vector, output):
    """One output of a fully connected layer."""
    return bias[output] + sum(weight[output][i] * vector[i] for i in range(len(vector)))


def sigmoid(value):
    return 1 / (1 + math.exp(-value))


def h(a, split, power, root):
    """Eq. 4.3, with the exponents that make it continuous."""
    rooted = a ** (1 / root)
    if rooted < split:
        return rooted**power / split ** (power - 1)
    return 1 - (1 - rooted) ** power / (1 - split) ** (power - 1)


def g(a, labels, split, power):
    """The second half of Eq. 4.4."""

    def low(x):
        denominator = (power - 1) * split**power - power * split ** (power - 1)
        return (2 - labels) / denominator * x**power + (1 - labels) * x + 1

    if a <= split:
        return low(a)
    return low(split) / (split - 1) * a - low(split) / (split - 1)


def base_prior(reliability, labels, split, power, *, naive=False):
    """Eq. 4.4 of one function: `[state][said]` from one reliability for each state."""
    prior = np.zeros((labels, labels))
    for state, said in product(range(labels), repeat=2):
        a = float(reliability[state])
        if state == said:
            prior[state, said] = a
        elif naive or state == 0:
            prior[state, said] = (1 - a) / (labels - 1)
        elif said == 0:
            prior[state, said] = g(a, labels, split, power)
        else:
            prior[state, said] = (1 - a - g(a, labels, split, power)) / (labels - 2)
    return prior


def reliabilities(outside, entity, vector, functions, labels, power, root):
    """Eq. 4.1 to 4.3: `[function][state]`; the layers are `(weight, bias)`, entities in rows of one function."""
    logit = np.zeros((functions, labels))
    for function in range(functions):
        logit[function, 0] = linear(*outside, vector, function)
        for state in range(1, labels):
            logit[function, state] = linear(*entity, vector, function * (labels - 1) + state - 1)
    result = np.zeros((functions, labels))
    for function in range(functions):
        result[function, 0] = sigmoid(logit[function, 0])
        for state in range(1, labels):
            total = sum(math.exp(logit[other, state]) for other in range(functions))
            result[function, state] = h(math.exp(logit[function, state]) / total, 1 / functions, power, root)
    return result


def wxor(observations, reliability, lengths, labels):
    """Eq. 4.6 and 4.7 up to the softmax: sums of logits `[function][query][target]`, how often `[function][query]`."""
    functions = len(reliability[0])
    logits, often = np.zeros((functions, labels, labels)), np.zeros((functions, labels))
    for sentence, length in enumerate(lengths):
        for token, function, query in product(range(length), range(functions), range(labels)):
            if observations[sentence][token][function] != query:
                continue
            often[function, query] += 1
            for target in range(1, labels):
                if query in (0, target):
                    continue
                trust = 0.0
                for other in range(functions):
                    if observations[sentence][token][other] == target:
                        trust += reliability[sentence][other][target]
                logits[function, query, target] += (1 - reliability[sentence][function][query]) * trust
    return logits, often


def wxor_scores(logits, often):
    """Eq. 4.7 and the softmax over queries after Eq. 4.8, among the queries that a target can have."""
    functions, labels, _ = logits.shape
    scores = np.zeros_like(logits)
    for function, target in product(range(functions), range(1, labels)):
        queries = [query for query in range(1, labels) if query != target]
        mean = {query: logits[function, query, target] / max(often[function, query], 1) for query in queries}
        total = sum(math.exp(mean[query]) for query in queries)
        for query in queries:
            scores[function, query, target] = math.exp(mean[query]) / total
    return scores


def addon_prior(scale, scores):
    """Eq. 4.9: column l of Delta is C at l times row l of W."""
    functions, labels = len(scale), len(scale[0])
    delta = np.zeros((functions, labels, labels))
    for function, said, state in product(range(functions), range(labels), range(labels)):
        delta[function, state, said] = scale[function][said] * scores[function][said][state]
    return delta


def dirichlet_mean(concentration):
    """The mean of each row: of a function in a state, over what it says."""
    mean = np.zeros_like(concentration)
    functions, labels, _ = concentration.shape
    for function, state, said in product(range(functions), range(labels), range(labels)):
        total = sum(concentration[function, state, other] for other in range(labels))
        mean[function, state, said] = concentration[function, state, said] / total
    return mean


def evidence(emission, shares):
    """The observation likelihood under Eq. 4.14 of one token: emission `[function][state][said]`, shares of labels."""
    functions, states = len(emission), len(emission[0])
    values = [1.0] * states
    for state, function in product(range(states), range(functions)):
        if sum(shares[function]) > 0:
            values[state] *= sum(emission[function][state][said] * share for said, share in enumerate(shares[function]))
    return values


def one_hot(said, labels):
    """All zero where a function says nothing."""
    return [1.0 if label == said else 0.0 for label in range(labels)]


class Messages:
    """Appendix C.1, token by token: the chain starts at `initial`, the distribution of z at time 0.

    `transition[t][i][j]` leads from state i at time t to j at t + 1, `likelihood[t]` is that of token t + 1.
    """

    def __init__(self, initial, transition, likelihood):
        states, time = len(initial), len(likelihood)
        alpha, joint = [list(initial)], 1.0
        for token in range(time):
            row = [
                likelihood[token][to] * sum(alpha[-1][of] * transition[token][of][to] for of in range(states))
                for to in range(states)
            ]
            joint *= sum(row)
            alpha.append([value / sum(row) for value in row])
        beta = [[1.0] * states]
        for token in reversed(range(time)):
            beta.insert(
                0,
                [
                    sum(beta[0][to] * likelihood[token][to] * transition[token][of][to] for to in range(states))
                    for of in range(states)
                ],
            )
        self.log_likelihood = math.log(joint)
        self.filtered = np.array(alpha)  # [time + 1][state]
        self.smoothed = np.array([[a * b for a, b in zip(*pair)] for pair in zip(alpha, beta)])
        self.smoothed /= self.smoothed.sum(1, keepdims=True)
        self.pairs = np.zeros((time, states, states))
        for token, of, to in product(range(time), range(states), range(states)):
            self.pairs[token, of, to] = (
                alpha[token][of] * likelihood[token][to] * beta[token + 1][to] * transition[token][of][to]
            )
        self.pairs /= self.pairs.sum((1, 2), keepdims=True)
        self.q = 0.0  # Eq. 4.14
        for state in range(states):
            if initial[state] > 0:
                self.q += self.smoothed[0, state] * math.log(initial[state])
        for token, of, to in product(range(time), range(states), range(states)):
            if transition[token][of][to] > 0:
                self.q += self.pairs[token, of, to] * math.log(transition[token][of][to])
        for token, state in product(range(time), range(states)):
            self.q += self.smoothed[token + 1, state] * math.log(likelihood[token][state])


def softmax(logits):
    total = sum(math.exp(value) for value in logits)
    return [math.exp(value) / total for value in logits]


def bio_follows(of, to):
    """Whether label `to` may follow label `of`: an `I-` (even, not 0) only after its own type."""
    return to == 0 or to % 2 == 1 or of in (to, to - 1)
