"""Instances of SGD's stability with both witnesses, from r^2 x r^2 matrices."""

import numpy as np

from lemmata_checker import Case, Packed, decide

KIND = "certify.sgd_stability/1"


def threshold(rows, share):
    """(2 / mu, top eigenmatrix, resolvent at 1.001 mu) from r^2 x r^2 matrices."""
    n, outputs, r = rows.shape
    each = np.einsum("ikp,ikq->ipq", rows, rows)
    hessian, eye = each.mean(axis=0), np.eye(r)
    mean = (np.kron(hessian, eye) + np.kron(eye, hessian)) / 2
    noise = (1 - share) * np.kron(hessian, hessian)
    noise += share / n * sum(np.kron(h, h) for h in each)
    values, vectors = np.linalg.eig(np.linalg.solve(mean, noise))
    top = int(np.argmax(values.real))
    m = vectors[:, top].real.reshape(r, r)
    mu = values.real[top]
    s = np.linalg.solve(1.001 * mu * mean - noise, hessian.reshape(-1)).reshape(r, r)
    return 2 / mu, (m + m.T) / 2, (s + s.T) / 2


def share_of(n, size, replacement):
    if n == 1:
        return 1.0 if replacement else 0.0
    return 1 / size if replacement else (n - size) / (size * (n - 1))


def instance(seed=0, n=4, outputs=1, r=4, size=2, replacement=False, eta=None, **json):
    """Rows as coordinates, and both witnesses."""
    rows = np.random.default_rng(seed).normal(size=(n, outputs, r))
    rate, m, s = threshold(rows, share_of(n, size, replacement))
    json = {
        "model": "rows",
        "learning_rate": 0.9 * rate if eta is None else eta * rate,
        "batch_size": size,
        "replacement": replacement,
        "loss_tol": 1e-8,
        "gap_tol": 1e-2,
        "allow_residual": False,
    } | json
    flat = rows.reshape(-1, r)
    gram = flat.T @ flat / n
    value = {
        "coordinates": rows,
        "lyapunov": s,
        "growth": m,
        "max_learning_rate": np.array(rate),
        "trace": np.array(np.trace(gram)),
        "frobenius": np.array(np.linalg.norm(gram)),
        "lambda_max": np.array(np.linalg.eigvalsh(gram)[-1]),
    }
    return Case(Packed(KIND, json, {"gradients": rows}), value)


def judge(name, promised, case):
    fresh = Case(case.problem, case.value, parameters=case.parameters)
    return decide(f"certify.{name}/1", promised, fresh)


def changed(case, **value):
    """The same case with other arrays."""
    return Case(case.problem, dict(case.value) | value)


def relu_case(rng, n=6, d=3, m=4, **json):
    params = {"inner": rng.normal(size=(m, d)), "outer": rng.normal(size=m)}
    inputs = rng.normal(size=(n, d))
    before = inputs @ params["inner"].T
    arrays = params | {
        "inputs": inputs,
        "targets": np.maximum(before, 0) @ params["outer"],
    }
    active = (before > 0) * params["outer"]
    rows = np.concatenate(
        [np.maximum(before, 0), (active[:, :, None] * inputs[:, None]).reshape(n, -1)],
        axis=1,
    )
    left, size, _ = np.linalg.svd(rows, full_matrices=False)
    inside = left * size
    rate, big, s = threshold(inside[:, None], share_of(n, 2, replacement=False))
    base = instance().problem.json | {"model": "two_layer", "learning_rate": rate * 0.9}
    norm = np.sum(np.abs(params["outer"]) * np.linalg.norm(params["inner"], axis=1))
    mass = np.mean(np.maximum(before, 0) ** 2, axis=0)
    reach = np.mean((before > 0) * np.sum(inputs**2, axis=1)[:, None], axis=0)
    weighted = 2 * np.sum(np.abs(params["outer"]) * np.sqrt(mass * reach))
    bound = 4 / (0.9 * rate)
    value = {
        "coordinates": inside[:, None],
        "lyapunov": s,
        "growth": big,
        "max_learning_rate": np.array(rate),
        "path_norm": np.array(norm),
        "implied_norm_bound": np.array(bound * norm / weighted),
    }
    return Case(Packed(KIND, base | json, arrays), value), weighted / bound, rows
