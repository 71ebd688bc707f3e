"""The support vector machine that attention training converges to.

Source: Ataee Tarzanagh, Li, Thrampoulidis and Oymak, Transformers as Support Vector
Machines (arXiv 2308.16898), section 2.
"""

from typing import Any, Self, final

import equinox as eqx
import numpy as np
from jaxtyping import Float64, Int64

from lemmata_checker import Packed

from ..core import (
    AbstractProblem,
    AnyArray,
    Claim,
    InvalidArgument,
    InvalidProblem,
    Withheld,
    array64,
    is_concrete,
    require,
)
from ._attention_checks import (
    NORMS,
    best_tokens,
    check_duplicates,
    check_index,
    check_real,
    check_sequences,
    check_ties,
    index64,
)
from ._attention_constraints import Constraints
from ._attention_value import AttentionWeights

Real = float | AnyArray


@final
class AttentionSVM(AbstractProblem):
    """Least weights W whose scores single out one token of each input.

    min ||W|| subject to (x_i,selected - x_it)' W z_i >= 1 for every other token t, in
    the Frobenius norm (what training W converges to) or the nuclear norm (K and Q).

    **Fields:**

    - `tokens`: X_i, shape (n, T, d), finite; rows beyond `lengths` are padding.
    - `queries`: z_i, shape (n, d), none zero.
    - `selected`: a token of each input, shape (n,); left out, the one with the highest
      score.
    - `scores`: gamma_it, shape (n, T): what selecting a token is worth. Needed for
      local optimality only.
    - `lengths`: T_i in 2 to T, shape (n,); left out, T.
    - `norm`: "frobenius" or "nuclear".
    - `width`: a bound m on the rank (nuclear only): W must be K Q' with m columns. It
      is no constraint where the solution has no larger rank; else the claim says so.
    - `gap_tol`: the norm is promised to within this share of the least, in (0, 1).

    **Raises:** `InvalidProblem`.
    """

    tokens: Float64[AnyArray, "n t d"]
    queries: Float64[AnyArray, "n d"]
    selected: Int64[AnyArray, " n"]
    scores: Float64[AnyArray, "n t"] | None
    lengths: Int64[AnyArray, " n"]
    norm: str = eqx.field(static=True)
    width: int | None = eqx.field(static=True)
    gap_tol: Real

    def __init__(
        self,
        tokens: Any,
        queries: Any,
        selected: Any = None,
        *,
        scores: Any = None,
        lengths: Any = None,
        norm: str = "frobenius",
        width: int | None = None,
        gap_tol: Real = 1e-8,
    ):
        self.tokens, self.queries = array64(tokens), array64(queries)
        shape = np.shape(self.tokens)
        if lengths is None and len(shape) == 3:
            lengths = np.full(shape[0], shape[1])
        self.lengths = index64(lengths)
        self.scores = None if scores is None else array64(scores)
        self.selected = index64(selected) if selected is not None else self._best()
        self.norm, self.width, self.gap_tol = norm, width, gap_tol

    def _best(self) -> Any:
        if self.scores is None:
            expected = "tokens to select, or scores to choose them by"
            raise InvalidProblem("AttentionSVM.selected", expected, "neither")
        if is_concrete(self):
            check_sequences(self)
            self._check_scores()
            check_ties(self, "scores", self.scores)
        return best_tokens(self.scores, self.lengths)

    def _check_scores(self) -> None:
        check_real(self, "scores", self.scores)
        shape, got = np.shape(self.tokens)[:2], np.shape(np.asarray(self.scores))
        require(self, "scores", got == shape, expected=f"shape {shape}", got=got)

    def validate(self) -> None:
        check_sequences(self)
        n, _, d = self.tokens.shape
        expected = "0 <= selected < T_i"
        high = np.asarray(self.lengths)
        check_index(self, "selected", self.selected, n, 0, high, expected)
        check_duplicates(self)
        if self.scores is not None:
            self._check_scores()
        names = " or ".join(NORMS)
        require(self, "norm", self.norm in NORMS, expected=names, got=repr(self.norm))
        m = self.width
        if m is not None:
            whole = isinstance(m, int | np.integer) and 1 <= m <= d
            require(self, "width", whole, expected=f"None or 1 to d = {d}", got=m)
            fits = self.norm == "nuclear"
            expected = "None for the Frobenius norm: its solution is not of low rank"
            require(self, "width", fits, expected=expected, got=m)
        good = (self.gap_tol > 0) & (self.gap_tol < 1)
        require(self, "gap_tol", good, expected="in (0, 1)", got=self.gap_tol)

    def constraints(self) -> Constraints:
        """The constraints, in NumPy outside the driver and JAX inside."""
        return Constraints.of(self.tokens, self.queries, self.selected, self.lengths)

    def pack(self) -> Packed:
        arrays = {
            "tokens": np.ascontiguousarray(self.tokens, dtype="<f8"),
            "queries": np.ascontiguousarray(self.queries, dtype="<f8"),
            "selected": np.ascontiguousarray(self.selected, dtype="<i8"),
            "lengths": np.ascontiguousarray(self.lengths, dtype="<i8"),
        }
        if self.scores is not None:
            arrays["scores"] = np.ascontiguousarray(self.scores, dtype="<f8")
        width = None if self.width is None else int(self.width)
        fields = {"norm": self.norm, "width": width, "gap_tol": float(self.gap_tol)}
        return Packed("geometry.attention_svm/1", fields, arrays)

    @classmethod
    def unpack(cls, parameters: dict[str, Any], arrays: dict[str, Any]) -> Self:
        return cls(**arrays, **parameters)

    def claims(self, value: AttentionWeights) -> tuple[Claim | Withheld, ...]:
        from ._attention_claims import svm_claims

        return svm_claims(self, value)

    def candidate(
        self, *, weights: Any = None, multipliers: Any = None
    ) -> AttentionWeights:
        """A value from elsewhere.

        **Arguments:**

        - `weights`: W, shape (d, d), scaled by the caller so that its margins are 1.
        - `multipliers`: mu, shape (n, T); None has the default method find some.

        **Raises:** `InvalidArgument` where a shape does not fit.
        """
        d = self.tokens.shape[2]
        weights = np.zeros((d, d)) if weights is None else array64(weights)
        if np.shape(weights) != (d, d) or weights.dtype != np.float64:
            got = np.shape(weights)
            raise InvalidArgument("candidate.weights", f"shape ({d}, {d})", got)
        if multipliers is None:
            from ..core import solve

            multipliers = solve(self, throw=False).value.multipliers
        multipliers = array64(multipliers)
        shape = self.tokens.shape[:2]
        if np.shape(multipliers) != shape:
            got = np.shape(multipliers)
            raise InvalidArgument("candidate.multipliers", f"shape {shape}", got)
        return AttentionWeights(weights, multipliers, self)

    def value_from(self, arrays: dict[str, np.ndarray]) -> AttentionWeights:
        return AttentionWeights(**arrays, problem=self)

    def default_method(self) -> Any:
        from ._attention_active_set import DualActiveSet
        from ._nuclear_admm import NuclearADMM

        return DualActiveSet() if self.norm == "frobenius" else NuclearADMM()
