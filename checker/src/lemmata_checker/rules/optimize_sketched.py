"""Rule of a Newton run: every accepted step descends and meets Armijo's rule.

With L_eta = L + (eta1/2)||c||^2 + (eta2/2)||grad_x L||^2 and the direction defined by
the recorded iterates themselves, d = (z+ - z) / alpha, two inequalities are decided at
every step, with penalties that only tighten:

    <grad L_eta(z), d> <= -(eta2/2) ||grad L(z)||^2
    L_eta(z+) - L_eta(z) <= alpha beta <grad L_eta(z), d>

Differences of values drown in rounding near a solution. There Taylor's theorem bounds
that of L from above: with s = x+ - x, t = lambda+ - lambda and H enclosed over the box
of the segment, L(z+) - L(z) <= <grad_x L(z), s> + sup s^T H s / 2 + <t, c(x+)>.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from ..case import Case, Malformed, Measurement, Rule
from ..curvature import hessian
from ..differentiate import Evaluation, evaluate
from ..intervals import (
    Ball,
    add,
    between,
    exact,
    multiply,
    negative,
    product,
    scale,
    subtract,
    total,
)
from ..program import Program
from ._constrained import KIND, program_of, stationarity, vector

MOST_STEPS = 100_000


class Local(NamedTuple):
    """Enclosures at one iterate: values, grad_x L, and the iterate itself."""

    found: Evaluation
    x: np.ndarray
    multipliers: np.ndarray
    gradient: Ball


def shared_program(case: Case) -> Program:
    """The problem's functions, read once for the claims about a run."""
    return case.shared("program of the run", lambda: program_of(case))


def table(arrays: Any, name: str, shape: tuple[int | None, ...]) -> np.ndarray:
    """A finite float64 array; None in `shape` is any size."""
    found = arrays.get(name)
    if found is None:
        raise Malformed(f"{name} is missing")
    fits = found.dtype == np.float64 and found.ndim == len(shape)
    fits = fits and all(
        s is None or s == f for s, f in zip(shape, found.shape, strict=False)
    )
    if not fits or not np.all(np.isfinite(found)):
        raise Malformed(f"{name}: expected finite float64 of shape {shape}")
    return found


def local(program: Program, point: np.ndarray) -> Local:
    """Values, derivatives and grad_x L = grad f + G^T lambda, enclosed."""
    n = program.variables
    x, multipliers = point[:n], point[n:]
    found = evaluate(program, exact(x))
    return Local(found, x, multipliers, stationarity(found, exact(multipliers)))


def dot(a: Ball, b: Ball) -> Ball:
    """The inner product of two vectors."""
    return total(multiply(a, b), (0,))


def square(a: Ball) -> Ball:
    """||a||^2, each entry's square not below zero."""
    size = a.magnitude()
    least = np.maximum(np.abs(a.mid) - a.radius, 0.0) * (1 - 2.0**-50)
    low, high = least * least * (1 - 2.0**-50), size * size * (1 + 2.0**-50)
    return total(between(low, high + 2.0**-1060), (0,))


class Witness(NamedTuple):
    """A run: iterates, step lengths, penalties, Armijo's share."""

    points: np.ndarray
    alphas: np.ndarray
    eta1: np.ndarray
    eta2: np.ndarray
    beta: float


def _witness(case: Case, program: Program) -> Witness:
    size = program.variables + program.constraints
    points = table(case.witness, "points", (None, size))
    steps = len(points) - 1
    if not 1 <= steps <= MOST_STEPS:
        raise Malformed(f"points: expected 2 to {MOST_STEPS + 1} iterates")
    alphas, eta1, eta2 = (
        vector(case.witness, name, steps) for name in ("alphas", "eta1", "eta2")
    )
    mantissa, _ = np.frexp(alphas)
    if np.any(alphas <= 0) or np.any(alphas > 1) or np.any(mantissa != 0.5):
        raise Malformed("alphas: expected 1, 1/2, 1/4, ..")
    if np.any(eta1 <= 0) or np.any(eta2 <= 0):
        raise Malformed("eta1, eta2: expected > 0")
    if np.any(np.diff(eta1) < 0) or np.any(np.diff(eta2) > 0):
        raise Malformed("expected eta1 that never falls and eta2 that never rises")
    beta = case.parameters.get("beta")
    if not isinstance(beta, float) or not 0 < beta < 0.5:
        raise Malformed("beta: expected a number in (0, 1/2)")
    _ends(case, points, program.variables)
    return Witness(points, alphas, eta1, eta2, beta)


def _ends(case: Case, points: np.ndarray, n: int) -> None:
    """The run starts where it says and ends at the answer."""
    start = case.parameters.get("start")
    if start not in ("problem", "warm"):
        raise Malformed("start: expected problem or warm")
    arrays, m = case.problem.arrays, points.shape[1] - n
    begun = np.concatenate([vector(arrays, "x0", n), vector(arrays, "multipliers0", m)])
    if start == "problem" and not np.array_equal(points[0], begun):
        raise Malformed("the first iterate is not the problem's start")
    answer = [vector(case.value, "point", n), vector(case.value, "multipliers", m)]
    if not np.array_equal(points[-1], np.concatenate(answer)):
        raise Malformed("the last iterate is not the answer")


