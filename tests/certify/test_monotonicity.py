"""Monotone outputs: shown where they are, not where they are not."""

import numpy as np
import pytest
from checker.tests.networks import dense_network

import lemmata as lm
from lemmata.certify import DerivativeBounds, Monotonicity, Network
from lemmata.core import InvalidArgument, InvalidProblem

CONTENT, ARRAYS = dense_network(
    [3, 6, 4, 2], np.random.default_rng(0), "leaky_relu", slope=0.1
)


def network():
    """Rises with the first input, falls with the second; the third may do either."""
    arrays = dict(ARRAYS)
    first = arrays["network_0_weight"].copy()
    first[:, 0] = np.abs(first[:, 0])
    first[:, 1] = -np.abs(first[:, 1])
    first[:, 2] = [1.0, -1.0, 1.0, -1.0, 1.0, -1.0]
    arrays["network_0_weight"] = first
    for k in (2, 4):
        arrays[f"network_{k}_weight"] = np.abs(arrays[f"network_{k}_weight"])
    arrays["network_0_bias"] = np.full(6, 1.0)
    return Network.of(CONTENT, arrays)


def test_verdicts_are_shown_and_judged():
    problem = Monotonicity(network(), -2 * np.ones(3), 2 * np.ones(3), 0, [0, 1, 2])
    solution = lm.solve(problem)
    np.testing.assert_array_equal(solution.value.verdicts, [1, -1, 0])
    assert solution.certified
    assert solution.certificate["monotone"].measured == 0


def test_a_wrong_verdict_is_refused():
    problem = Monotonicity(network(), -0.2 * np.ones(3), 0.2 * np.ones(3), 0, [0, 1, 2])
    value = problem.candidate(
        derivative_lower=[0.0, -9.0, 0.0], derivative_upper=[9.0, 0.0, 9.0]
    )
    decisions = lm.certify(problem, value).certificate
    assert not decisions["monotone"].holds
    assert not decisions["derivative_interval"].holds


def test_along_one_feature_and_a_direction():
    problem = Monotonicity.along(network(), np.zeros(3), 2, -2.0, 2.0, [1.0, -1.0])
    solution = lm.solve(problem, DerivativeBounds(optimize_slopes=True, slope_steps=3))
    if not np.any(solution.value.verdicts):
        withheld = [w.id for w in solution.certificate.withheld]
        assert withheld == ["certify.monotone/1"]
    low, high = solution.value.derivative_lower[0], solution.value.derivative_upper[0]
    assert low < high
    assert solution.certified


def test_bad_input_is_named():
    for features in ([], [0, 0], [3]):
        with pytest.raises(InvalidProblem, match=r"Monotonicity\.features"):
            Monotonicity(network(), np.zeros(3), np.ones(3), 0, features)
    with pytest.raises(InvalidProblem, match=r"\.output"):
        Monotonicity(network(), np.zeros(3), np.ones(3), "all", [0])
    with pytest.raises(InvalidArgument, match="feature"):
        Monotonicity.along(network(), np.zeros(3), 5, 0, 1, 0)
