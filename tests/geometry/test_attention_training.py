"""Training of attention weights: gradients, directions, path, survivors."""

from functools import cache

import equinox as eqx
import flint
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.geometry.attention_instances import sequences

import lemmata as lm
from lemmata.core import InvalidProblem
from lemmata.geometry import (
    AttentionTraining,
    CallableHead,
    Factored,
    GeneralizedSVM,
    GradientDescent,
    Joint,
    LinearHead,
    NormalizedGradient,
    QuadraticHead,
    RegularizationPath,
    ReluHead,
    TextbookGradient,
    generalized_direction,
    selection,
)
from lemmata.geometry._attention_training import stable_gradient, textbook_gradient
from lemmata.geometry._attention_value import selected_tokens

N, T, D = 4, 4, 5
SHORT = np.array([4, 4, 3, 4])


def training(seed=0, head=None, loss="logistic", **options):
    tokens, queries, labels, v, _ = sequences(N, T, D, seed)
    head = LinearHead(v) if head is None else head
    return AttentionTraining(tokens, queries, labels, head, loss, **options)


def hidden(seed=0, width=8):
    return np.random.default_rng(seed + 50).normal(size=(width, D))


HEADS = {
    "linear": lambda: LinearHead(hidden()[0]),
    "relu": lambda: ReluHead(hidden()),
    "quadratic": lambda: QuadraticHead(hidden()[0], 0.7),
    "callable": lambda: CallableHead(lambda x: jnp.tanh(jnp.sum(x) + x[0])),
}


def cosine(a, b):
    a, b = np.asarray(a), np.asarray(b)
    return np.sum(a * b) / (np.linalg.norm(a) * np.linalg.norm(b))


CASES = [("linear", "logistic"), ("relu", "exponential")]
CASES += [
    pytest.param(*case, marks=pytest.mark.slow)
    for case in (
        ("linear", "correlation"),
        ("quadratic", "logistic"),
        ("callable", "logistic"),
    )
]


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_stable_gradient_is_the_gradient(name, kind):
    weights = np.random.default_rng(3).normal(size=(D, D))
    problem = training(head=HEADS[name](), loss=kind, lengths=SHORT)

    @jax.jit
    def gradients(w):
        slope, scale = stable_gradient(problem, w)
        plain, _ = textbook_gradient(problem, w)
        return slope * jnp.exp(scale), plain, jax.grad(problem.objective)(w)

    with jax.enable_x64(True):
        found, plain, expected = map(np.asarray, gradients(jnp.asarray(weights)))
    np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(plain, expected, rtol=1e-11, atol=1e-13)


def exact_direction(problem, weights, bits=4000):
    """The gradient's direction in ball arithmetic, by the textbook formula."""
    with flint.ctx.workprec(bits):
        arb = np.vectorize(flint.arb, otypes=[object])
        x, z = arb(problem.tokens), arb(problem.queries)
        w, v = arb(weights), arb(problem.head.vector)
        total = np.full((D, D), flint.arb(0), dtype=object)
        for i in range(N):
            raw = x[i] @ (w @ z[i])
            chance = np.array([r.exp() for r in raw], dtype=object)
            chance = chance / sum(chance)
            y = flint.arb(float(problem.labels[i]))
            gamma = (x[i] @ v) * y
            mean = sum(chance * gamma)
            slope = -1 / (1 + mean.exp())
            row = ((chance * (gamma - mean))[:, None] * x[i]).sum(axis=0)
            total = total + slope * np.outer(row, z[i])
        largest = max((abs(e) for e in total.reshape(-1)), key=lambda e: float(e.log()))
        return np.array([[float((e / largest).mid()) for e in r] for r in total])


