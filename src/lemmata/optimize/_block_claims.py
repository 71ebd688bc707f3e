"""Claims that a run of block coordinate descent shows, and why others are withheld."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..core import Claim, Withheld, float64
from ._block_search import is_quadratic
from ._block_updates import (
    ExactUpdate,
    GradientUpdate,
    MatrixUpdate,
    NewtonUpdate,
    ProximalNewtonUpdate,
    TwoMetricUpdate,
)
from ._penalties import L1, NonNegative, NonNegativeL1, Unpenalised
from ._selection_parts import RowSumBound, SizeBound
from ._selections import GSD, GSL, GSQ

_PROGRESS, _RATE, _ORDER, _FOREST, _COMPLEXITY, _TERMINATION = (
    f"optimize.{name}/1"
    for name in (
        "progress",
        "linear_rate",
        "rule_order",
        "forest",
        "active_set_complexity",
        "finite_termination",
    )
)
_LARGEST = 800  # variables up to which eigenvalues of H are bounded
_BLOCK = 400  # coordinates up to which those of H_b are
_TABLE = 200  # blocks up to which all are compared
_POINTS = 2  # at so many points
_ROUNDING = 1e-6  # relative, of a bound whose gradient is 1e-6 of the first
_SINGULAR = 1e-9  # ratio of eigenvalues below which no bound is tried
_EXACT = (
    MatrixUpdate,
    ExactUpdate,
    NewtonUpdate,
    ProximalNewtonUpdate,
    TwoMetricUpdate,
)
_RESIDUAL = 1e-12  # of the strength: where the judge says that a run has ended


class Shown:
    """What a run left behind, read once: recorded steps, and parts of H on demand."""

    def __init__(self, method: Any, problem: Any, state: Any, trace: Any):
        self.method, self.problem, self.trace = method, problem, trace
        self.loss, self.penalty = problem.loss, problem.penalty
        self.n = self.loss.variables
        record = state.record
        order = np.argsort(np.asarray(record.at), kind="stable")
        kept = order[np.asarray(record.at)[order] >= 0]
        self.points, self.blocks, self.changes = (
            np.asarray(a)[kept] for a in (record.x, record.block, record.change)
        )
        self.table = np.asarray(state.tables.blocks)
        self.support = int(np.sum(np.asarray(state.support)))
        self.first = float(np.asarray(state.reference[1]))
        self.smooth = isinstance(self.penalty, Unpenalised) and is_quadratic(self.loss)

    def witness(self, count: int | None = None) -> dict[str, np.ndarray]:
        names = ("points", "blocks", "changes")
        parts = (self.points, self.blocks, self.changes)
        return {k: a[:count] for k, a in zip(names, parts, strict=True)}

    def bound(self, block: np.ndarray) -> np.ndarray:
        with float64():
            return np.asarray(self.loss.block_bound(block[block < self.n]))

    def gradient(self, x: np.ndarray) -> np.ndarray:
        with float64():
            return np.asarray(self.loss.gradient(x, self.loss.image(x)))

    def definite(self, block: np.ndarray) -> bool:
        values = np.linalg.eigvalsh(self.bound(block))
        return bool(values[0] > _SINGULAR * max(values[-1], 0.0))


def run_claims(
    method: Any, problem: Any, value: Any, state: Any, trace: Mapping[str, np.ndarray]
) -> tuple[Claim | Withheld, ...]:
    """Every claim about the run, issued or withheld with its reason."""
    del value
    shown = Shown(method, problem, state, trace)
    return (
        _progress(shown),
        _rate(shown),
        _order(shown),
        _forest(shown),
        _complexity(shown),
        _termination(shown),
    )


def _no_steps(shown: Shown) -> str | None:
    """Why nothing can be said from the recorded steps of a smooth quadratic."""
    if not isinstance(shown.penalty, Unpenalised):
        return "there is a penalty: the bound is about steps without one"
    if not shown.smooth:
        return "decided for quadratic losses only"
    return None if len(shown.points) else "no step was recorded: pass record=8"


def _progress(shown: Shown) -> Claim | Withheld:
    reason = _no_steps(shown)
    if reason is None and shown.blocks.shape[1] > _BLOCK:
        reason = f"blocks of more than {_BLOCK} coordinates; see optimize.forest"
    if reason is not None:
        return Withheld(_PROGRESS, reason)
    update = shown.method.update
    if isinstance(update, GradientUpdate):
        return Claim(_PROGRESS, 1 - _ROUNDING, shown.witness(), {"bound": "gradient"})
    if not isinstance(update, _EXACT):
        reason = f"{type(update).__name__} promises no such bound"
        return Withheld(_PROGRESS, reason)
    if not all(shown.definite(block) for block in shown.blocks):
        return Withheld(_PROGRESS, "a recorded block has a singular H_b")
    return Claim(_PROGRESS, 1 - _ROUNDING, shown.witness(), {"bound": "matrix"})


def _rate(shown: Shown) -> Claim | Withheld:
    reason = _no_steps(shown)
    rule = _rule_of(shown) if reason is None else None
    if reason is None and rule is None:
        reason = (
            "the theorem needs GSQ, GSL or GSD with a valid D, and an update to match"
        )
    if reason is None and shown.n > _LARGEST:
        reason = f"more than {_LARGEST} variables"
    if reason is None and not shown.definite(np.arange(shown.n)):
        reason = "H is not positive definite"
    if reason is not None:
        return Withheld(_RATE, reason)
    witness = shown.witness()
    if len(shown.table):
        witness["partition"] = shown.table
    return Claim(_RATE, 1.0, witness, {"rule": rule})


def _rule_of(shown: Shown) -> str | None:
    """Which theorem the selection and update fall under."""
    select, update = shown.method.select, shown.method.update
    fixed, exact = len(shown.table) > 0, isinstance(update, _EXACT)
    if shown.method.partition.forests:
        return None
    if isinstance(select, GSQ):
        return "GSQ" if fixed and exact else None
    if isinstance(select, GSL) and fixed:
        return "GSL" if exact or isinstance(update, GradientUpdate) else None
    if not exact:
        return None
    if isinstance(select, GSL):
        return "GSD"  # the same choice as by D_i = L_i size
    if isinstance(select, GSD) and isinstance(select.bound, RowSumBound):
        return "GSD rows"
    valid = isinstance(select, GSD) and isinstance(select.bound, SizeBound)
    return "GSD" if valid else None


def _order(shown: Shown) -> Claim | Withheld:
    reason, table = _no_steps(shown), shown.table
    if reason is None and (not len(table) or not shown.method.partition.fixed):
        reason = "the order is about fixed blocks"
    if reason is None and (len(table) > _TABLE or table.shape[1] > _BLOCK):
        reason = f"more than {_TABLE} blocks, or more than {_BLOCK} coordinates in one"
    if reason is None and not all(shown.definite(block) for block in table):
        reason = "a block has a singular H_b"
    if reason is not None:
        return Withheld(_ORDER, reason)
    points = shown.points[:_POINTS]
    chosen = np.asarray([_best_block(shown, x) for x in points], np.int64)
    witness = {"points": points, "chosen": chosen, "partition": table}
    return Claim(_ORDER, -_ROUNDING, witness)


def _best_block(shown: Shown, x: np.ndarray) -> int:
    g, gains = shown.gradient(x), []
    for block in shown.table:
        block = block[block < shown.n]
        gains.append(g[block] @ np.linalg.solve(shown.bound(block), g[block]))
    return int(np.argmax(gains))


def _forest(shown: Shown) -> Claim | Withheld:
    reason = None if shown.method.partition.forests else "blocks are not forests"
    reason = reason or _no_steps(shown)
    passed = isinstance(shown.method.update, MatrixUpdate | ExactUpdate)
    if reason is None and not passed:
        reason = "no messages were passed: use MatrixUpdate()"
    if reason is not None:
        return Withheld(_FOREST, reason)
    return Claim(_FOREST, 1e-10, shown.witness(_POINTS))


def _no_support(shown: Shown) -> str | None:
    if not isinstance(shown.penalty, L1 | NonNegative | NonNegativeL1):
        return "no penalty here makes coordinates zero"
    if not is_quadratic(shown.loss):
        return "decided for quadratic losses only"
    few = len(shown.trace.get("residual", ())) < 2
    return "fewer than two steps were taken" if few else None


def _complexity(shown: Shown) -> Claim | Withheld:
    reason = _no_support(shown)
    if reason is None and shown.n > _LARGEST:
        reason = f"more than {_LARGEST} variables"
    if reason is None and not shown.definite(np.arange(shown.n)):
        reason = "H is singular: ||x_k - x*|| has no bound by the objective"
    if reason is not None:
        return Withheld(_COMPLEXITY, reason)
    size = max(len(shown.table), -(-shown.n // max(shown.blocks.shape[1], 1)), 1)
    witness = {k: np.asarray(shown.trace[k]) for k in ("objective", "identified_at")}
    return Claim(_COMPLEXITY, 0.0, witness, {"visit": int(min(size, shown.n))})


def _termination(shown: Shown) -> Claim | Withheld:
    method, reason = shown.method, _no_support(shown)
    strength = float(np.max(np.asarray(shown.penalty.terms()[0])))
    scale = strength if strength > 0 else shown.first
    rtol = method.residual_rtol
    asked = rtol is not None and float(rtol) * shown.first <= _RESIDUAL * scale * 1.01
    if reason is None and not asked:
        reason = f"not asked for: give residual_rtol for {_RESIDUAL} of the strength"
    if reason is None and not isinstance(
        method.update, ProximalNewtonUpdate | TwoMetricUpdate
    ):
        reason = (
            f"{type(method.update).__name__} does not end after finitely many steps"
        )
    if reason is None and (method.partition.fixed or len(shown.table)):
        reason = "a fixed block need not hold the support"
    if reason is None and shown.support > shown.blocks.shape[1]:
        reason = "the support is larger than a block"
    if reason is not None:
        return Withheld(_TERMINATION, reason)
    witness = {k: np.asarray(shown.trace[k]) for k in ("residual", "identified_at")}
    return Claim(_TERMINATION, 2.0, witness)
