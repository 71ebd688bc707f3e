"""Matrix sensing reproduces the paper's picture, line by line."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.optimize.sensing_instances import population, semidefinite, sensed, slope

import lemmata as lm
from lemmata.core import InvalidArgument, NotConverged, TooLarge, run
from lemmata.optimize import (
    AcceleratedAsymmetricGradientDescent,
    AsymmetricGradientDescent,
    GaussianOperator,
    IdentityOperator,
    LowRank,
    MatrixSensing,
    Planted,
    SmallRandomStart,
    SpectralStart,
    SymmetricGradientDescent,
    recovered_matrix,
)
from lemmata.optimize._gradient_descent import rebalanced

NEVER = 10**9  # patience of a run that is to go on
SPREAD = 0.3 / 50**0.5  # 0.1 * 3 / sqrt(50)


def solve(problem, method, steps=None, **options):
    """Gradient steps, not looks."""
    looks = None if steps is None else steps // method.check_every
    return lm.solve(problem, method, max_steps=looks, throw=False, **options)


def curve(solution):
    trace = solution.stats.trace
    return trace["gradient_steps"], trace["square_error"]


def test_one_step_and_all_step_bounds_hold_at_every_step():
    n, k, steps = 12, 5, 300
    problem = population(n, (1.0, 0.4))
    method = SymmetricGradientDescent(k, check_every=1, patience=NEVER)

    with jax.enable_x64(True):

        @jax.jit
        @jax.vmap
        def path(key, scale):
            start = SmallRandomStart(scale=scale)
            moved = SymmetricGradientDescent(
                k, start=start, check_every=1, patience=NEVER
            )
            state = moved.init(problem, key)

            def again(state, _):
                return moved.step(problem, state), state.left

            return jax.lax.scan(again, state, None, length=steps)[1]

        keys = jax.random.split(jax.random.key(0), 20)
        scales = jnp.geomspace(0.005, 0.3, 20)
        x = np.asarray(path(keys, scales))
    eta = 0.2 / np.linalg.norm(problem.truth.matrix(), 2)
    s = np.linalg.svd(x, compute_uv=False)  # (20, steps, k)
    least, top = s[..., -1], s[..., 0]
    assert np.all(eta * (top**2 + least**2 / 2) <= 0.5)
    slack = least[:, 1:] - least[:, :-1] * (1 - eta * least[:, :-1] ** 2)
    assert slack.min() >= -1e-12
    u = least[:, :1] ** 2
    bound = (k - 2) * (u / (1 + 3 * eta * np.arange(steps) * u)) ** 2
    error = x @ x.transpose(0, 1, 3, 2) - problem.truth.matrix()
    assert np.all(np.sum(error**2, axis=(2, 3)) >= bound)
    assert method.width == k


def test_the_bound_of_a_step_needs_its_condition():
    """With eta s_1^2 near 1 the one-step inequality fails: the check can fail, too."""
    x = np.diag([1.0, 0.3])
    step = x - 0.9 * (x @ x.T) @ x
    least = np.linalg.svd(step, compute_uv=False)[-1]
    assert least < 0.3 * (1 - 0.9 * 0.3**2) - 0.1


@pytest.mark.parametrize("k", [4, pytest.param(5, marks=pytest.mark.slow), 10])
def test_symmetric_descent_beyond_the_rank_is_as_slow_as_the_bound(k):
    method = SymmetricGradientDescent(
        k, start=SmallRandomStart(scale=SPREAD), patience=NEVER
    )
    solution = solve(population(), method, 20_000)
    steps, error = curve(solution)
    late = steps >= 2_000
    assert -2.1 < slope(np.log(steps[late]), np.log(error[late])) < -1.8
    bound = solution.certificate["symmetric_lower_bound"]
    assert bound.holds
    assert 1 <= bound.measured <= 5
    assert solution.result.name == "max_steps"


def test_symmetric_descent_of_the_right_width_is_exact():
    method = SymmetricGradientDescent(3)
    solution = solve(population(rtol=1e-15), method, 1_000)
    assert curve(solution)[1][-1] <= 1e-28
    assert solution.certificate["exact_parameterisation"].holds


def test_sublinear_runs_say_so_and_what_to_do():
    with pytest.raises(NotConverged, match="AcceleratedAsymmetric") as caught:
        lm.solve(population(), SymmetricGradientDescent(10))
    assert caught.value.solution.result.name == "sublinear"


def test_asymmetric_rate_is_quadratic_in_the_scale():
    slopes, problem = [], population(rtol=1e-11)
    for scale in (0.01, 0.02, 0.04):
        start = SmallRandomStart(scale=scale)
        solution = solve(problem, AsymmetricGradientDescent(5, start=start), 40_000)
        assert solution.certificate.holds, str(solution)
        steps, error = curve(solution)
        inside = (error < 1e-6) & (error > 1e-22)
        slopes.append(slope(steps[inside], np.log(error[inside])))
    ratios = np.array(slopes[1:]) / slopes[:-1]
    assert np.all((ratios > 3.5) & (ratios < 4.5)), ratios


def test_balance_is_what_slows_the_asymmetric_form_down():
    errors = []
    for imbalance in (1.0, 1 / 3, 0.0):
        start = SmallRandomStart(scale=0.02, imbalance=imbalance)
        method = AsymmetricGradientDescent(5, start=start, patience=NEVER)
        errors.append(curve(solve(population(rtol=1e-16), method, 4_000))[1][-1])
    assert errors[0] > 1e-10
    assert errors[0] > 1e4 * errors[1] > 1e8 * errors[2]


def test_accelerated_rate_is_free_of_the_scale():
    slopes, problem = [], population(rtol=2e-11)
    for scale in (0.005, 0.01, 0.02, 0.04):
        method = AcceleratedAsymmetricGradientDescent(
            5, start=SmallRandomStart(scale=scale)
        )
        solution = solve(problem, method)
        assert solution.result.name == "converged"
        assert solution.certificate.holds, str(solution)
        steps, error = curve(solution)
        assert steps[error <= 1e-20][0] <= 800
        inside = (error < 1e-6) & (error > 1e-20)
        slopes.append(slope(steps[inside], np.log(error[inside])))
        figures = solution.certificate["acceleration"].figures
        assert figures["product moved"] <= 1e-12
        assert figures["L'L - b^2 I"] <= 1e-12
    assert min(slopes) / max(slopes) <= 1.05


def test_rebalancing_keeps_the_product_where_a_factor_lost_rank():
    rng = np.random.default_rng(0)
    left, right = rng.normal(size=(9, 4)), rng.normal(size=(7, 4))
    left[:, 3] = left[:, 0]
    with jax.enable_x64(True):
        new, other = (np.asarray(a) for a in rebalanced(left, right, 1.2))
    b2 = 1.44 * np.linalg.norm(left @ right.T, 2)
    np.testing.assert_allclose(new @ other.T, left @ right.T, atol=1e-13)
    np.testing.assert_allclose(new.T @ new, b2 * np.eye(4), atol=1e-12 * b2)


@pytest.mark.slow
def test_sensing_accelerated_is_linear_and_symmetric_is_not():
    start = SmallRandomStart(scale=0.02)
    fast = solve(
        sensed(rtol=1e-12), AcceleratedAsymmetricGradientDescent(5, start=start), 1_500
    )
    assert curve(fast)[1][-1] <= 1e-15
    slow = solve(
        sensed(),
        SymmetricGradientDescent(
            5, start=SmallRandomStart(scale=SPREAD), patience=NEVER
        ),
        1_500,
    )
    steps, error = curve(slow)
    assert error.min() > 1e-6
    late = steps > 200
    assert -2.2 < slope(np.log(steps[late]), np.log(error[late])) < -1.4


def test_sensing_of_a_small_matrix_recovers_it():
    rng = np.random.default_rng(1)
    truth = LowRank(rng.normal(size=(12, 1)), rng.normal(size=(9, 1)))
    operator = GaussianOperator((12, 9), 160, key=4)
    problem = Planted.of(operator, truth, held_out=60)
    solution = lm.solve(problem)
    error = np.linalg.norm(solution.value.matrix() - truth.matrix())
    bound = solution.certificate["held_out_error"].measured
    assert error <= bound <= 4 * error
    assert solution.certified, str(solution)


def test_imbalance_changes_by_second_order_terms_alone():
    """The identity at every one of 50 steps, by NumPy alone."""
    problem = population(12, (1.0, 0.4))
    method = AsymmetricGradientDescent(4, check_every=1)
    with jax.enable_x64(True):
        state = method.init(problem, jax.random.key(3))
        step = jax.jit(lambda s: method.step(problem, s))
        states = [state]
        for _ in range(50):
            states.append(step(states[-1]))
        states = [(np.asarray(s.left), np.asarray(s.right)) for s in states]
        eta = float(state.length)
    target = problem.truth.matrix()
    for (left, right), (new, other) in zip(states, states[1:], strict=False):
        e = left @ right.T - target
        change = new.T @ new - other.T @ other - left.T @ left + right.T @ right
        second = eta**2 * (right.T @ e.T @ e @ right - left.T @ e @ e.T @ left)
        size = np.sum(left**2) + np.sum(right**2)
        assert np.linalg.norm(change - second) <= 1e-12 * size


def test_spectral_start_skips_the_escape_and_not_the_slow_end():
    problem = sensed(20, 700)
    fast = solve(problem, SymmetricGradientDescent(3, start=SpectralStart()), 300)
    slow = solve(problem, SymmetricGradientDescent(3), 300)
    early = [curve(s)[1][2] for s in (fast, slow)]
    assert early[0] < 0.3 * early[1]


def test_warm_start_goes_on_from_the_answer():
    problem, method = population(12, (1.0, 0.4)), AsymmetricGradientDescent(3)
    first = solve(problem, method, 200)
    second = solve(problem, method, 10, start=first)
    assert second.stats.trace["residual"][0] <= first.stats.trace["residual"][-1]
    with pytest.raises(InvalidArgument, match="width 4"):
        solve(problem, AsymmetricGradientDescent(4), 10, start=first)


def test_derivative_is_that_of_the_best_fit():
    """For full sensing and full rank the best fit is the least-squares solution."""
    operator = GaussianOperator((3, 3), 20, key=2)
    a = np.asarray(operator.stored)
    y = a @ np.random.default_rng(5).normal(size=9)
    with jax.enable_x64(True):
        jacobian = jax.jacrev(
            lambda v: recovered_matrix(v, operator, rank=3).reshape(-1)
        )(jnp.asarray(y))
        with pytest.raises(InvalidArgument, match="rank"):
            recovered_matrix(y, operator, rank=4)
    # conjugate gradients stop at 1e-13 relative; the Gram matrix's condition is ~ 30
    np.testing.assert_allclose(jacobian, np.linalg.pinv(a), atol=1e-9)


def test_one_matrix_or_its_entries_state_the_same_problem():
    target = semidefinite(6).matrix()
    operator = IdentityOperator((6, 6))
    one = MatrixSensing(operator, target, psd=True)
    other = MatrixSensing(operator, target.reshape(-1), psd=True)
    np.testing.assert_array_equal(one.measurements, other.measurements)


def test_low_rank_values():
    rng = np.random.default_rng(0)
    factor = rng.normal(size=(8, 2))
    matrix = factor @ rng.normal(size=(2, 5))
    value = LowRank.of(matrix)
    assert (value.width, value.shape) == (2, (8, 5))
    np.testing.assert_allclose(value.matrix(), matrix, atol=1e-13)
    vector = rng.normal(size=5)
    np.testing.assert_allclose(value @ vector, matrix @ vector, atol=1e-13)
    singular = np.linalg.svd(matrix, compute_uv=False)[:2]
    np.testing.assert_allclose(value.singular_values(), singular, rtol=1e-12)
    symmetric = LowRank.of(factor @ factor.T, symmetric=True)
    np.testing.assert_array_equal(symmetric.left, symmetric.right)
    with pytest.raises(TooLarge, match="@"):
        value.matrix(limit=10)


def test_run_is_the_same_whatever_the_driver():
    problem = population(12, (1.0, 0.4), rtol=1e-8)
    method = AsymmetricGradientDescent(3)
    with jax.enable_x64(True):
        value, _, looks = run(problem, method, max_steps=1000)
    solution = lm.solve(problem, method)
    assert int(looks) == solution.stats.steps
    np.testing.assert_allclose(value.left, solution.value.left, atol=1e-12)
