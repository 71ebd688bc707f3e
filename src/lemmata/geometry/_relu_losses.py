"""Losses of a network's predictions, their conjugates and proximal maps.

Each works on NumPy arrays on the host and on JAX arrays in the driver (`xp`). They are
sums over the samples; `share` turns the hinge into the mean that the problem has.
"""

from typing import Any

import equinox as eqx
import numpy as np

LOSSES = ("squared", "hinge", "logistic")
Arr = Any  # NumPy on the host, JAX in the driver


class Loss(eqx.Module):
    """The sum over k of l(f_k, y_k), and what duality needs of it.

    **Fields:**

    - `name`: "squared" (f - y)^2 / 2, "hinge" max(0, 1 - y f), "logistic"
      log(1 + exp(-scale y f)).
    - `scale`: of the logit; 1 or, as in the source, 2.
    """

    name: str = eqx.field(static=True)
    scale: Any = 1.0

    def share(self, n: int) -> float:
        """The problem's loss over this sum: 1/n for the hinge, which is a mean."""
        return 1.0 / n if self.name == "hinge" else 1.0

    def value(self, f: Arr, y: Arr, xp: Any = np) -> Arr:
        if self.name == "squared":
            return 0.5 * xp.sum((f - y) ** 2)
        if self.name == "hinge":
            return xp.sum(xp.maximum(0.0, 1.0 - y * f))
        return xp.sum(xp.logaddexp(0.0, -self.scale * y * f))

    def dual_point(self, f: Arr, y: Arr, xp: Any = np) -> Arr:
        """Theta = -l'(f); a subgradient for the hinge."""
        if self.name == "squared":
            return y - f
        if self.name == "hinge":
            return y * (y * f < 1.0)
        return self.scale * y * _sigmoid(-self.scale * y * f, xp)

    def curvature(self, f: Arr, y: Arr, xp: Any = np) -> Arr:
        """l''(f); zero for the hinge."""
        if self.name == "squared":
            return xp.ones_like(f)
        if self.name == "hinge":
            return xp.zeros_like(f)
        p = _sigmoid(self.scale * y * f, xp)
        return self.scale**2 * p * (1.0 - p)

    def admissible(self, theta: Arr, y: Arr, xp: Any = np) -> Arr:
        """The nearest theta where the conjugate is finite."""
        if self.name == "squared":
            return theta
        return y * xp.clip(y * theta, 0.0, self.scale)

    def dual(self, theta: Arr, y: Arr, xp: Any = np) -> Arr:
        """-l*(-theta), summed; theta admissible. A lower bound once theta is scaled."""
        if self.name == "squared":
            return xp.sum(theta * y) - 0.5 * xp.sum(theta**2)
        if self.name == "hinge":
            return xp.sum(y * theta)
        a = xp.clip(y * theta / self.scale, 0.0, 1.0)
        return xp.sum(_entropy(a, xp))

    def prox(self, w: Arr, step: Any, y: Arr, xp: Any = np) -> Arr:
        """Argmin over f of l(f) + (f - w)^2 / (2 step)."""
        if self.name == "squared":
            return (w + step * y) / (1.0 + step)
        if self.name == "hinge":
            m = y * w
            return y * xp.where(m >= 1.0, m, xp.minimum(m + step, 1.0))
        # With m = y f: m - step c sigma(-c m) = y w, increasing; the root is bracketed
        # by y w and y w + step c. Bisection first, then Newton, which is safe near it.
        c, target = self.scale, y * w
        low, high = target, target + step * c
        for _ in range(12):
            m = 0.5 * (low + high)
            above = m - step * c * _sigmoid(-c * m, xp) > target
            low, high = xp.where(above, low, m), xp.where(above, m, high)
        m = 0.5 * (low + high)
        for _ in range(6):
            s = _sigmoid(-c * m, xp)
            rise = 1.0 + step * c**2 * s * (1.0 - s)
            m = xp.clip(m - (m - step * c * s - target) / rise, low, high)
        return y * m


def _sigmoid(t: Arr, xp: Any) -> Arr:
    return 0.5 * (1.0 + xp.tanh(0.5 * t))


def _entropy(a: Arr, xp: Any) -> Arr:
    """-a log a - (1 - a) log(1 - a), zero at both ends."""
    inside = (a > 0) & (a < 1)
    b = xp.where(inside, a, 0.5)
    return xp.where(inside, -b * xp.log(b) - (1.0 - b) * xp.log1p(-b), 0.0)
