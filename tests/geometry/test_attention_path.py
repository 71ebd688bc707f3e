"""The regularisation path's objective and projections, against definitions."""

import flint
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.geometry.attention_instances import sequences

from lemmata.geometry import AttentionTraining
from lemmata.geometry._attention_heads import loss, loss_excess
from lemmata.geometry._attention_path import (
    frobenius_projection,
    log_excess,
    log_miss,
    nuclear_projection,
)

N, T, D = 4, 4, 5
SHORT = np.array([4, 4, 3, 4])


def training(**options):
    tokens, queries, labels, v, _ = sequences(N, T, D)
    return AttentionTraining(tokens, queries, labels, v, **options)


@pytest.mark.parametrize("kind", ["logistic", "exponential", "correlation"])
def test_objective_of_the_path_is_the_logarithm_of_the_excess(kind):
    weights = np.random.default_rng(3).normal(size=(D, D))
    problem = training(loss=kind, lengths=SHORT)
    inside = np.arange(T)[None, :] < SHORT[:, None]
    scores = np.where(inside, problem.scores, -np.inf)

    @jax.jit
    def figures(w):
        limit = jnp.mean(loss(kind, jnp.asarray(scores.max(axis=1))))
        excess = jnp.log(problem.objective(w) - limit)
        logs = problem.attend(w).log_probability
        return (
            log_excess(problem, w),
            excess,
            log_excess(problem, 1e4 * w),
            log_miss(problem, w),
            logs,
        )

    with jax.enable_x64(True):
        found, excess, far, guide, logs = figures(jnp.asarray(weights))
    assert float(found) == pytest.approx(float(excess), abs=1e-10)
    assert np.isfinite(float(far))
    missed = -np.sum(np.asarray(logs)[np.arange(N), scores.argmax(axis=1)])
    assert float(guide) == pytest.approx(np.log(missed), abs=1e-11)


@pytest.mark.parametrize("kind", ["logistic", "exponential", "correlation"])
def test_excess_of_the_loss_in_ball_arithmetic(kind):
    pairs = [
        (b, log_delta)
        for b in (-3.0, 0.5, 20.0)
        for log_delta in (-300.0, -21.0, -19.0, -1.0, 1.0, 3.0)
    ]
    with jax.enable_x64(True):
        best, logs = (jnp.asarray(column) for column in zip(*pairs, strict=True))
        found = jax.jit(lambda b, ld: loss_excess(kind, b, ld))(best, logs)
    for (b, log_delta), value in zip(pairs, np.asarray(found).tolist(), strict=True):
        with flint.ctx.workprec(2000):
            low = flint.arb(b) - flint.arb(log_delta).exp()
            if kind == "logistic":
                pair = [(1 + (-m).exp()).log() for m in (low, flint.arb(b))]
            elif kind == "exponential":
                pair = [(-m).exp() for m in (low, flint.arb(b))]
            else:
                pair = [-low, -flint.arb(b)]
            expected = float((pair[0] - pair[1]).log().mid())
        # below e^-20 the first-order term alone: off by delta / 2
        assert value == pytest.approx(expected, abs=3e-9)


def test_projections_are_nearest_points():
    rng = np.random.default_rng(0)
    with jax.enable_x64(True):
        for radius in (0.5, 3.0, 100.0):
            matrix = rng.normal(size=(D, D))
            for project, kind in (
                (nuclear_projection, "nuc"),
                (frobenius_projection, "fro"),
            ):
                found = np.asarray(jax.jit(project)(jnp.asarray(matrix), radius))
                size = np.linalg.norm(found, kind)
                assert size <= radius * (1 + 1e-12)
                for _ in range(20):  # the variational inequality
                    other = rng.normal(size=(D, D))
                    other *= radius / np.linalg.norm(other, kind)
                    assert np.sum((matrix - found) * (other - found)) <= 1e-9
