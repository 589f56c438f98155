"""UQAC written down literally in NumPy: full matrices, Python loops, one equation after the other."""

import numpy as np

GAMMA = [0.93925344, 0.87378443, 0.81274293, 0.73914525, 0.67549127]
GAMMA += [0.59304059, 0.46061748, 0.32959151, 0.20938152, 0.16644488]


def attention(queries, keys, scale, window=None):
    """Eq 3.2 for all tokens: [layers * heads, time, time]."""
    layers, time, heads, _ = queries.shape
    group = heads // keys.shape[1]
    result = np.zeros((layers * heads, time, time))
    for layer in range(layers):
        for head in range(heads):
            for row in range(time):
                first = 0 if window is None else max(0, row - window + 1)
                scores = scale * keys[layer, head // group, first : row + 1] @ queries[layer, row, head]
                weights = np.exp(scores - scores.max())
                result[layer * heads + head, row, first : row + 1] = weights / weights.sum()
    return result


def aggregated(matrices, num_heads, published, reduction=np.max):
    """Eq 3.3 to 3.5: [time, time]."""
    matrices, time = matrices.copy(), matrices.shape[1]
    result = np.zeros((time, time))
    for row in range(time):
        alpha = matrices[:, row]
        for back, gamma in enumerate(reversed(GAMMA)):
            column = row - back - (1 if published else 0)
            if column >= 0:
                alpha[:, column] *= gamma
        if published:
            alpha[:, row] = 0
        alpha[:, 0] = 0
        total = alpha.sum(1, keepdims=True)
        alpha = alpha / (total + 1e-12) if published else alpha / np.where(total > 0, total, 1)
        if published:
            entropies = -(alpha * np.log(alpha + 1e-12)).sum(1)
        else:
            entropies = np.array([-sum(a * np.log(a) for a in one if a > 0) for one in alpha])
        result[row] = reduction(alpha[np.argsort(entropies, kind="stable")[:num_heads]], axis=0)
    return result


def chain_of_the_text(attention, answer, eligible, buffer=3, threshold=0.5, free=5):
    """Eq 3.6 with shifted indices: token -> (step, weight, source token)."""
    chain, sources, step = {}, sorted(answer), 0
    while sources:
        step += 1
        phi, origin = {}, {}
        for token in attention.T.nonzero()[0]:
            if token in eligible and token not in chain:
                given = [(attention[source - 1, token], source) for source in sources if source > 0]
                phi[token] = sum(weight for weight, _ in given)
                strongest = max((weight for weight, _ in given), default=0)
                origin[token] = next((s for weight, s in given if weight == strongest), -1)
        targets = []
        for token in sorted(phi, key=lambda t: (-phi[t], t))[:buffer]:
            if phi[token] > 0 and (phi[token] > threshold or len(chain) < free):
                chain[token] = (step, phi[token], origin[token])
                targets.append(token)
        sources = targets
    return chain


def chain_of_the_code(attention, answer, eligible, buffer=3, threshold=0.5, free=5):
    """The published procedure, in predictor indices, the answer's predictors being part of the chain."""
    chain = [token - 1 for token in sorted(answer)]
    least, sources, processed, found = free + len(chain), list(chain), set(), {}
    for step in range(1, 1001):
        processed |= set(sources)
        scores = np.zeros(len(attention))
        for source in sources:
            row = attention[source] if source >= 0 else np.zeros(len(attention))
            for rank, token in enumerate(np.argsort(-row, kind="stable")):
                if rank >= 5 and ((scores > 0).any() or len(chain) >= least):
                    break
                if token != source and token - 1 not in processed and token in eligible:
                    scores[token] += row[token]
        picks = []
        for token in [t for t in np.argsort(-scores, kind="stable") if scores[t] > 0][:buffer]:
            if scores[token] < threshold and len(chain) + len(picks) >= least:
                break
            picks.append(token)
            chain.append(token - 1)
            found[token] = (step, scores[token])
        sources = [token - 1 for token in picks]
        if not picks:
            break
    return found


def similarity(hidden, chain, answer, most, threshold, published):
    """Eq 3.9 and 3.10."""
    weights = {}
    for n in sorted(chain):
        cosines = [hidden[m] @ hidden[n] / np.linalg.norm(hidden[m]) / np.linalg.norm(hidden[n]) for m in answer]
        weights[n] = np.mean(cosines) if published else np.sum(cosines)
    best = sorted(weights, key=lambda n: (-weights[n], n))[:most]
    return {n for n in best if weights[n] > threshold}, weights
