"""Two-layer ReLU networks trained to their global optimum: the problem.

Source: Bai, Gautam and Sojoudi, SIAM J. Math. Data Science 5 (2023), section 2;
Pilanci and Ergen, ICML 2020, for the convex program.
"""

from typing import Any, Self, final

import equinox as eqx
import numpy as np
from jaxtyping import Bool, Float64

from lemmata_checker import Packed

from ..core import (
    AbstractProblem,
    AnyArray,
    Claim,
    InvalidArgument,
    Withheld,
    array64,
)
from ._relu_checks import check_data, check_patterns, check_positive
from ._relu_losses import Loss
from ._relu_network import ReLUNetwork, balanced, merged
from ._relu_patterns import AbstractPatterns, Exact, Given, Patterns, Sampled

KIND = "geometry.convex_relu/1"


class AbstractReLUProblem(AbstractProblem):
    """What methods see: samples, loss, decay, patterns.

    Subclasses have the fields `inputs`, `targets`, `loss`, `weight_decay`,
    `logit_scale`, `patterns` (P, n) and `directions` (P, d) or None.
    """

    @property
    def criterion(self) -> Loss:
        """The loss, summed over samples."""
        found: Any = self
        return Loss(found.loss, found.logit_scale)

    @property
    def decay(self) -> Any:
        """Weight decay over the share of the loss: for the loss as a plain sum."""
        found: Any = self
        return found.weight_decay / self.criterion.share(found.inputs.shape[0])

    def predictions(self, hidden: Any, output: Any, xp: Any = np) -> Any:
        """relu(X U) a, (n,)."""
        found: Any = self
        return xp.maximum(found.inputs @ hidden.T, 0.0) @ output

    def cost(self, hidden: Any, output: Any, xp: Any = np) -> Any:
        """Loss and decay of a network."""
        found: Any = self
        share = self.criterion.share(found.inputs.shape[0])
        f = self.predictions(hidden, output, xp)
        size = 0.5 * (xp.sum(hidden**2) + xp.sum(output**2))
        return share * self.criterion.value(f, found.targets, xp) + (
            found.weight_decay * size
        )

    def network(self, hidden: Any, output: Any, dual: Any, xp: Any = np) -> ReLUNetwork:
        """The value, its objective included."""
        cost = xp.asarray(self.cost(hidden, output, xp))
        return ReLUNetwork(hidden, output, dual, cost)

    def candidate(
        self, *, hidden_weights: Any, output_weights: Any, dual: Any = None
    ) -> ReLUNetwork:
        """A network from elsewhere.

        **Arguments:**

        - `hidden_weights` (k, d), `output_weights` (k,): balanced here, ||u|| = |a|,
          which keeps the function and cannot increase the decay.
        - `dual`: theta (n,); None: made from the network's residuals.

        **Raises:** `InvalidArgument`.
        """
        found: Any = self
        n, d = found.inputs.shape
        u, a = array64(hidden_weights), array64(output_weights)
        shape = (np.shape(u), np.shape(a))
        fits = len(shape[0]) == 2 and shape[0][1] == d and shape[1] == shape[0][:1]
        if not fits:
            expected = f"shapes (k, {d}) and (k,)"
            raise InvalidArgument("candidate.hidden_weights", expected, shape)
        if not (np.all(np.isfinite(u)) and np.all(np.isfinite(a))):
            got = "NaN or infinity"
            raise InvalidArgument("candidate.hidden_weights", "finite numbers", got)
        u, a = balanced(u, a)
        if dual is None:
            from ._relu_dual import residual_dual

            dual = residual_dual(self, u, a)
        dual = array64(dual)
        if np.shape(dual) != (n,):
            raise InvalidArgument("candidate.dual", f"shape ({n},)", np.shape(dual))
        return self.network(u, a, dual)

    def merged(self, value: ReLUNetwork) -> ReLUNetwork:
        """Units of one pattern and one sign as one; the cost cannot grow.

        Predictions on the problem's samples stay; elsewhere they may change.
        """
        found: Any = self
        hidden, output = np.asarray(value.hidden_weights), value.output_weights
        x = np.asarray(found.inputs)
        hidden, output = merged(x, *balanced(hidden, output))
        return self.network(hidden, output, value.dual)

    def value_from(self, arrays: dict[str, np.ndarray]) -> ReLUNetwork:
        return ReLUNetwork(
            arrays["hidden_weights"],
            arrays["output_weights"],
            arrays.get("dual"),
            arrays["objective"],
        )


