"""What the ADMM methods share: their iterates, and the looks at the gap between."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ..core import Outcome
from ._relu_dual import cones_of, lower_bound
from ._relu_linear import predict
from ._relu_losses import Loss
from ._relu_network import ReLUNetwork, weights_of

_REACHED = 0.5
GAP, FLAT = 1, 2
FLAT_OUTCOME = Outcome(
    "stalled",
    "The residuals are at rounding level and the gap is not: use SemismoothNewton().",
)


class Best(eqx.Module):
    """The best network so far, and the best bound; loss as a plain sum.

    `vectors` lie in their cones, (2P, d); `code`: why the run is over, 0 if not.
    """

    vectors: Array
    theta: Array
    cost: Array
    lower: Array
    code: Array


class Split(eqx.Module):
    """The iterates: u = z, G u = s, and for a loss that is not squared F u = f.

    `lam`, `nu`, `pi`: scaled duals. `primal`, `dual`: norms of the residuals, relative.
    """

    u: Array
    z: Array
    s: Array
    f: Array
    lam: Array
    nu: Array
    pi: Array
    penalty: Array
    primal: Array
    dual: Array
    count: Array
    seen: Array
    best: Best


def split_start(problem: Any, penalty: Any) -> Split:
    """All zeros."""
    n, d = problem.inputs.shape
    blocks = 2 * problem.patterns.shape[0]
    u, s, f = jnp.zeros((blocks, d)), jnp.zeros((blocks, n)), jnp.zeros(n)
    loss = problem.criterion
    cost = loss.value(f, problem.targets, jnp)
    theta = loss.dual_point(f, problem.targets, jnp)
    zero, none = jnp.asarray(0.0), jnp.asarray(0, jnp.int64)
    best = Best(u, theta, cost, zero, none)
    penalty = jnp.asarray(penalty, jnp.float64)
    big = jnp.asarray(jnp.inf)
    return Split(u, u, s, f, u, s, f, penalty, big, big, none, none, best)


def split_prox(problem: Any, state: Split, u: Any, gu: Any, relaxation: Any) -> Split:
    """The z-, s- and f-updates and their residuals, duals not yet moved.

    With over-relaxation a: u and G u are replaced by a u + (1 - a) z and so on.
    """
    a, rho = relaxation, state.penalty
    uh = a * u + (1.0 - a) * state.z
    gh = a * gu + (1.0 - a) * state.s
    t = uh + state.lam
    size = jnp.sqrt(jnp.sum(t * t, axis=1))
    threshold = problem.decay / rho
    shrink = jnp.maximum(1.0 - threshold / jnp.where(size > 0, size, 1.0), 0.0)
    z = t * shrink[:, None]
    s = jnp.maximum(gh + state.nu, 0.0)
    f, fh, apart = state.f, state.f, 0.0
    if problem.loss != "squared":
        fu = predict(problem.inputs, problem.patterns, u)
        fh = a * fu + (1.0 - a) * state.f
        f = problem.criterion.prox(fh + state.pi, 1.0 / rho, problem.targets, jnp)
        apart = jnp.sqrt(jnp.sum((fu - f) ** 2)) / (1.0 + jnp.sqrt(jnp.sum(f * f)))
    scale = 1.0 + jnp.sqrt(jnp.sum(z * z))
    primal = jnp.sqrt(jnp.sum((u - z) ** 2) + jnp.sum((gu - s) ** 2)) / scale + apart
    dual = jnp.sqrt(jnp.sum((z - state.z) ** 2) + jnp.sum((s - state.s) ** 2)) / scale
    return eqx.tree_at(
        lambda q: (q.u, q.z, q.s, q.f, q.lam, q.nu, q.pi, q.primal, q.dual, q.count),
        state,
        (
            u,
            z,
            s,
            f,
            state.lam + uh - z,
            state.nu + gh - s,
            state.pi + fh - f,
            primal,
            dual,
            state.count + 1,
        ),
    )


def damped(state: Split, moved: Split, share: Any) -> Split:
    """Duals moved by a share of the full step."""
    names = ("lam", "nu", "pi")
    old = [getattr(state, name) for name in names]
    new = [getattr(moved, name) for name in names]
    values = [o + share * (n - o) for o, n in zip(old, new, strict=True)]
    return eqx.tree_at(lambda q: tuple(getattr(q, k) for k in names), moved, values)


def due(state: Split, every: int) -> Array:
    """Whether the host should look, or the run is over; NaN ends it, too."""
    finite = jnp.isfinite(state.primal) | (state.count == 0)
    return (state.best.code > 0) | (state.count - state.seen >= every) | ~finite


def look(problem: Any, state: Split) -> tuple[Best, Split]:
    """Projects z on the cones, bounds the gap; on the host.

    z is only nearly in the cones, so the convex objective there may read below the
    optimum: it is the projected point that counts.
    """
    loss = Loss(problem.loss, float(problem.logit_scale))
    y, x = np.asarray(problem.targets), np.asarray(problem.inputs)
    patterns = np.asarray(problem.patterns)
    decay = float(problem.decay)
    cones = cones_of(x, patterns)
    z = np.asarray(state.z)
    vectors = np.zeros_like(z)
    live = np.flatnonzero(np.any(z != 0, axis=1))
    vectors[live] = cones.project(live, z[live]).point
    f = _image(x, patterns, vectors)
    cost = float(loss.value(f, y)) + decay * float(
        np.sum(np.linalg.norm(vectors, axis=1))
    )
    e = np.where(np.concatenate([patterns, patterns]), 1.0, -1.0)
    rho = float(state.penalty)
    moved = (e * np.maximum(-rho * np.asarray(state.nu), 0.0)) @ x
    best = state.best
    kept = (np.asarray(best.vectors), float(best.cost))
    if cost < kept[1]:
        kept = (vectors, cost)
    theta_best, lower = np.asarray(best.theta), float(best.lower)
    for theta in _duals(problem, state, loss, y, f):
        found = _bounded(loss, y, decay, cones, patterns, theta, moved)
        if found > lower:
            theta_best, lower = theta, found
    reached = kept[1] - lower <= _REACHED * float(problem.gap_tol) * lower
    flat = max(float(state.primal), float(state.dual)) < 1e-15
    code = GAP if reached else FLAT if flat else 0
    best = Best(
        jnp.asarray(kept[0]),
        jnp.asarray(theta_best),
        jnp.asarray(kept[1], jnp.float64),
        jnp.asarray(lower, jnp.float64),
        jnp.asarray(code, jnp.int64),
    )
    return best, eqx.tree_at(lambda q: (q.best, q.seen), state, (best, state.count))


def _bounded(loss, y, decay, cones, patterns, theta, moved) -> float:
    """With mu = -rho nu as a first guess, projections where that is not enough."""
    pulls = (patterns * theta) @ cones.inputs
    known = np.linalg.norm(np.concatenate([pulls, -pulls]) + moved, axis=1)
    return lower_bound(loss, y, decay, cones, patterns, theta, known).value


def _duals(problem, state, loss, y, f) -> list[np.ndarray]:
    if problem.loss == "squared":
        image = predict(problem.inputs, problem.patterns, state.u)
        return [loss.dual_point(f, y), y - np.asarray(image)]
    own = -float(state.penalty) * np.asarray(state.pi)
    return [loss.admissible(own, y), loss.dual_point(f, y)]


def _image(x: np.ndarray, patterns: np.ndarray, u: np.ndarray) -> np.ndarray:
    p = len(patterns)
    return np.sum(np.where(patterns, (u[:p] - u[p:]) @ x.T, 0.0), axis=0)


def network_of(problem: Any, state: Split) -> ReLUNetwork:
    """The better of the last look's network and that of z itself; in the driver."""
    blocks = state.z.shape[0]
    sign = jnp.where(jnp.arange(blocks) < blocks // 2, 1.0, -1.0)
    pairs = [weights_of(v, sign, jnp) for v in (state.best.vectors, state.z)]
    costs = [problem.cost(*pair, jnp) for pair in pairs]
    better = costs[0] <= costs[1]
    hidden, output = jax.tree.map(lambda a, b: jnp.where(better, a, b), *pairs)
    loss, y = problem.criterion, problem.targets
    own = loss.dual_point(problem.predictions(*pairs[1], jnp), y, jnp)
    theta = jnp.where(state.best.lower > 0, state.best.theta, own)
    share = loss.share(y.shape[0])
    return problem.network(hidden, output, share * theta, jnp)
