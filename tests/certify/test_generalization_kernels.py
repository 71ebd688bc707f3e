"""Margin bounds of kernel expansions against plain NumPy, exact means, and risks."""

import itertools
from functools import partial

import numpy as np
import pytest

import lemmata as lm
from lemmata.certify import (
    GaussianKernel,
    GeneralizationBounds,
    HoldOut,
    KernelClassifier,
    KernelRademacher,
    LaplaceKernel,
    LinearRademacher,
    Network,
    PolynomialKernel,
)
from lemmata.certify._measure_kernel_model import KernelModel
from lemmata.core import InvalidProblem
from lemmata_checker.case import Case, decide

DELTA = 0.05
KERNELS = (GaussianKernel(0.8), LaplaceKernel(1.5), PolynomialKernel(3, 0.5, 1.0))


def plain(kernel, x, z) -> float:
    """The text-book formula of one pair."""
    if kernel.name == "gaussian":
        return np.exp(-(np.linalg.norm(x - z) ** 2) / (2 * kernel.width**2))
    if kernel.name == "laplace":
        return np.exp(-np.linalg.norm(x - z, 1) / kernel.width)
    return (kernel.scale * np.dot(x, z) + kernel.offset) ** kernel.degree


def gram(kernel, left, right) -> np.ndarray:
    return np.array([[plain(kernel, x, z) for z in right] for x in left])


def fair_signs(key: int, draws: int, n: int) -> np.ndarray:
    """Row r: bits of the words of its own counters, lowest first; 0 is +1."""
    counters = -(-n // 256)
    raw = np.random.Philox(key=key).random_raw(4 * counters * draws)
    rows = [[int(w) >> b & 1 for w in row for b in range(64)]
            for row in raw.reshape(draws, -1)]  # fmt: skip
    return 1 - 2 * np.array(rows)[:, :n]


def task(n=60, seed=0):
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(n, 2))
    return inputs, (inputs[:, 0] * inputs[:, 1] > 0).astype(float)


def fitted(kernel, inputs, labels, strength=1.0, intercept=None):
    """Kernel ridge regression on labels -1 and 1."""
    k = gram(kernel, inputs, inputs) + strength * np.eye(len(inputs))
    a = np.linalg.solve(k, 2 * labels - 1)
    return KernelClassifier(inputs, a, kernel, intercept)


def linear_network(w, bias=None) -> Network:
    node = {"op": "dense", "inputs": [-1], "weight": "network_0_weight"}
    arrays = {"network_0_weight": np.asarray(w)[None]}
    if bias is not None:
        node["bias"] = "network_0_bias"
        arrays["network_0_bias"] = np.array([bias])
    return Network.of({"input_shape": [len(w)], "nodes": [node]}, arrays)


@pytest.mark.parametrize("intercept", [None, -0.2, 20.0])
@pytest.mark.parametrize("kernel", KERNELS, ids=lambda k: k.name)
def test_bound_against_numpy(kernel, intercept):
    """1e-9 of another path to the same formula, and the judge agrees."""
    x, y = task()
    model = fitted(kernel, x, y, intercept=intercept)
    margin, draws, key, n = 0.3, 40, 5, 60
    measure = KernelRademacher(margin=margin, draws=draws, key=key)
    solution = lm.solve(GeneralizationBounds(model, (x, y), measures=measure))
    assert solution.certificate["bound_holds"].holds
    k = gram(kernel, x, x)
    a, b = np.asarray(model.coefficients), intercept or 0.0
    f = k @ a + b
    norm = np.sqrt(a @ k @ a + b**2)
    k = k + (intercept is not None)
    s = fair_signs(key, draws, n)
    mean = np.mean(np.sqrt(np.einsum("ri,ij,rj->r", s, k, s)))
    moved = np.sum((2 * np.sqrt(np.diag(k)) / draws) ** 2) * draws
    mean += np.sqrt(np.log(1000) * moved / 2)
    j = int(np.ceil(np.log2(norm / margin)))
    share = DELTA / (1.5 * (abs(j) + 1) * (abs(j) + 2))
    right = np.mean(np.where(y == 1, f, -f) < margin)
    right += 2 * 2.0**j * min(mean, np.sqrt(np.trace(k))) / n
    right += 3 * np.sqrt(np.log(2 / share) / (2 * n))
    assert solution.value.values[0] == pytest.approx(right, rel=1e-9)


