"""Norms that the trace bounds, sharpness by products, gradient rows of any model."""

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import pytest

import lemmata as lm
from lemmata.certify import (
    DiagonalLinear,
    SGDStability,
    TwoLayerReLU,
    generalisation_bound,
    hessian_product,
    reach_minimum,
    sharpness,
    top_eigenvalue,
    trace_estimate,
)
from lemmata.certify._stability_rows import gradient_rows

MODEL = TwoLayerReLU()


def network(rng, m=4, d=3):
    return {"inner": rng.normal(size=(m, d)), "outer": rng.normal(size=m)}


def test_data_form_of_the_path_norm_on_a_thousand_networks():
    rng = np.random.default_rng(0)
    for _ in range(1000):
        m, d, n = rng.integers(1, 8, size=3)
        params, inputs = network(rng, m, d), rng.normal(size=(n, d))
        trace = MODEL.trace(params, inputs)
        weighted = MODEL.norm_bound(params, inputs).weighted
        assert weighted <= trace * (1 + 1e-12)
        # Rescaled so that m_j = a_j^2 k_j, both sides agree.
        before = inputs @ params["inner"].T
        mass = np.mean(np.maximum(before, 0) ** 2, axis=0)
        reach = np.mean((before > 0) * np.sum(inputs**2, 1)[:, None], axis=0)
        alive = mass > 0
        ratio = np.where(
            alive, params["outer"] ** 2 * reach / np.where(alive, mass, 1), 1.0
        )
        balanced = {
            "inner": params["inner"] * ratio[:, None] ** 0.25,
            "outer": np.where(alive, params["outer"] / ratio**0.25, 0.0),
        }
        trace = MODEL.trace(balanced, inputs)
        weighted = MODEL.norm_bound(balanced, inputs).weighted
        assert weighted == pytest.approx(trace, rel=1e-6, abs=1e-12)


def test_balanced_networks_are_flattest_for_isotropic_inputs():
    """Tr G against sqrt(d) times the path norm, 4,000 Gaussian points."""
    rng = np.random.default_rng(1)
    d, inputs = 20, rng.normal(size=(4000, 20))
    params = network(rng, 50, d)
    balanced = MODEL.balanced(params, d)
    np.testing.assert_allclose(
        MODEL.predictions(balanced, inputs), MODEL.predictions(params, inputs)
    )
    norm = np.sqrt(d) * MODEL.norm_bound(params, inputs).norm
    # sampling: relative error about sqrt(d / n) = 0.07 over 50 neurons
    assert MODEL.trace(balanced, inputs) == pytest.approx(norm, rel=0.05)
    assert MODEL.trace(params, inputs) > 1.05 * norm


def test_rows_have_the_inner_products_of_the_gradients():
    rng = np.random.default_rng(2)
    inputs = rng.normal(size=(5, 3))
    diagonal = {"first": rng.normal(size=3), "second": rng.normal(size=3)}
    for model, params in (
        (MODEL, network(rng)),
        (DiagonalLinear(), diagonal),
        (DiagonalLinear(squares=True), diagonal),
    ):
        own = model.rows(params, inputs)
        autodiff = gradient_rows(model, params, inputs)[:, 0]
        np.testing.assert_allclose(own @ own.T, autodiff @ autodiff.T, atol=1e-12)
        trace = np.sum(own**2) / len(inputs)
        assert model.trace(params, inputs) == pytest.approx(trace, rel=1e-12)


def two_outputs(params, x):
    return params["outer"] @ jnp.tanh(params["inner"] @ x)


@pytest.fixture(scope="module")
def minimum():
    rng = np.random.default_rng(3)
    params = {"inner": rng.normal(size=(3, 3)), "outer": rng.normal(size=(2, 3))}
    inputs = rng.normal(size=(6, 3))
    with jax.enable_x64(True):
        targets = np.asarray(jax.vmap(two_outputs, (None, 0))(params, inputs))
    return params, inputs, targets


def dense_hessian(params, inputs, targets):
    with jax.enable_x64(True):
        flat, restore = jax.flatten_util.ravel_pytree(jax.tree.map(jnp.asarray, params))

        def loss(w):
            found = jax.vmap(two_outputs, (None, 0))(restore(w), inputs)
            return jnp.sum((found - targets) ** 2) / (2 * len(inputs))

        return np.asarray(jax.hessian(loss)(flat))


def test_trace_is_that_of_the_autodiff_hessian(minimum):
    hessian = dense_hessian(*minimum)
    problem = SGDStability(two_outputs, *minimum, 0.01, outputs=2)
    value = lm.solve(problem).value
    # 1e-8: both are exact up to rounding
    assert float(value.trace) == pytest.approx(np.trace(hessian), rel=1e-8)
    assert float(value.frobenius) == pytest.approx(np.linalg.norm(hessian), rel=1e-8)
    top = np.linalg.eigvalsh(hessian)[-1]
    assert float(value.lambda_max) == pytest.approx(top, rel=1e-8)


