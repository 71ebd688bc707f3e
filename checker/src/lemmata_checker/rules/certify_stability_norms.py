"""Claims that stability makes about norms, and what norms say of the test loss.

Neuron j of sum_j a_j relu(b_j'x) has the part m_j + a_j^2 k_j >= 2 |a_j| sqrt(m_j k_j)
in Tr G, m_j the mean of relu(b_j'x_i)^2 and k_j that of 1(b_j'x_i > 0) ||x_i||^2. A
diagonal linear network has sum_j s_j (alpha_j^2 + beta_j^2) >= 2 sum_j s_j |w_j|, s_j
the mean of x_ij^2, and 4 sum_j s_j (u_j^2 + v_j^2) >= 4 sum_j s_j |w_j| for w =
u^2 - v^2. Stability gives Tr G <= 2 B K / eta: second moments at M = I say that
(1 - c) ||G||_F^2 + (c/n) sum ||H_i||_F^2 <= (2 / eta) Tr G; ||G||_F^2 >= (1/n^2) sum
||H_i||_F^2 (all terms are >= 0), (1 - c) / n + c >= 1 / B in both ways of sampling, and
||H_i||_F^2 >= (tr H_i)^2 / K as H_i has rank K at most.

Sources: Wu and Su 2023, sections 4 and 5; Bartlett and Mendelson, JMLR 2002
(Rademacher averages); Ledoux and Talagrand 1991 (contraction).
"""

import math
from typing import NamedTuple

import numpy as np

from ..case import Case, Malformed, Measurement, Rule
from ..definite import spectral_norm
from ..intervals import Ball, exact, multiply, square_root, total
from ..rigor import U
from .certify_stability_data import (
    KIND,
    array,
    gradients,
    model_of,
    neurons,
    numbers,
    predictions,
    predictor,
)
from .certify_stability_moments import stable_rate

_STATED = 1e-8  # relative error allowed to the stated norms


class Norms(NamedTuple):
    """Upper bounds on the norm and on its data form, and a lower one on the norm."""

    upper: float
    lower: float
    weighted: float


def norms(case: Case) -> Norms:
    """Path or l_1 norm of a network known by name."""
    return case.shared("sgd stability: norms", lambda: _norms(case))


def _norms(case: Case) -> Norms:
    name = model_of(case)
    if name == "rows":
        raise Malformed("gradient rows have no path norm")
    if name == "two_layer":
        return _two_layer(case)
    inputs = array(case.problem.arrays, "inputs", 2)
    w = predictor(case)
    size = Ball(np.abs(w.mid), w.radius)
    squares = _mean(multiply(exact(inputs), exact(inputs)))
    factor = 2.0 if name == "diagonal" else 4.0
    norm, weighted = total(size, (0,)), total(multiply(squares, size), (0,))
    return Norms(
        float(norm.upper()), float(norm.lower()), factor * float(weighted.upper())
    )


def _mean(a: Ball) -> Ball:
    n = a.mid.shape[0]
    return multiply(total(a, (0,)), Ball(np.asarray(1 / n), np.asarray(U / n)))


def _two_layer(case: Case) -> Norms:
    found = neurons(case)
    a = np.abs(found.outer)
    m = _mean(multiply(found.after, found.after)).upper()
    lengths = total(multiply(exact(found.inputs), exact(found.inputs)), (1,))
    reached = multiply(
        exact(found.active), Ball(lengths.mid[:, None], lengths.radius[:, None])
    )
    k = _mean(reached).upper()
    # Non-negative terms: every rounding enlarges by one u, and so does the sum.
    alive = (m > 0) & (k > 0)
    root = np.sqrt(np.where(alive, m * k, 0.0)) * (1 + 4 * U)
    weighted = 2 * float(np.sum(a * root)) * (1 + (len(a) + 8) * 2 * U)
    inner = total(multiply(exact(found.inner), exact(found.inner)), (1,))
    nonzero = np.any(found.inner != 0, axis=1)
    sizes = square_root(Ball(inner.mid[nonzero], inner.radius[nonzero]))
    norm = total(multiply(exact(a[nonzero]), sizes), (0,))
    return Norms(float(norm.upper()), float(norm.lower()), weighted)


def path_norm(case: Case) -> Measurement:
    """The norm over the bound that stability implies, both in their data form."""
    found, count = norms(case), numbers(case)
    bound = 2 * count.batch_size * count.outputs / count.learning_rate
    measured = found.weighted / bound * (1 + 4 * U)
    implied = bound * found.upper / found.weighted if found.weighted > 0 else math.inf
    stated = {"path_norm": found.upper, "implied_norm_bound": implied}
    for name, right in stated.items():
        said = float(array(case.value, name, 0))
        if not abs(said - right) <= _STATED * right:
            raise Malformed(f"{name}: stated {said!r}, found {right!r}")
    state = "checked" if count.learning_rate <= stable_rate(case) else "violated"
    figures = {"norm": found.upper, "implied bound": implied}
    d = array(case.problem.arrays, "inputs", 2).shape[1]
    if model_of(case) == "two_layer":
        figures["bound for isotropic inputs"] = bound / math.sqrt(d)
    return Measurement(
        measured,
        figures=figures,
        assumptions={"stable at this learning rate": state},
    )


