"""Data as in the authors' experiments, and the attention SVM in vectorised form."""

import numpy as np
import scipy.optimize


def sequences(n=6, t=8, d=10, seed=0):
    """(tokens, queries, labels, v, scores): unit tokens, the first one asks."""
    rng = np.random.default_rng(seed)
    tokens = rng.normal(size=(n, t, d))
    tokens /= np.linalg.norm(tokens, axis=2, keepdims=True)
    v, labels = rng.normal(size=d), rng.choice([-1.0, 1.0], n)
    return tokens, tokens[:, 0].copy(), labels, v, labels[:, None] * (tokens @ v)


def matrices(tokens, queries, selected, lengths=None) -> np.ndarray:
    """Every constraint as a matrix, by its definition, shape (k, d, d)."""
    lengths = [tokens.shape[1]] * len(tokens) if lengths is None else lengths
    return np.array(
        [
            np.outer(tokens[i, selected[i]] - tokens[i, t], queries[i])
            for i in range(len(tokens))
            for t in range(lengths[i])
            if t != selected[i]
        ]
    )


def least_norm_weights(constraints) -> np.ndarray:
    """The Frobenius solution by SciPy's least squares on vectorised constraints.

    Least ||E u - f||, u >= 0, E = [A'; 1'], f = (0, 1): the solution is -r / r_last
    (Lawson and Hanson, section 23.4).
    """
    k, d, _ = constraints.shape
    stacked = np.vstack([constraints.reshape(k, -1).T, np.ones(k)])
    target = np.append(np.zeros(d * d), 1.0)
    u, _ = scipy.optimize.nnls(stacked, target, maxiter=50 * k)
    r = stacked @ u - target
    return (-r[:-1] / r[-1]).reshape(d, d)