def descent(case: Case) -> Measurement:
    """The worst of both slacks, each relative to what it is measured against."""
    program = shared_program(case)
    run = _witness(case, program)
    worst = {"descent": -math.inf, "armijo": -math.inf}
    here = local(program, run.points[0])
    for k in range(len(run.alphas)):
        there = local(program, run.points[k + 1])
        step = _Step(program, here, there, run, k)
        for name, slack in (("descent", step.descent()), ("armijo", step.armijo())):
            worst[name] = max(worst[name], slack if slack == slack else math.inf)
        here = there
    steps = len(run.alphas)
    detail = f"{steps} steps, {np.sum(run.alphas == 1)} of them of full length"
    return Measurement(max(worst.values()), detail, worst)


class _Step:
    """One accepted step z -> z+."""

    def __init__(self, program: Program, here: Local, there: Local, run: Witness, k):
        self.program, self.here, self.there = program, here, there
        self.alpha, self.beta = float(run.alphas[k]), run.beta
        self.eta1, self.eta2 = float(run.eta1[k]), float(run.eta2[k])
        self.s = subtract(exact(there.x), exact(here.x))
        self.t = subtract(exact(there.multipliers), exact(here.multipliers))
        self.slope = self._slope()

    def _slope(self) -> Ball:
        """The slope times alpha: <grad L_eta(z), z+ - z>."""
        at = self.here
        g, c, gradient = at.found.jacobian, at.found.constraint, at.gradient
        h = hessian(at.found, exact(at.multipliers))
        # <H grad, s> as <H s, grad>: H symmetric.
        along = add(dot(gradient, self.s), _times(self.eta2, self._curved(h)))
        pushed = product(g, self.s)
        along = add(along, _times(self.eta1, dot(c, pushed)))
        across = add(c, _times(self.eta2, product(g, gradient)))
        return add(along, dot(across, self.t))

    def _curved(self, h: Ball) -> Ball:
        return dot(product(h, self.s), self.here.gradient)

    def residual(self) -> Ball:
        """||grad L||^2 at z."""
        return add(square(self.here.gradient), square(self.here.found.constraint))

    def descent(self) -> float:
        """(<grad L_eta, d> + (eta2/2) ||grad L||^2) / ||grad L||^2, from above."""
        size = self.residual()
        excess = add(scale(self.slope, 1 / self.alpha), _times(0.5 * self.eta2, size))
        return _ratio(float(excess.upper()), size)

    def armijo(self) -> float:
        """(L_eta(z+) - L_eta(z) - alpha beta slope) / (alpha |slope|), from above."""
        wanted = _times(self.beta, self.slope)
        direct = subtract(self._rise(self._values()), wanted)
        excess = float(direct.upper())
        if not excess <= 0:
            through = subtract(self._rise(self._taylor()), wanted)
            excess = float(np.fmin(excess, through.upper()))
        return _ratio(excess, negative(self.slope))

    def _rise(self, lagrangian: Ball) -> Ball:
        """Of L_eta, given that of L."""
        here, there = self.here, self.there
        violation = subtract(
            square(there.found.constraint), square(here.found.constraint)
        )
        slope = subtract(square(there.gradient), square(here.gradient))
        penalty = add(
            _times(0.5 * self.eta1, violation), _times(0.5 * self.eta2, slope)
        )
        return add(lagrangian, penalty)

    def _values(self) -> Ball:
        """L(z+) - L(z) from values."""
        found = []
        for at in (self.there, self.here):
            products = dot(exact(at.multipliers), at.found.constraint)
            found.append(add(at.found.objective, products))
        return subtract(*found)

    def _taylor(self) -> Ball:
        """L(z+) - L(z) from the gradient at z and H over the segment's box."""
        here, there = self.here, self.there
        box = between(np.minimum(here.x, there.x), np.maximum(here.x, there.x))
        h = hessian(evaluate(self.program, box), exact(here.multipliers))
        curved = scale(dot(product(h, self.s), self.s), 0.5)
        moved = dot(self.t, there.found.constraint)
        return add(add(dot(here.gradient, self.s), curved), moved)


def _times(factor: float, a: Ball) -> Ball:
    return multiply(exact(factor), a)


def _ratio(excess: float, size: Ball) -> float:
    """Upper bound on excess / size, size > 0 known as a ball; inf where it may be 0."""
    least, most = float(size.lower()), float(size.upper())
    if not (least > 0 and math.isfinite(most)):
        return math.inf
    below = most if excess <= 0 else least
    return float(np.nextafter(excess / below, math.inf))


RULES: tuple[Rule, ...] = (
    Rule(
        "optimize.descent/1",
        "proof",
        "<=",
        "every accepted step z -> z+ = z + alpha d has <grad L_eta, d> <= "
        "-(eta2/2) ||grad L||^2 and L_eta(z+) <= L_eta(z) + alpha beta <grad L_eta, d>",
        "share",
        descent,
        (KIND,),
    ),
)