def test_sharpness_away_from_a_minimum_tells_hessian_from_gauss_newton(minimum):
    params, inputs, targets = minimum
    hessian = dense_hessian(params, inputs, targets + 1.0)
    at_minimum = dense_hessian(params, inputs, targets)
    # As many products as spend a full basis: Hutch++ is then exact.
    found = sharpness(two_outputs, params, inputs, targets + 1.0, products=60)
    assert found.loss == pytest.approx(1.0)
    assert found.trace == pytest.approx(np.trace(at_minimum), rel=1e-10)
    assert found.frobenius == pytest.approx(np.linalg.norm(at_minimum), rel=1e-10)
    assert found.lambda_max == pytest.approx(np.linalg.eigvalsh(at_minimum)[-1])
    assert found.hessian_trace == pytest.approx(np.trace(hessian), rel=1e-8)
    assert found.hessian_lambda_max == pytest.approx(np.linalg.eigvalsh(hessian)[-1])
    assert found.hessian_lambda_max_residual < 1e-7
    assert abs(found.trace - found.hessian_trace) > 0.1


def test_products_and_intervals():
    rng = np.random.default_rng(4)
    half = rng.normal(size=(40, 40)) / 40**0.5
    matrix = half @ half.T
    product = matrix.dot
    value, residual = top_eigenvalue(product, 40)
    values = np.linalg.eigvalsh(matrix)
    assert np.min(np.abs(values - value)) <= residual + 1e-12
    assert value == pytest.approx(values[-1], rel=1e-9)
    for flat in (np.zeros((4, 4)), np.zeros((2, 2))):
        assert top_eigenvalue(flat.dot, len(flat)) == (0.0, 0.0)
    assert top_eigenvalue(matrix[:2, :2].dot, 2)[1] <= 1e-14
    inside = 0
    for key in range(100):
        estimate, width = trace_estimate(product, 40, products=30, key=key)
        inside += abs(estimate - np.trace(matrix)) <= width
    # ten probes make a normal interval a little short: 95% nominal, 92% by Student
    assert inside >= 85
    vectors = np.linalg.eigh(matrix)[1]
    decaying = ((vectors * values**8) @ vectors.T).dot
    plain = trace_estimate(decaying, 40, products=30, deflate=False)[1]
    assert trace_estimate(decaying, 40, products=30)[1] < plain / 10


def test_products_need_no_more_than_a_block(minimum):
    params, inputs, targets = minimum
    whole, size = hessian_product(two_outputs, params, inputs, targets)
    pieces, _ = hessian_product(two_outputs, params, inputs, targets, chunk=4)
    vector = np.random.default_rng(5).normal(size=size)
    np.testing.assert_allclose(pieces(vector), whole(vector), rtol=1e-12)
    hessian = dense_hessian(params, inputs, targets)
    np.testing.assert_allclose(whole(vector), hessian @ vector, atol=1e-12)
    columns = np.random.default_rng(6).normal(size=(size, 19))  # a block and a part
    np.testing.assert_allclose(whole(columns), hessian @ columns, atol=1e-12)


def test_rows_by_blocks_have_the_same_inner_products(minimum):
    params, inputs, _ = minimum
    direct = gradient_rows(two_outputs, params, inputs)
    blocks = gradient_rows(two_outputs, params, inputs, memory=8 * 15 * 2 * 2)
    one, two = (r.reshape(12, -1) for r in (direct, blocks))
    np.testing.assert_allclose(two @ two.T, one @ one.T, atol=1e-10)


def test_bound_on_the_test_loss_is_the_judges(minimum):
    """The formula, once by hand."""
    rng = np.random.default_rng(6)
    params, inputs = network(rng, 2, 3), rng.normal(size=(50, 3))
    targets = MODEL.predictions(params, inputs) + 0.1
    problem = SGDStability(MODEL, params, inputs, targets, 0.01)
    norm = np.sum(np.abs(params["outer"]) * np.linalg.norm(params["inner"], axis=1))
    k = np.ceil(np.log2(norm))
    complexity = 2 * 2**k * np.sqrt(np.sum(inputs**2)) / 50
    share = 0.05 / (1.5 * (abs(k) + 1) * (abs(k) + 2))
    deviation = 3 * np.sqrt(np.log(2 / share) / 100)
    bound = 0.005 + 2 * np.sqrt(2) * complexity + deviation
    assert generalisation_bound(problem) == pytest.approx(bound, rel=1e-12)


@pytest.mark.slow
def test_any_model_can_be_trained_to_a_minimum():
    rng = np.random.default_rng(7)
    inputs = rng.normal(size=(5, 3))
    params = {"first": np.ones(3), "second": np.zeros(3)}
    targets = inputs @ np.array([1.0, -0.5, 0.0])
    for options in ({}, {"replacement": True}):
        found = reach_minimum(
            DiagonalLinear(), params, inputs, targets, 0.05, 2, **options
        )
        assert found.converged
        w = found.params["first"] * found.params["second"]
        np.testing.assert_allclose(w, [1.0, -0.5, 0.0], atol=1e-3)
