"""Preconditioned gradient descent on factors, the main rival beyond the true rank.

Source: Tong, Ma and Chi, JMLR 22 (2021), for the scaled step; Zhang, Fattahi and Zhang,
NeurIPS 2021, for damping by the error; Xu, Shen, Chi and Ma, ICML 2023, for fixed
damping.
"""

from typing import Any, ClassVar, final

import jax.numpy as jnp
from jaxtyping import Array

from ..core import Claim, Withheld, require
from ._factored_descent import AbstractFactoredDescent
from ._gradient_descent import symmetric_part
from ._matrix_sensing import MatrixSensing, Real
from ._sensing_starts import AbstractStart, SmallRandomStart


@final
class ScaledGradientDescent(AbstractFactoredDescent):
    """L <- L - eta E R (R'R + lambda I)^-1, and R likewise; or one factor X = L = R.

    **Options:**

    - `width`: columns k of the factors.
    - `step_size`: eta, a pure number in (0, 1]; None is 0.3.
    - `damping`: > 0; lambda is `damping` times ||E||_F, or, where `adaptive` is false,
      times ||L R' - E||_F, which is near the size of the target throughout.
    - `adaptive`: damping falls with the error; fixed damping keeps a floor that the
      start's scale sets.
    - `symmetric`: one factor, for problems with `psd=True`.
    - `start`, `check_every`, `patience`: as for `SymmetricGradientDescent`.
    """

    advice: ClassVar[str] = "pass adaptive=True, or use the accelerated form."
    width: int
    step_size: Real | None = None
    damping: Real = 0.1
    adaptive: bool = True
    symmetric: bool = False
    start: AbstractStart = SmallRandomStart()
    check_every: int = 10
    patience: int = 1024

    def validate(self) -> None:
        super().validate()
        good = self.damping > 0
        require(self, "damping", good, expected="> 0", got=self.damping)

    def is_symmetric(self) -> bool:
        return self.symmetric

    def default_step(self, problem: MatrixSensing) -> float:
        del problem
        return 0.3

    def _length(self, relative: Any, target: Any) -> Array:
        del target  # the preconditioner makes steps dimensionless
        return jnp.asarray(relative, jnp.float64)

    def move(
        self, problem: MatrixSensing, length: Any, factors: tuple[Any, Any], slope: Any
    ) -> tuple[Any, Any]:
        left, right = factors
        size = slope if self.adaptive else left @ right.T - slope
        damping = self.damping * jnp.sqrt(jnp.sum(size * size))
        if self.symmetric:
            slope = symmetric_part(problem, slope)
            moved = left - length * _scaled(slope @ left, left, damping)
            return moved, moved
        ahead = _scaled(slope @ right, right, damping)
        back = _scaled(slope.T @ left, left, damping)
        return left - length * ahead, right - length * back

    def claims(
        self, problem: Any, value: Any, state: Any, trace: Any
    ) -> tuple[Claim | Withheld, ...]:
        """None: rates and imbalance are about plain gradient steps."""
        del problem, value, state, trace
        return ()

    def citations(self) -> tuple[str, ...]:
        damped = "zhang2021preconditioned" if self.adaptive else "xu2023power"
        return ("tong2021scaled", damped)


def _scaled(direction: Array, factor: Array, damping: Any) -> Array:
    """Direction (F'F + lambda I)^-1."""
    gram = factor.T @ factor + damping * jnp.eye(factor.shape[1])
    return jnp.linalg.solve(gram, direction.T).T