def test_stable_gradient_survives_saturation():
    """||W|| = 1000: the textbook's is round-off, or nothing at all."""
    problem = training()
    weights = np.random.default_rng(3).normal(size=(D, D))
    weights *= 1000 / np.linalg.norm(weights)
    expected = exact_direction(problem, weights)
    with jax.enable_x64(True):
        w = jnp.asarray(weights)
        slope, scale = jax.jit(lambda w: stable_gradient(problem, w))(w)
        plain, _ = jax.jit(lambda w: textbook_gradient(problem, w))(w)
    slope, plain = np.asarray(slope), np.asarray(plain)
    # logits of about 500 are rounded by 1e-13
    np.testing.assert_allclose(slope / np.max(np.abs(slope)), expected, atol=1e-11)
    assert float(scale) < -5
    assert not np.any(plain) or cosine(plain, expected) < 0.999


@cache
def trained(kind="joint"):
    method = {
        "joint": NormalizedGradient(steps=4000),
        "textbook": NormalizedGradient(steps=4000, gradient=TextbookGradient()),
        "factored": NormalizedGradient(Factored(), steps=4000),
    }[kind]
    return lm.solve(training(), method, key=1, throw=False)


def test_training_turns_to_the_svm():
    solution = trained()
    certificate = solution.certificate
    assert certificate.holds
    assert certificate["attention_direction"].measured > 0.999
    assert certificate["attention_margin"].measured > 0.95
    assert solution.stats.trace["gradient_steps"][-1] == 4000
    # steps of length 0.1 in a settled direction
    assert 350 < solution.stats.trace["norm"][-1] < 401
    found = selection(solution.problem, solution.value)
    direct = cosine(solution.value.weights, found.frobenius.value.weights)
    assert found.cosine_frobenius == pytest.approx(direct, abs=1e-12)
    assert np.array_equal(
        found.selected, selected_tokens(solution.value.weights, solution.problem)
    )
    best = np.argmax(solution.problem.scores, axis=1)
    assert found.globally_optimal == np.array_equal(best, found.selected)
    assert np.min(found.margins) == pytest.approx(1.0)


def test_textbook_gradient_ends_elsewhere():
    found = trained("textbook").certificate
    assert not found["attention_direction"].holds
    ours = trained().certificate["attention_direction"].measured
    assert found["attention_direction"].measured < ours - 0.05


def test_factors_turn_to_the_nuclear_svm():
    solution = trained("factored")
    assert solution.value.factored
    found = selection(solution.problem, solution.value)
    assert found.cosine_nuclear > max(0.95, found.cosine_frobenius)
    assert solution.certificate["attention_margin"].holds
    assert set(solution.value.pack()) == {"key_weights", "query_weights"}


@pytest.mark.slow
def test_plain_descent_lowers_the_loss_and_grows():
    problem = training()
    solution = lm.solve(
        problem, GradientDescent(steps=400, step_size=1.0, start_scale=0.0), throw=False
    )
    norms = solution.stats.trace["norm"]
    assert np.all(np.diff(norms) > 0)
    with jax.enable_x64(True):
        before = float(problem.objective(jnp.zeros((D, D))))
        after = float(problem.objective(jnp.asarray(solution.value.weights)))
    assert after < before


def test_local_start_keeps_its_selection():
    """Started far out along a locally optimal solution, training stays there."""
    found = selection(trained().problem, trained().value)
    assert found.locally_optimal
    weights = found.frobenius.value.weights
    far = trained().problem.candidate(weights=1000 * weights / np.linalg.norm(weights))
    again = lm.solve(
        trained().problem, NormalizedGradient(steps=4000), start=far, throw=False
    )
    assert np.array_equal(
        selected_tokens(again.value.weights, again.problem), found.selected
    )
    assert again.certificate["attention_direction"].measured > 0.9999


