"""Sinkhorn: plain, over-relaxed, adaptive, and in blocks."""

import numpy as np
import pytest

from lemmata.core import InvalidMethod, NotConverged, solve
from lemmata.transport import (
    AdaptiveRelaxation,
    EntropicTransport,
    PointCost,
    Sinkhorn,
    _passes as passes,
)

from .instances import assignment, decided, reference, weighted

N = 24


@pytest.mark.parametrize("relaxation", [1.0, 1.5])
def test_agrees_with_numpy(relaxation):
    cost, source, target = weighted(N, N, zeros=False)
    problem = EntropicTransport(cost, source, target, epsilon=0.03)
    solution = solve(problem, Sinkhorn(relaxation=relaxation))
    x, y = reference(cost, source, target, 0.03)
    # An L1 error of 1e-10 over the lightest atoms and the spectral gap.
    np.testing.assert_allclose(solution.value.row_potential, x, atol=1e-8)
    np.testing.assert_allclose(solution.value.column_potential, y, atol=1e-8)
    assert solution.certified


def test_relaxation_takes_fewer_sweeps():
    problem = EntropicTransport(assignment(N), epsilon=0.01)
    sweeps = [
        solve(problem, Sinkhorn(relaxation=r)).stats.trace["sweeps"][-1]
        for r in (1.0, 1.7, 1.95, AdaptiveRelaxation())
    ]
    assert all(fewer < 0.5 * sweeps[0] for fewer in sweeps[1:])


def test_dual_is_the_enclosed_value():
    problem = EntropicTransport(assignment(N), epsilon=0.03)
    solution = solve(problem, Sinkhorn())
    figures = decided(solution)["entropic_enclosure"].figures
    assert figures["lower"] == pytest.approx(
        solution.stats.trace["dual"][-1], abs=1e-10
    )
    assert solution.value.regularised_cost == pytest.approx(figures["upper"], abs=1e-10)


def test_points_in_blocks_agree_with_the_matrix(monkeypatch):
    rng = np.random.default_rng(0)
    x, y, weights = rng.random((13, 3)), rng.random((11, 3)), rng.random(13)
    points = PointCost(x, y, scale=2.0)
    whole = EntropicTransport(points.matrix(), weights, epsilon=0.05)
    expected = solve(whole, Sinkhorn())
    monkeypatch.setattr(passes, "_WHOLE", 1)
    monkeypatch.setattr(passes, "_BLOCK", 5 * 11)  # 13 = 5 + 5 + 3 rows
    problem = EntropicTransport(points, weights, epsilon=0.05)
    solution = solve(problem, Sinkhorn(relaxation=1.3))
    assert solution.certified
    np.testing.assert_allclose(
        solution.value.row_potential, expected.value.row_potential, atol=1e-8
    )
    np.testing.assert_allclose(solution.value.cost, expected.value.cost, atol=1e-9)


def test_a_start_far_off_recovers():
    # The first sweep must not lose rows or columns to underflow.
    cost = 1e4 * np.abs(np.arange(5.0)[:, None] - np.arange(5.0)[::-1])
    problem = EntropicTransport(cost, epsilon=1.0)
    solution = solve(problem, Sinkhorn())
    assert solution.certified


def test_limits_and_options():
    problem = EntropicTransport(assignment(N), epsilon=5e-3)
    with pytest.raises(NotConverged, match="max_sweeps: 20 sweeps left"):
        solve(problem, Sinkhorn(max_sweeps=20))
    for bad in (
        {"relaxation": 2.0},
        {"relaxation": 0.0},
        {"atol": -1.0},
        {"check_every": 0},
    ):
        with pytest.raises(InvalidMethod, match=next(iter(bad))):
            Sinkhorn(**bad)


@pytest.mark.slow
def test_twenty_thousand_points_fit_in_memory():
    import resource

    rng = np.random.default_rng(0)
    x, y = rng.random((20_000, 3)), rng.random((20_000, 3))
    problem = EntropicTransport(PointCost(x, y), epsilon=0.3)
    solution = solve(problem, Sinkhorn(check_every=2))
    assert solution.certified
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 4 * 2**20  # KiB
