"""Oracles for global Lipschitz constants that share nothing with the library.

`brute_force`: the largest norm over all patterns of any graph of dense layers, exact up
to patterns that no input has. `eliminated_slack`: the inequality with bases of
what is not preserved from an eigenvalue decomposition.
"""

import itertools

import numpy as np


def layers_of(content, arrays):
    """(weights, records of the activations)."""
    weights = [arrays[r["weight"]] for r in content["nodes"] if r["op"] == "dense"]
    return weights, [r for r in content["nodes"] if r["op"] != "dense"]


def jacobians(record, size, arrays):
    """Every extreme Jacobian of an activation, (size, size)."""
    op = record["op"]
    if op in ("relu", "leaky_relu", "tanh", "sigmoid", "softplus"):
        low = record.get("slope", 0.0)
        high = 0.25 if op == "sigmoid" else 1.0
        for slopes in itertools.product((low, high), repeat=size):
            yield np.diag(slopes)
        return
    if op == "group_sort":
        g = record["size"]
        blocks = [np.eye(g)[list(p)] for p in itertools.permutations(range(g))]
        pools = [blocks] * (size // g)
    else:
        pools = []
        for v in arrays[record["weight"]]:
            reflection = np.eye(len(v)) - 2 * np.outer(v, v) / (v @ v)
            pools.append([np.eye(len(v)), reflection])
    for chosen in itertools.product(*pools):
        matrix, start = np.zeros((size, size)), 0
        for block in chosen:
            stop = start + len(block)
            matrix[start:stop, start:stop] = block
            start = stop
        yield matrix


def brute_force(content, arrays, norm=lambda j: np.linalg.norm(j, 2)):
    """Largest norm of the Jacobian over all patterns of a graph of dense layers."""
    nodes = content["nodes"]

    def go(k, values):
        if k == len(nodes):
            yield norm(values[k - 1])
            return
        record = nodes[k]
        given = [values[i] for i in record["inputs"]]
        if record["op"] == "dense":
            found = [arrays[record["weight"]] @ given[0]]
        elif record["op"] == "add":
            found = [sum(given)]
        elif record["op"] == "concatenate":
            found = [np.concatenate(given)]
        else:
            patterns = jacobians(record, len(given[0]), arrays)
            found = (d @ given[0] for d in patterns)
        for value in found:
            yield from go(k + 1, values | {k: value})

    return max(go(0, {-1: np.eye(content["input_shape"][0])}))


def deviation_basis(record, size, arrays):
    """Preserved projection P (n, n) and an orthonormal basis Y of the rest, by QR."""
    groups, columns = [], []
    if record["op"] == "group_sort":
        g = record["size"]
        kept = [np.full((g, g), 1 / g)] * (size // g)
    else:
        kept = [
            np.eye(len(v)) - np.outer(v, v) / (v @ v) for v in arrays[record["weight"]]
        ]
    preserved, start = np.zeros((size, size)), 0
    for i, block in enumerate(kept):
        stop = start + len(block)
        preserved[start:stop, start:stop] = block
        values, vectors = np.linalg.eigh(np.eye(len(block)) - block)
        for j in np.flatnonzero(values > 0.5):
            column = np.zeros(size)
            column[start:stop] = vectors[:, j]
            columns.append(column)
            groups.append(i)
        start = stop
    return preserved, np.array(columns).T, np.array(groups)


def eliminated_slack(content, arrays, multipliers, bound):
    """Least eigenvalue of the eliminated inequality, relative to its largest."""
    weights, records = layers_of(content, arrays)
    size = weights[0].shape[1]
    parts = [
        deviation_basis(r, len(w), arrays)
        for r, w in zip(records, weights, strict=False)
    ]
    total = size + sum(y.shape[1] for _, y, _ in parts)
    forms, used, taken = np.eye(size, total), size, 0
    matrix = np.zeros((total, total))
    matrix[:size, :size] = bound**2 * np.eye(size)
    for weight, (preserved, basis, groups) in zip(weights, parts, strict=False):
        z = weight @ forms
        fresh = np.eye(total)[used : used + basis.shape[1]]
        used += basis.shape[1]
        lam = multipliers[taken + groups][:, None]
        taken += groups.max() + 1
        matrix += fresh.T @ (lam * fresh) - (basis.T @ z).T @ (lam * (basis.T @ z))
        forms = preserved @ z + basis @ fresh
    final = weights[-1] @ forms
    values = np.linalg.eigvalsh(matrix - final.T @ final)
    return values[0] / values[-1]