@pytest.mark.parametrize(
    "parameterization", [Joint(), pytest.param(Factored(), marks=pytest.mark.slow)]
)
def test_path_turns_to_the_best_tokens(parameterization):
    radii = np.array([1.0, 10.0, 100.0, 300.0])
    method = RegularizationPath(radii, parameterization, inner_steps=1000)
    solution = lm.solve(training(), method, throw=False)
    decision = solution.certificate["attention_path"]
    assert decision.holds
    assert decision.measured > 0.995
    best = np.argmax(solution.problem.scores, axis=1)
    found = selected_tokens(solution.value.weights, solution.problem)
    assert np.array_equal(best, found)
    kind = "nuc" if isinstance(parameterization, Factored) else "fro"
    assert np.linalg.norm(solution.value.weights, kind) <= 300 * (1 + 1e-12)


# A random start leaves a part outside the span of the data, which no step changes.
FROM_ZERO = NormalizedGradient(steps=4000, start_scale=0.0)


@cache
def several():
    """A relu head whose training keeps six of sixteen tokens, none undecided."""
    problem = training(30, head=ReluHead(hidden(30)), alignment=0.95)
    return lm.solve(problem, FROM_ZERO, throw=False)


def test_survivors_follow_the_generalised_svm():
    solution = several()
    decision = solution.certificate["surviving_tokens"]
    assert decision.holds, decision
    found = generalized_direction(solution.problem, solution.value)
    assert found.kept.sum(axis=1).max() > 1
    tokens, queries = solution.problem.tokens, solution.problem.queries
    images = queries @ found.direction.T
    scores = np.einsum("ntd,nd->nt", tokens, images)
    odds = np.einsum("ntd,nd->nt", tokens, queries @ found.finite.T)
    weights = np.asarray(solution.value.weights)
    logits = np.einsum("ntd,nd->nt", tokens, queries @ weights.T)
    for i, kept in enumerate(found.kept):
        assert np.ptp(scores[i, kept]) < 1e-7
        if not np.all(kept):
            assert scores[i, kept].min() - scores[i, ~kept].max() > 1 - 1e-7
        away = np.diff(odds[i, kept]) - np.diff(logits[i, kept])
        assert np.all(np.abs(away) < 1e-6)
    assert found.cosine > found.cosine_direction
    assert cosine(found.weights, weights) == pytest.approx(found.cosine)


def test_generalised_svm_as_a_method():
    trained_solution = several()
    found = lm.solve(
        trained_solution.problem, GeneralizedSVM(), start=trained_solution, throw=False
    )
    expected = generalized_direction(trained_solution.problem, trained_solution.value)
    np.testing.assert_allclose(found.value.weights, expected.weights, rtol=1e-12)
    assert found.certificate["surviving_tokens"].measured < 1e-9
    assert found.certificate["surviving_tokens"].holds


def test_undecided_and_zero_weights_promise_nothing():
    problem = training()
    zero = lm.certify(problem, problem.candidate(weights=np.zeros((D, D))))
    assert not zero.certificate.decisions
    small = lm.certify(problem, problem.candidate(weights=np.eye(D)))
    assert "attention_direction" not in small.certificate
    far = problem.candidate(weights=12.0 * np.random.default_rng(1).normal(size=(D, D)))
    reasons = {w.id: w.reason for w in lm.certify(problem, far).certificate.withheld}
    assert "geometry.surviving_tokens/1" in reasons


def test_files_know_what_was_trained(tmp_path):
    for name, make in HEADS.items():
        problem = training(head=make())
        value = problem.candidate(
            key_weights=np.eye(D)[:, :2], query_weights=np.eye(D)[:, 1:3]
        )
        path = lm.certify(problem, value).save(tmp_path / f"{name}.lemma")
        again = lm.load(path).problem
        assert again.pack().json == problem.pack().json
        same = again.pack().arrays
        for key, array in problem.pack().arrays.items():
            assert np.array_equal(same[key], array)
        if name == "callable":
            with pytest.raises(InvalidProblem, match="the function itself"):
                again.head(np.ones(D))


def test_equinox_modules_are_heads():
    with jax.enable_x64(True):
        network = eqx.nn.MLP(D, "scalar", 3, 1, key=jax.random.key(0))
    problem = training(head=CallableHead(network))
    assert any(k.startswith("head_leaf") for k in problem.pack().arrays)