@final
class ConvexReLU(AbstractReLUProblem):
    """min over networks of loss(relu(X U) a, y) + decay / 2 (|U|^2 + |a|^2), any width.

    With all patterns its optimum is that of a convex program; with some of them, the
    convex program is the optimum over networks whose units have these patterns.

    **Fields:**

    - `inputs`: X, (n, d); append a column of ones for biases.
    - `targets`: y, (n,); -1 or 1 for hinge and logistic.
    - `loss`: "squared" |f - y|^2 / 2, "logistic" sum of log(1 + exp(-scale y f)),
      "hinge" the *mean* of max(0, 1 - y f).
    - `weight_decay`: beta > 0, beside the loss as it stands.
    - `patterns`: (P, n) of bool; handed in as `Sampled(30)`, `Exact()` or `Given(...)`.
    - `directions`: an h of each pattern, (P, d), or None.
    - `logit_scale`: of the logistic loss, > 0.
    - `gap_tol`: good is a cost of at most (1 + gap_tol) times the optimum.

    **Raises:** `InvalidProblem`.
    """

    inputs: Float64[AnyArray, "n d"]
    targets: Float64[AnyArray, " n"]
    patterns: Bool[AnyArray, "P n"]
    directions: Float64[AnyArray, "P d"] | None
    weight_decay: Any
    logit_scale: Any
    gap_tol: Any
    loss: str = eqx.field(static=True)

    def __init__(
        self,
        inputs: Any,
        targets: Any,
        loss: str = "squared",
        *,
        weight_decay: Any,
        patterns: AbstractPatterns | Patterns | None = None,
        logit_scale: Any = 1.0,
        gap_tol: Any = 1e-6,
    ):
        self.inputs, self.targets = array64(inputs), array64(targets)
        self.loss, self.weight_decay = loss, weight_decay
        self.logit_scale, self.gap_tol = logit_scale, gap_tol
        check_data(self)
        chosen = Sampled(30) if patterns is None else patterns
        if isinstance(chosen, AbstractPatterns):
            chosen = chosen.of(np.asarray(self.inputs))
        check_patterns(self, chosen)
        self.patterns, self.directions = chosen

    def validate(self) -> None:
        check_data(self)
        check_positive(self, "gap_tol", self.gap_tol)

    def pack(self) -> Packed:
        parameters = {
            "loss": self.loss,
            "weight_decay": float(self.weight_decay),
            "logit_scale": float(self.logit_scale),
            "gap_tol": float(self.gap_tol),
        }
        arrays = {
            "inputs": np.ascontiguousarray(self.inputs, "<f8"),
            "targets": np.ascontiguousarray(self.targets, "<f8"),
            "pattern_bits": np.packbits(np.asarray(self.patterns), axis=1),
        }
        if self.directions is not None:
            arrays["directions"] = np.ascontiguousarray(self.directions, "<f8")
        return Packed(KIND, parameters, arrays)

    @classmethod
    def unpack(cls, parameters: dict[str, Any], arrays: dict[str, Any]) -> Self:
        parameters, arrays = dict(parameters), dict(arrays)
        patterns = patterns_from(parameters, arrays)
        return cls(**arrays, **parameters, patterns=patterns)

    def claims(self, value: ReLUNetwork) -> tuple[Claim | Withheld, ...]:
        from ._relu_claims import claims

        return claims(self, value)

    def default_method(self) -> Any:
        from ._relu_newton import SemismoothNewton

        return SemismoothNewton()


def patterns_from(parameters: dict[str, Any], arrays: dict[str, Any]) -> Any:
    """Patterns as a file has them, or as options ask for; both are taken out."""
    names = ("pattern_count", "pattern_key", "exact_patterns")
    count, key, exact = (parameters.pop(name, None) for name in names)
    bits, active = arrays.pop("pattern_bits", None), arrays.pop("patterns", None)
    directions = arrays.pop("directions", None)
    if bits is not None:
        n = np.shape(arrays["inputs"])[0]
        active = np.unpackbits(bits.astype(np.uint8), axis=1, count=n).astype(bool)
        return Patterns(active, directions)
    if active is not None or directions is not None:
        return Given(active, None if active is not None else directions)
    if exact:
        return Exact()
    return Sampled(30 if count is None else int(count), 0 if key is None else int(key))