@pytest.mark.parametrize("bias", [None, 0.4])
def test_the_linear_kernel_gives_the_linear_bound(bias):
    """To rounding: sums of 60 products, so 1e-9 is ample."""
    x, y = task()
    rng = np.random.default_rng(2)
    a = rng.normal(size=7)
    kernel = KernelClassifier(x[:7], a, PolynomialKernel(), bias)
    values = [
        lm.solve(GeneralizationBounds(model, (x, y), measures=measure)).value.values[0]
        for model, measure in (
            (kernel, KernelRademacher(margin=0.5, draws=50)),
            (linear_network(a @ x[:7], bias), LinearRademacher(margin=0.5, draws=50)),
        )
    ]
    assert values[0] == pytest.approx(values[1], rel=1e-9)


def drawn_complexity(kernel, inputs, key, draws, sampling) -> float:
    """What the measure takes for (1 / n) E sqrt(s'Ks): a model of norm 1, no errors."""
    scale = plain(kernel, inputs[0], inputs[0]) ** -0.5
    model = KernelClassifier(inputs[:1], [scale], kernel)
    measure = KernelRademacher(draws=draws, key=key, sampling_delta=sampling)
    n = len(inputs)
    problem = GeneralizationBounds(model, (inputs, np.ones(n)), measures=measure)
    value = measure.value(problem.model, problem.sample).bound
    j = 0 if 2.0**0 >= 1 * (1 + 1e-9) else 1  # norm 1 needs room for rounding
    loss = problem.model.below(problem.sample, 1.0) / n
    deviation = 3 * np.sqrt(np.log(2 * 9 / DELTA) / (2 * n))
    return (value - loss - deviation) / (2 * 2.0**j)


WIDE = (GaussianKernel(4.0), LaplaceKernel(9.0), PolynomialKernel(2, 0.2, 3.0))


@pytest.mark.parametrize("kernel", WIDE, ids=lambda k: k.name)
def test_draws_are_above_the_exact_mean_as_often_as_they_promise(kernel):
    """All 2^9 signs; below the mean in at most a share sampling_delta of 40 keys."""
    inputs = task(9)[0]
    k = gram(kernel, inputs, inputs)
    every = np.array(list(itertools.product((-1, 1), repeat=9)))
    exact = np.mean(np.sqrt(np.einsum("ri,ij,rj->r", every, k, every))) / 9
    found = [drawn_complexity(kernel, inputs, key, 400, 0.3) for key in range(40)]
    assert np.mean(np.array(found) < exact) <= 0.3
    assert max(found) <= np.sqrt(np.trace(k)) / 9 * (1 + 1e-9)
    assert np.mean(found) < np.sqrt(np.trace(k)) / 9 * (1 - 1e-3)


def test_bounds_hold_on_random_labels():
    """The risk is 1/2 whatever is learned; delta = 0.05, and 40 models that overfit.

    Without its complexity each of these bounds would lie below 1/2.
    """
    measure, kernel = KernelRademacher(margin=0.5, draws=20), GaussianKernel(0.02)
    rng, wrong, alone = np.random.default_rng(9), 0, []
    for _ in range(40):
        x, y = rng.normal(size=(200, 2)), rng.integers(0, 2, 200).astype(float)
        model = KernelClassifier(x, 2 * y - 1, kernel)
        problem = GeneralizationBounds(model, (x, y), measures=measure)
        wrong += measure.value(problem.model, problem.sample).bound < 0.5
        j = np.ceil(np.log2(np.sqrt(KernelModel(model).square_norm()[0]) / 0.5))
        deviation = 3 * np.sqrt(np.log(3 * (j + 1) * (j + 2) / DELTA) / 400)
        alone.append(problem.model.below(problem.sample, 0.5) / 200 + deviation)
    assert wrong / 40 <= DELTA
    assert max(alone) < 0.5


def verdict(problem, values, **changed):
    """The judge on one claim, with parts of the packed problem replaced."""
    packed = problem.pack()
    json = packed.json | changed.pop("json", {})
    json["network"] = json["network"] | changed.pop("model", {})
    packed = type(packed)(packed.kind, json, packed.arrays | changed)
    case = Case(packed, {"values": np.asarray(values)})
    return decide("certify.bound_holds/1", 1 + 1e-9, case)


def test_forged_models_and_values_are_refused():
    x, y = task()
    model = fitted(WIDE[0], x, y)
    problem = GeneralizationBounds(
        model, (x, y), measures=KernelRademacher(margin=0.3, draws=1000)
    )
    value = lm.solve(problem).value.values
    judge = partial(verdict, problem)
    assert judge(value).holds
    assert not judge(value * (1 - 1e-6)).holds
    assert not judge(value, coefficients=8 * np.asarray(model.coefficients)).holds
    record = problem.measures[0].record()
    for change in ({"draws": 100}, {"sampling_delta": 1e-9}, {"delta": 1e-3}):
        assert not judge(value, json={"measures": [record | change]}).holds, change
    others = [judge(value, json={"measures": [record | {"key": k}]}) for k in range(9)]
    assert 0 < sum(decision.holds for decision in others) < 9  # some means are larger
    narrow = {"name": "gaussian", "width": 0.4}
    assert not judge(value, model={"kernel": narrow}).holds
    assert not judge(value, model={"intercept": 9.0}).holds