def equivalence(case: Case) -> Measurement:
    """|Tr G / (1/2 sum_j (||b_j||^2 + d a_j^2)) - 1|."""
    if model_of(case) != "two_layer":
        raise Malformed("about two-layer ReLU networks")
    found, gram = neurons(case), gradients(case)
    n, d = found.inputs.shape
    population = float(np.sum(found.inner**2) + d * np.sum(found.outer**2)) / 2
    own = float(np.trace(gram.gram.mid)) / n
    away = spectral_norm(found.inputs.T @ found.inputs / n - np.eye(d))
    state = "checked" if away <= 4 * math.sqrt(d / n) <= 1.0001 else "violated"
    return Measurement(
        abs(own / population - 1),
        figures={
            "Tr G / (sqrt(d) path norm)": own / (math.sqrt(d) * norms(case).upper),
            "the same for isotropic inputs": population
            / (math.sqrt(d) * norms(case).upper),
            "||X'X/n - I||": away,
        },
        assumptions={"isotropic inputs": state, "symmetric inputs": "unchecked"},
    )


def generalization(case: Case) -> Measurement:
    """Train loss + 2 Lip R + 3 clip sqrt(log(2 / delta_k) / 2n), rounded up."""
    delta, clip = (_parameter(case, name) for name in ("delta", "clip"))
    if not delta < 1:
        raise Malformed(f"delta: expected below 1, got {delta}")
    inputs = array(case.problem.arrays, "inputs", 2)
    targets = array(case.problem.arrays, "targets", 1)
    n, d = inputs.shape
    away = predictions(case)
    if away.mid.shape != targets.shape:
        raise Malformed("targets: one number for each sample")
    size = np.abs(away.mid - targets) + away.radius + U * np.abs(targets)
    train = float(np.mean(np.minimum(size * size / 2 * (1 + 8 * U), clip)))
    norm = norms(case).upper
    if not norm > 0:
        raise Malformed("the norm is zero")
    k = math.frexp(norm)[1]
    k -= norm <= math.ldexp(1.0, k - 1)
    if model_of(case) == "two_layer":
        complexity = 2 * math.sqrt(float(np.sum(inputs**2))) / n
    else:
        largest = math.sqrt(float(np.max(np.sum(inputs**2, axis=0))))
        complexity = largest * math.sqrt(2 * math.log(2 * d)) / n
    share = delta / (1.5 * (abs(k) + 1) * (abs(k) + 2))
    deviation = 3 * clip * math.sqrt(math.log(2 / share) / (2 * n))
    capacity = 2 * math.sqrt(2 * clip) * math.ldexp(complexity, k)
    # n d roundings of positive terms at most, and a few library functions.
    bound = (train + capacity + deviation) * (1 + 4 * (n * d + 100) * U)
    return Measurement(
        bound,
        "" if bound < clip else "vacuous: losses are clipped below this bound",
        figures={
            "train loss": train,
            "norm class": 2.0**k,
            "Rademacher complexity of it": math.ldexp(complexity, k),
            "deviation": deviation,
            "delta": delta,
        },
        assumptions={"samples are independent, of one distribution": "unchecked"},
    )


def _parameter(case: Case, name: str) -> float:
    found = case.parameters.get(name)
    if isinstance(found, bool) or not isinstance(found, int | float) or not found > 0:
        raise Malformed(f"{name}: expected a number > 0, got {found!r}")
    return float(found)


RULES = (
    Rule(
        "certify.sgd_path_norm/1",
        "proof",
        "<=",
        "the path norm (two-layer ReLU) or l_1 norm (diagonal linear) is <= promised "
        "times the bound that stability at this learning rate implies on these data",
        "",
        path_norm,
        (KIND,),
    ),
    Rule(
        "certify.sgd_trace_equivalence/1",
        "evidence",
        "<=",
        "the trace is, to promised, sum_j (||b_j||^2 + d a_j^2) / 2, its mean over "
        "isotropic inputs, which is at least sqrt(d) times the path norm",
        "",
        equivalence,
        (KIND,),
    ),
    Rule(
        "certify.sgd_path_generalization/1",
        "confidence",
        "<=",
        "the expected loss min((f(x) - y)^2 / 2, clip) of fresh samples is "
        "<= promised, with probability at least 1 - delta over the training samples",
        "",
        generalization,
        (KIND,),
    ),
)
