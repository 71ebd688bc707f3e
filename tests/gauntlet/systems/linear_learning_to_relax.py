"""The gauntlet's knowledge of streams: residuals in exact fractions."""

from fractions import Fraction

import jax.numpy as jnp
import numpy as np

from lemmata.core import run
from lemmata.linear import (
    SOR,
    BinnedTsallisINF,
    ChebCB,
    FixedRelaxation,
    HeatEquation2D,
    LearnedRelaxation,
    LinearSequence,
    RelaxationAudit,
    ShiftedSequence,
    SPDSystem,
    TsallisINF,
    shifted_laplacian,
    solution,
    square_laplacian,
)
from tests.gauntlet.systems import System

BASE = square_laplacian(2)
SHIFTS, RHS = np.array([0.0, 0.3]), np.array([[1.0, 0, 2, 1], [0, 1, 1, 3.0]])


def residual(problem, value, claim):
    """Largest squared ratio in exact arithmetic; None where it is within a part in 1e6.

    The judge adds at most a few hundred roundings of 1e-16 to a ratio near 1e-8.
    """
    arrays = problem.arrays
    worst, solutions = Fraction(0), value["solutions"]
    for t in range(solutions.shape[0]):
        b = [Fraction(x) for x in arrays["rhs"][t].tolist()]
        x = [Fraction(v) for v in solutions[t].tolist()]
        shift = Fraction(float(arrays["shifts"][t]))
        total = Fraction(0)
        for i in range(len(b)):
            span = slice(*arrays["operator_indptr"][i : i + 2])
            columns = arrays["operator_indices"][span].tolist()
            entries = arrays["operator_data"][span].tolist()
            image = sum(
                (Fraction(a) * x[j] for a, j in zip(entries, columns, strict=True)),
                shift * x[i],
            )
            total += (b[i] - image) ** 2
        worst = max(worst, total / sum(v * v for v in b))
    ratio, promised = float(worst) ** 0.5, claim["promised"]
    if abs(ratio - promised) <= 1e-6 * promised:
        return None
    return ratio <= promised


def untouched(problem, value, claim):
    """The log of the run is a witness: no change to the answer touches it."""
    return True


def batch():
    def function(rhs):
        problem = ShiftedSequence(BASE, SHIFTS, rhs)
        method = LearnedRelaxation(SOR(), FixedRelaxation(1.1))
        value, _, _ = run(problem, method, max_steps=5)
        return jnp.asarray(value.solutions)

    return function, np.stack([RHS, 2.0 * RHS[::-1]])


def derivative():
    """Of the stream's solutions in its shifts, system by system, by implicit solves."""

    def function(shifts):
        total = 0.0
        for shift, rhs in zip(shifts, RHS, strict=True):
            matrix = jnp.asarray(BASE.toarray()) + shift * jnp.eye(4)
            x = solution(SPDSystem(matrix, rhs, rtol=1e-12))
            total = total + x @ jnp.arange(1.0, 5.0)
        return total

    return function, SHIFTS


def shifted(operator=BASE, shifts=SHIFTS, rhs=RHS, **options):
    return ShiftedSequence(operator, shifts, rhs, **options)


def with_entry(array, place, entry):
    changed = np.array(array, dtype=float)
    changed[place] = entry
    return changed


SKEW = with_entry(BASE.toarray(), (0, 1), -0.5)
NO_DIAGONAL = with_entry(BASE.toarray(), (1, 1), 0.0)
PAIR = [(BASE, RHS[0])]

SYSTEM = System(
    bad_inputs=(
        ("not square", lambda: shifted(np.ones((4, 3))), r"\.operator: .*\(n, n\)"),
        ("not symmetric", lambda: shifted(SKEW), r"\.operator: .*A\.T\| = 0\.5"),
        ("zero diagonal", lambda: shifted(NO_DIAGONAL), r"positive diagonal"),
        ("shift", lambda: shifted(shifts=[0.0, -5.0]), r"positive diagonal"),
        ("NaN", lambda: shifted(rhs=with_entry(RHS, (1, 0), np.nan)), r"system 1"),
        ("inf", lambda: shifted(with_entry(BASE.toarray(), (0, 0), np.inf)), "finite"),
        ("length", lambda: shifted(rhs=RHS[:1]), r"\.rhs: .*shape \(2, 4\)"),
        ("rtol 0", lambda: shifted(rtol=0.0), r"\.rtol: .*\(0, 1\)"),
        ("rtol 1", lambda: shifted(rtol=1.0), r"\.rtol: .*\(0, 1\)"),
        ("criterion", lambda: shifted(criterion="both"), "criterion"),
        (
            "sizes",
            lambda: LinearSequence([*PAIR, (square_laplacian(3), np.ones(9))]),
            r"systems\[1\].*\(4, 4\)",
        ),
        ("no systems", lambda: LinearSequence([]), "at least one"),
        (
            "context outside",
            lambda: LinearSequence(PAIR, [2.0], interval=(0.0, 1.0)),
            r"\.context: .*\[0, 1\], got 2",
        ),
        ("interval", lambda: LinearSequence(PAIR, [1], interval=(1.0, 1.0)), "a < b"),
        ("nx", lambda: HeatEquation2D(1, 1e-3, 2, np.ones(2)), r"\.nx: .*>= 2"),
        ("dt", lambda: HeatEquation2D(3, 0.0, 2, np.ones(2)), r"\.dt: .*> 0"),
        ("diffusion", lambda: HeatEquation2D(3, 0.1, 2, [1, -1]), r"\.diffusion"),
        ("omega 2", lambda: FixedRelaxation(2.0), r"FixedRelaxation\.relaxation"),
        ("omega 0", lambda: FixedRelaxation(0.0), r"in \(0, 2\)"),
        ("audited omega", lambda: RelaxationAudit(BASE, RHS[0], [2.5]), "relaxation"),
        ("no arms", lambda: TsallisINF(0), r"TsallisINF\.arms: .*one arm"),
        ("unsorted", lambda: TsallisINF([1.5, 1.0]), r"arms: .*increasing"),
        ("arm 2", lambda: TsallisINF([1.5, 2.0]), r"arms: .*\(0, 2\)"),
        ("scale", lambda: TsallisINF(scale=-1.0), r"TsallisINF\.scale"),
        ("degree", lambda: ChebCB((0.0, 1.0), degree=0), r"degree: .*>= 1, got 0"),
        ("a >= b", lambda: ChebCB((1.0, 0.0)), r"interval: .*a < b"),
        ("bins", lambda: BinnedTsallisINF((0.0, 1.0), bins=0), r"bins: .*>= 1"),
        ("solver", lambda: LearnedRelaxation(None, TsallisINF()), r"solver"),
        ("policy", lambda: LearnedRelaxation(SOR(), None), r"policy"),
        (
            "candidate",
            lambda: shifted_laplacian(2, side=2).candidate(solutions=np.ones((3, 4))),
            r"candidate\.solutions",
        ),
    ),
    oracles={
        "linear.sequence_residual/1": residual,
        "linear.ftrl_trace/1": untouched,
    },
    derivative=derivative,
    batch=batch,
    easier="rhs",
)
