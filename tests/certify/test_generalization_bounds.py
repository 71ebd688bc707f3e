"""Measures of trained models against independent formulas, and bounds against risks."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from flint import arb, ctx

import lemmata as lm
from lemmata.certify import (
    Compression,
    ConvexSGDStability,
    FrobeniusProduct,
    GeneralizationBounds,
    HoldOut,
    LeaveOneOut,
    LinearRademacher,
    Occam,
    PACBayes,
    PACBayesSpectral,
    PathNorm,
    RidgeStability,
    SpectralMargin,
    VCDimension,
    clopper_pearson,
    kl_inverse,
    margin_quantile,
    measure_ranking,
)
from lemmata.certify._measure_tails import kl_inverse_number
from lemmata.numerics.networks import Network

DELTA = 0.05


def dense(weights, biases=None) -> Network:
    """A ReLU network of given matrices."""
    nodes, arrays = [], {}
    for i, weight in enumerate(weights):
        k = 2 * i
        node = {"op": "dense", "inputs": [k - 1], "weight": f"network_{k}_weight"}
        arrays[f"network_{k}_weight"] = np.asarray(weight, dtype=np.float64)
        if biases is not None:
            node["bias"] = f"network_{k}_bias"
            arrays[f"network_{k}_bias"] = np.asarray(biases[i], dtype=np.float64)
        nodes.append(node)
        if i < len(weights) - 1:
            nodes.append({"op": "relu", "inputs": [k]})
    content = {"input_shape": [np.shape(weights[0])[1]], "nodes": nodes}
    return Network.of(content, arrays)


@pytest.fixture(scope="module")
def random_network():
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=s) / 2 for s in ((6, 4), (5, 6), (3, 5))]
    biases = [rng.normal(size=len(w)) / 4 for w in weights]
    before = [w + rng.normal(size=w.shape) / 9 for w in weights]
    inputs = rng.normal(size=(40, 4))
    labels = rng.integers(0, 3, 40).astype(np.float64)
    return weights, biases, before, inputs, labels


def test_kl_inverse_against_bisection():
    """1e-12 of bisection in 40 digits, near 0 and 1 too."""
    pairs = [
        (0.0, 1e-6),
        (0.0, 0.3),
        (1e-9, 1e-8),
        (0.2, 0.05),
        (0.5, 1e-4),
        (0.7, 2.0),
    ]
    pairs += [(0.999, 0.01), (1 - 1e-9, 1e-3), (0.3, 0.0), (1.0, 0.5)]
    with jax.enable_x64(True):
        found = np.asarray(kl_inverse(*map(jnp.asarray, zip(*pairs, strict=True))))
    for (q, c), ours in zip(pairs, found, strict=True):
        right = _bisected(q, c)
        assert abs(ours - right) <= 1e-12
        assert abs(kl_inverse_number(q, c) - right) <= 1e-12


def _bisected(first: float, bound: float) -> float:
    before, ctx.prec = ctx.prec, 140
    try:
        q, c = arb(first), arb(bound)
        low, high = q, arb(1)
        for _ in range(120):
            middle = ((low + high) / 2).mid()
            entropy = q * (q / middle).log() if first else arb(0)
            if first < 1:
                entropy += (1 - q) * ((1 - q) / (1 - middle)).log()
            low, high = (low, middle) if entropy > c else (middle, high)
        return float(high) if first < 1 else 1.0
    finally:
        ctx.prec = before


def test_clopper_pearson_against_scipy():
    for k, n in ((0, 10), (3, 10), (10, 10), (7, 900)):
        right = scipy.stats.binomtest(k, n).proportion_ci(0.9)
        np.testing.assert_allclose(clopper_pearson(k, n, 0.9), right, rtol=1e-9)


def homogeneous(weights, biases):
    found = []
    for i, (w, b) in enumerate(zip(weights, biases, strict=True)):
        matrix = np.c_[w, b]
        if i < len(weights) - 1:
            matrix = np.r_[matrix, np.eye(matrix.shape[1])[-1:]]
        found.append(matrix)
    return found


def test_norm_measures_against_numpy(random_network):
    """Spectral, Frobenius, path within 1e-9 of another path to them."""
    weights, biases, before, inputs, labels = random_network
    measures = (
        SpectralMargin(margin=0.3),
        PACBayesSpectral(margin=0.3),
        PathNorm(margin=0.3),
        PathNorm(margin=0.3, power=1),
        FrobeniusProduct(margin=0.3),
    )
    network, start = dense(weights, biases), dense(before, biases)
    problem = GeneralizationBounds(
        network, (inputs, labels), measures=measures, initial=start
    )
    solution = lm.solve(problem)
    a = homogeneous(weights, biases)
    moved = [w - v for w, v in zip(weights, before, strict=True)]
    s = [np.sqrt(np.linalg.eigvalsh(m.T @ m)[-1]) for m in a]
    x = np.c_[inputs, np.ones(40)]
    rows = [np.linalg.norm(m, axis=1).sum() for m in moved]
    powers = sum((r / t) ** (2 / 3) for r, t in zip(rows, s, strict=True)) ** 1.5
    spectral = np.linalg.norm(x) * np.prod(s) * powers * np.log(7) / (0.3 * 40)
    big = np.linalg.norm(x, axis=1).max()
    ratio = sum(np.sum(m**2) / t**2 for m, t in zip(moved, s, strict=True))
    pbs = big * 3 * np.sqrt(7 * np.log(21) * ratio) * np.prod(s) / (0.3 * np.sqrt(40))
    two = np.sqrt(np.sum(a[2] ** 2 @ a[1] ** 2 @ a[0] ** 2))
    one = np.sum(abs(a[2]) @ abs(a[1]) @ abs(a[0])) * max(1, np.abs(inputs).max())
    scale = 0.3 * np.sqrt(40)
    product = np.prod([np.linalg.norm(m) for m in a]) / 0.3
    j = int(np.ceil(np.log2(product)))
    deviation = 3 * np.sqrt(np.log(3 * (j + 1) * (j + 2) / DELTA) / 80)
    f = x
    for m in a[:-1]:
        f = np.maximum(f @ m.T, 0)
    f = f @ a[2].T
    own = f[np.arange(40), labels.astype(int)]
    f[np.arange(40), labels.astype(int)] = -np.inf
    loss = np.mean(own - f.max(axis=1) < 0.3)
    peeled = (np.sqrt(6 * np.log(2)) + 1) * np.linalg.norm(x) / 40
    frobenius = loss + 2 * 6 * 2.0**j * peeled + deviation
    right = [spectral, pbs, big * two / scale, one / scale, frobenius]
    np.testing.assert_allclose(solution.value.values, right, rtol=1e-9)
    assert solution.certificate["measure_values"].grade == "proof"


@pytest.fixture(scope="module")
def linear_problem():
    rng = np.random.default_rng(4)
    inputs = rng.normal(size=(120, 3))
    labels = (inputs[:, 0] > 0).astype(np.float64)
    train, test = slice(0, 80), slice(80, None)
    x, y, s = inputs[train], 2 * labels[train] - 1, 0.5
    w = np.linalg.solve(x.T @ x / 80 + s * np.eye(3), x.T @ y / 80)
    return dense([w[None]]), (x, labels[train]), (inputs[test], labels[test]), w


def test_linear_measures(linear_problem):
    network, train, test, w = linear_problem
    measures = (
        LinearRademacher(margin=0.1, draws=200),
        RidgeStability(strength=0.5),
        Compression(size=3),
        ConvexSGDStability(step_size=0.1, steps=10),
        LeaveOneOut(lambda x, y: lambda q: (q[:, 0] > 0).astype(float), 10),
        VCDimension(),
        HoldOut(),
    )
    problem = GeneralizationBounds(network, train, test, measures)
    solution = lm.solve(problem)
    assert solution.certified, solution.certificate
    values = dict(zip((m.name for m in problem.judged()), solution.value.values,
                      strict=True))  # fmt: skip
    x, n = train[0], 80
    k = np.linalg.norm(x, axis=1).max()
    top = 1 + k / np.sqrt(0.5)
    beta = 2 * top**2 * k**2 / (0.5 * n)
    ridge = np.mean((x @ w - (2 * train[1] - 1)) ** 2) + 2 * beta
    ridge += (4 * n * beta + top**2) * np.sqrt(np.log(20) / (2 * n))
    assert values["ridge_stability"] == pytest.approx(ridge, rel=1e-9)
    sgd = 2 * k**2 * 0.1 * 10 / n
    np.testing.assert_allclose(solution.value.custom, [sgd, 0.0], rtol=1e-14)
    # VC dimension of one layer: 1 + 3 log2(4 e R log2(2 e R)), R at least 3.
    v = 1 + 3 * np.log2(12 * np.e * np.log2(6 * np.e))
    loss = np.mean((x @ w > 0) != train[1])
    vc = loss + np.sqrt(8 * (v * np.log(2 * np.e * n / v) + np.log(80)) / n)
    assert values["vc"] == pytest.approx(vc, rel=1e-9)
    rows = problem.table(solution.value)
    assert [row["vacuous"] for row in rows][3:5] == [False, False]
    assert margin_quantile(network, train, 0.5) > 0


def test_ridge_stability_sees_that_the_weights_are_not_the_minimiser(linear_problem):
    network, train, _, w = linear_problem
    off = dense([w[None] + 0.1])
    measures = (RidgeStability(strength=0.5),)
    values = [
        lm.solve(GeneralizationBounds(net, train, measures=measures)).value.values[0]
        for net in (network, off)
    ]
    assert values[1] > values[0] + 0.1


def test_a_bound_below_its_formula_is_refused(linear_problem):
    network, train, test, _ = linear_problem
    measures = (VCDimension(), HoldOut())
    problem = GeneralizationBounds(network, train, test, measures)
    good = lm.solve(problem).value.values
    assert lm.certify(problem, problem.candidate(values=good + 0.1)).certified
    low = lm.certify(problem, problem.candidate(values=good * (1 - 1e-6)))
    assert not low.certificate["bound_holds"].holds


def test_without_test_data_claims_on_the_risk_are_withheld(linear_problem):
    network, train, _, _ = linear_problem
    problem = GeneralizationBounds(network, train, measures=(Occam(),))
    certificate = lm.solve(problem).certificate
    reasons = {w.id: w.reason for w in certificate.withheld}
    assert "no test set" in reasons["certify.test_risk/1"]
    assert "no test set" in reasons["certify.bound_gap/1"]


def test_fewer_bits_are_refused_where_the_weights_have_more(linear_problem):
    network, train, _, _ = linear_problem
    with pytest.raises(lm.core.InvalidProblem, match="16 bits hold exactly"):
        GeneralizationBounds(network, train, measures=(Occam(bits=16),))


def test_onnx_free_modules_come_in_as_equinox():
    module = eqx.nn.MLP(3, 2, 4, 1, key=jax.random.key(0))
    rng = np.random.default_rng(1)
    data = rng.normal(size=(30, 3)), rng.integers(0, 2, 30)
    problem = GeneralizationBounds(module, data, data)
    assert lm.solve(problem).certified


@pytest.mark.slow
def test_pac_bayes_is_not_vacuous_on_a_small_task():
    from lemmata.studies._generalization_models import binary_digits, trained

    inputs, labels = binary_digits()
    before, after = trained(inputs[:250], labels[:250], 8, outputs=1, steps=400)
    problem = GeneralizationBounds(
        after, (inputs[:250], labels[:250]), (inputs[250:], labels[250:]),
        (PACBayes(draws=500, steps=2000),), initial=before,
    )  # fmt: skip
    solution = lm.solve(problem)
    assert solution.certified
    assert solution.value.values[0] < 0.7


def violations(repeats: int) -> float:
    """Share of random labellings whose bounds lie below the true risk, 1/2."""
    rng = np.random.default_rng(9)
    measures = (VCDimension(), FrobeniusProduct(), Occam(), LinearRademacher(draws=20))
    wrong = np.zeros(len(measures))
    for _ in range(repeats):
        x = rng.normal(size=(40, 2))
        y = rng.integers(0, 2, 40).astype(float)
        w = np.linalg.lstsq(x, 2 * y - 1, rcond=None)[0]
        problem = GeneralizationBounds(dense([w[None]]), (x, y), measures=measures)
        values = [m.value(problem.model, problem.sample).bound for m in measures]
        wrong += np.array(values) < 0.5
    return float(np.max(wrong)) / repeats


def test_bounds_hold_on_random_labels():
    """The risk is 1/2 whatever is learned; 60 draws, delta = 0.05 each."""
    assert violations(60) <= DELTA


@pytest.mark.slow
def test_bounds_hold_on_digits_with_random_labels():
    """500 repetitions, violations at most delta; the risk is 0.9 exactly."""
    from lemmata.studies._generalization_sweep import random_label_violations

    shares = random_label_violations(500)
    assert max(shares.values()) <= DELTA


def test_ranking_agrees_with_scipy_and_separates_settings():
    rng = np.random.default_rng(3)
    values, gaps = rng.normal(size=12), rng.normal(size=12)
    settings = {"width": [1, 2, 3] * 4, "rate": np.repeat([1, 2, 3, 4], 3)}
    found = measure_ranking(values, gaps, settings)
    right = scipy.stats.kendalltau(values, gaps).statistic
    assert found.overall == pytest.approx(right, abs=1e-12)
    by_width = [
        scipy.stats.kendalltau(values[g], gaps[g]).statistic
        for g in np.arange(12).reshape(4, 3)
    ]
    assert found.by_setting["width"] == pytest.approx(np.mean(by_width), abs=1e-12)
    with pytest.raises(lm.core.InvalidArgument, match="settings"):
        measure_ranking(values, gaps, {"width": [1]})