def power(degree, scale, offset) -> dict:
    return {"name": "polynomial", "degree": degree, "scale": scale, "offset": offset}


@pytest.mark.parametrize(
    ("content", "arrays", "said"),
    [
        ({"kernel": {"name": "sigmoid", "width": 1.0}}, {}, "gaussian, laplace"),
        ({"kernel": {"name": "gaussian", "width": 0.0}}, {}, "kernel.width"),
        ({"kernel": {"name": "gaussian", "width": np.nan}}, {}, "kernel.width"),
        ({"kernel": {"name": "gaussian"}}, {}, "expected width"),
        ({"kernel": power(2, 1.0, -1.0)}, {}, "kernel.offset"),
        ({"kernel": power(21, 1.0, 0.0)}, {}, "kernel.degree"),
        ({"kernel": power(2, 0.0, 0.0)}, {}, "kernel.scale"),
        ({"kernel": power(20, 1e50, 0.0)}, {}, "within float64"),
        ({"intercept": np.inf}, {}, "intercept"),
        ({"nodes": []}, {}, "alone"),
        ({}, {"initial": np.zeros(3)}, "no initial"),
        ({}, {"coefficients": np.ones(3)}, "coefficients"),
        ({}, {"coefficients": np.full(60, np.nan)}, "finite"),
        ({}, {"coefficients": np.full(60, 1e300)}, "at most 2"),
        ({}, {"centres": np.ones((60, 3))}, "train_inputs"),
        ({}, {"train_labels": np.full(60, 2.0)}, "train_labels"),
    ],
)  # fmt: skip
def test_malformed_expansions_never_hold(content, arrays, said):
    x, y = task()
    problem = GeneralizationBounds(
        fitted(KERNELS[0], x, y), (x, y), measures=KernelRademacher(draws=20)
    )
    decision = verdict(problem, [1e300], model=content, **arrays)
    assert not decision.holds
    assert said in decision.detail
    norms = {"name": "frobenius_product", "margin": 1.0, "delta": 0.1}
    assert not verdict(problem, [1e300], json={"measures": [norms]}).holds


@pytest.mark.parametrize(("points", "draws"), [(4001, 1), (300, 10**6)])
def test_more_than_a_judge_affords_is_refused(points, draws):
    """Before anything of that size is formed, on either side."""
    x = np.zeros((points, 1))
    model = KernelClassifier(x[:1], [1.0], KERNELS[0])
    data, measure = (x, x[:, 0]), KernelRademacher(draws=draws)
    with pytest.raises(InvalidProblem, match="KernelRademacher, at most (4000|262) tr"):
        GeneralizationBounds(model, data, measures=measure)
    problem = GeneralizationBounds(model, data, data, measures=HoldOut())
    found = verdict(problem, [9.0], json={"measures": [measure.record()]})
    assert not found.holds
    assert "at most 4000" in found.detail


FAR = 1e6
CANCELLING = {
    "the norm": (GaussianKernel(1.0), [[0.0], [0.0]], [1e7, -1e7], [[0.5]]),
    "scores": (GaussianKernel(1.0), [[0.0], [0.0], [2.0]], [1e8, -1e8, 1e-7], [[2.0]]),
    "products": (PolynomialKernel(), [[FAR, FAR]], [1.0], [[FAR, -FAR + 1e-10]]),
    "draws": (GaussianKernel(1e9), [[0.0]], [1.0], np.linspace(0, 1, 40)[:, None]),
    "all": (GaussianKernel(50.0), np.linspace(0, 1, 40)[:, None],
            1e7 * (-1.0) ** np.arange(40), np.linspace(0, 1, 40)[:, None]),
}  # fmt: skip


@pytest.mark.parametrize("name", CANCELLING)
def test_what_cancels_is_judged_as_stated(name):
    """Where rounding is all that is left, both sides widen, and agree."""
    kernel, centres, coefficients, x = CANCELLING[name]
    x = np.array(x)
    data, margin = (x, np.ones(len(x))), 0.5
    problem = GeneralizationBounds(
        KernelClassifier(np.array(centres), coefficients, kernel),
        data,
        data,
        (KernelRademacher(margin=margin, draws=500), HoldOut()),
    )
    certificate = lm.solve(problem).certificate
    assert certificate["bound_holds"].holds
    assert certificate["test_risk"].holds
