"""Newton's method with sketched systems on the exact augmented Lagrangian.

Source: Hong, Na, Mahoney and Kolar, ICML 2023 (arXiv 2305.18379), and its reference
implementation, whose constants these are.

1. The merit's gradient takes the Hessian of the Lagrangian; the reference's takes that
   of f, which is wrong for non-linear constraints.
2. A frozen penalty without a descent direction ends the run and is reported; the
   reference takes the direction all the same.
3. `DescentAccuracy`, equilibration, row blocks and superlinear forcing terms are ours.
"""

from typing import Any, final

import jax.numpy as jnp
from jaxtyping import Array

from ..core import require
from ..numerics.sketch import AbstractSketch, RowBlock
from ._constrained import ConstrainedPoint
from ._kkt import AbstractKKT, StoredKKT
from ._newton_claims import descent_claim, local_rate_claim, projection_claim
from ._newton_report import AbstractMeritNewton
from ._newton_state import NewtonState, Outer, advance, begin
from ._sketched_direction import (
    RECORDED,
    AbstractAccuracy,
    DescentAccuracy,
    Sample,
    Solver,
    default_cap,
)

Real = float | Array


@final
class SketchedNewton(AbstractMeritNewton):
    """Newton directions from a few random rows of the KKT matrix at a time.

    **Options:**

    - `sketch`: which rows or combinations: `RowBlock`, `Kaczmarz`, `WeightedKaczmarz`,
      `GaussianVector`, `GaussianBlock`, `CountSketch`.
    - `accuracy`: when an inner solve may stop: `DescentAccuracy`, `TheoryAccuracy`.
    - `kkt`: `StoredKKT`, or `MatrixFreeKKT`, whose rows are Hessian-vector products.
    - `equilibrate`: scale the KKT matrix symmetrically before it is sketched.
    - `superlinear`: theta_k = min(1, ||grad L||) instead of 1.
    - `eta1`, `eta2`: first penalties of the merit function, > 0.
    - `delta`: first accuracy, in (0, 1).
    - `xi`: added to the Hessian's norm where it is modified, > 0.
    - `beta`: Armijo's share, in (0, 1/2).
    - `nu`: how fast penalties grow, > 1.
    - `curvature_floor`: reduced curvature below which the Hessian is modified.
    - `licq_floor`: the run ends where lambda_min(G G^T) is below it, >= 0.
    - `atol`: stops at this ||(grad_x L, c)||; None: half the problem's `kkt_tol`.
    - `max_inner`: sketch steps of one solve; None: 100,000, or a million for Gaussian
      vectors.
    - `max_outer`, `max_halvings`: bounds on steps, and on halvings of one step.
    - `record`: steps whose iterates are kept for the claim of descent.
    """

    sketch: AbstractSketch = RowBlock()
    accuracy: AbstractAccuracy = DescentAccuracy()
    kkt: AbstractKKT = StoredKKT()
    equilibrate: bool = True
    superlinear: bool = True
    eta1: Real = 1.0
    eta2: Real = 0.1
    delta: Real = 0.1
    xi: Real = 0.1
    beta: Real = 0.1
    nu: Real = 1.5
    curvature_floor: Real = 1e-6
    licq_floor: Real = 1e-10
    atol: Real | None = None
    max_inner: int | None = None
    max_outer: int = 10_000
    max_halvings: int = 50
    record: int = 256

    def validate(self) -> None:
        check_penalties(self)
        good = self.max_inner is None or self.max_inner >= RECORDED
        expected = f"None or >= {RECORDED}"
        require(self, "max_inner", good, expected=expected, got=self.max_inner)
        in_range = 0 < self.delta < 1
        require(self, "delta", in_range, expected="in (0, 1)", got=self.delta)
        self.sketch.validate()
        self.kkt.validate()

    def init(self, problem: Any, key: Any) -> NewtonState:
        return self._begin(problem, key, problem.x0, problem.multipliers0)

    def warm_start(self, problem: Any, value: ConstrainedPoint, key: Any):
        return self._begin(problem, key, value.x, value.multipliers)

    def _begin(self, problem: Any, key: Any, x: Any, multipliers: Any) -> NewtonState:
        size = x.shape[0] + multipliers.shape[0]
        sample = None
        if isinstance(self.kkt, StoredKKT) and self.record:
            sample = Sample.empty(self.sketch, size)
        return begin(problem, key, x, multipliers, self._outer(), sample)

    def _outer(self) -> Outer:
        return Outer(
            self.kkt,
            self.superlinear,
            self.equilibrate,
            self.eta1,
            self.eta2,
            self.delta,
            self.xi,
            self.beta,
            self.curvature_floor,
            self.licq_floor,
            self.max_outer,
            self.max_halvings,
            self.record,
        )

    def step(self, problem: Any, state: NewtonState) -> NewtonState:
        def solve(system, at, parts, theta, state, key):
            solver = Solver(
                self.sketch,
                self.accuracy,
                system,
                at,
                parts,
                theta,
                jnp.asarray(self.xi),
                jnp.asarray(self.beta),
                jnp.asarray(self.nu),
                self.max_inner or default_cap(self.sketch),
            )
            return solver.solve(key, state.eta1, state.eta2, state.delta)

        return advance(problem, state, self._outer(), solve)

    def claims(self, problem: Any, value: Any, state: NewtonState, trace: Any):
        return (
            descent_claim(problem, value, state, self.beta),
            projection_claim(self.sketch, state),
            local_rate_claim(trace, self.superlinear),
        )

    def citations(self) -> tuple[str, ...]:
        keys = ("hong2023sketched", "dipillo1979exact", "gower2015randomized")
        return (*keys, "ruiz2001scaling") if self.equilibrate else keys


def check_penalties(method: Any) -> None:
    """The options that every method on the exact augmented Lagrangian has."""
    in_range = 0 < method.beta < 0.5
    require(method, "beta", in_range, expected="in (0, 1/2)", got=method.beta)
    require(method, "nu", method.nu > 1, expected="> 1", got=method.nu)
    for field in ("eta1", "eta2", "xi"):
        value = getattr(method, field)
        require(method, field, value > 0, expected="> 0", got=value)
    for field in ("curvature_floor", "licq_floor"):
        value = getattr(method, field)
        require(method, field, value >= 0, expected=">= 0", got=value)
    good = method.atol is None or method.atol > 0
    require(method, "atol", good, expected="None or > 0", got=method.atol)
    for field, least in (("max_outer", 1), ("max_halvings", 1), ("record", 0)):
        value = getattr(method, field)
        require(method, field, value >= least, expected=f">= {least}", got=value)
