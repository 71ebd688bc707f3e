"""Rules on block steps: progress of each, the linear rate, the order of the rules.

Source: Nutini, Laradji and Schmidt, JMLR 23(131), 2022, sections 3 and 4. The rate: a
rule that maximises a progress bound over p blocks gains at least the average,
  f(x) - f(x+) >= (1/2p) g^T D^-1 g >= lambda_min(D^-1 H) / p * (f(x) - f*),
D the block diagonal whose bound the rule maximises; for variable blocks of size tau and
diagonal D, tau / n takes the place of 1 / p.
"""

import math

import numpy as np

from ..case import Case, Malformed, Measurement, Rule
from ..definite import greatest_eigenvalue, least_eigenvalue, least_pencil
from ..rigor import U, gamma
from .optimize_blocks_steps import (
    Quadratic,
    block_of,
    decrease,
    gradient_at,
    hessian_on,
    newton_gain,
    on_block,
    smooth_quadratic,
    steps,
    top_eigenvalue,
    witness,
)
from .optimize_composite_data import KIND, Setting, norm

LARGEST = 1500  # variables for which the rate is decided


def progress(case: Case) -> Measurement:
    """The least ratio of a step's decrease to its bound."""
    at = smooth_quadratic(case)
    kind = case.parameters.get("bound")
    if kind not in ("matrix", "gradient"):
        raise Malformed(f"no bound {kind!r}")
    ratios = []
    for x, block, change in steps(case, at.x.size):
        q = on_block(at, gradient_at(at, x), block)
        high = newton_gain(q)[1] if kind == "matrix" else _gradient_gain(q)
        low = decrease(q, change)[0]
        ratios.append(low / high * (1 - 4 * U) if 0 < high < math.inf else -math.inf)
    worst = int(np.argmin(ratios))
    detail = f"{len(ratios)} steps, the worst is record {worst}"
    return Measurement(ratios[worst], detail, {"steps": float(len(ratios))})


def _gradient_gain(q: Quadratic) -> float:
    """Upper bound on ||g_b||^2 / (2 L_b), L_b = lambda_max(H_b)."""
    top, size = top_eigenvalue(q), norm(q.g) + norm(q.slip)
    return 0.5 * size * size / top * (1 + 8 * U) if top > 0 else math.inf


def linear_rate(case: Case) -> Measurement:
    """The worst (f(x+) - f*) / (f(x) - f*), over the theorem's factor."""
    at = smooth_quadratic(case)
    n = at.x.size
    if n > LARGEST:
        raise Malformed(f"decided for at most {LARGEST} variables")
    every = np.arange(n)
    h, off = hessian_on(at, every)
    recorded = steps(case, n)
    share, d, choose = _rule(case, at, h, off, recorded)
    # H itself is within `off` of h: lambda_min(D^-1 H) falls by off / lambda_min(D).
    pencil = least_pencil(h, d) - off / max(least_eigenvalue(d), 1e-300)
    factor = (1 - share * pencil) * (1 + 4 * U)
    if not (pencil > 0 and 0 < factor < 1):
        raise Malformed("the Hessian is not shown to be positive definite")
    worst, least = -math.inf, least_eigenvalue(h, off)
    for x, block, change in recorded:
        g = gradient_at(at, x)
        if not choose(g.value, block):
            detail = "a recorded block is not the one that the rule chooses"
            return Measurement(math.inf, detail)
        left = newton_gain(Quadratic(g.value, g.error, h, off), least)[1]  # f(x) - f*
        gained = decrease(on_block(at, g, block), change)[0]
        worst = max(worst, (1 - gained / left) * (1 + 4 * U))
    figures = {"factor": factor, "worst_ratio": worst, "pencil": pencil}
    detail = f"factor {factor:.6g} promised, {worst:.6g} seen at worst"
    return Measurement(worst / factor * (1 + 4 * U), detail, figures)


def _rule(case: Case, at: Setting, h: np.ndarray, off: float, recorded: list):
    """(share, D, test of a choice) of the rule named by the parameters."""
    rule, n = case.parameters.get("rule"), at.x.size
    diagonal = np.diagonal(h) * (1 + 2 * U) + off
    if rule in ("GSD", "GSD rows") and "partition" not in case.witness:
        tau = recorded[0][1].size
        bound = _diagonal(rule, h, diagonal, tau)
        return tau / n * (1 - 2 * U), np.diag(bound), _top_choice(bound)
    table = partition(case, n)
    p = len(table)
    if rule in ("GSD", "GSD rows"):
        size = max(block.size for block in table)
        bound = _diagonal(rule, h, diagonal, size)
        score = [lambda g, b=b: float(np.sum(g[b] ** 2 / bound[b])) for b in table]
        return 1 / p * (1 - U), np.diag(bound), _table_choice(table, score)
    d = np.zeros_like(h)
    score = []
    for b in table:
        own = h[np.ix_(b, b)]
        if rule == "GSL":
            top = greatest_eigenvalue(own, off)
            d[b, b] = top
            score.append(lambda g, b=b, top=top: float(g[b] @ g[b]) / top)
        elif rule == "GSQ":
            d[np.ix_(b, b)] = own + off * np.eye(b.size)  # H_b <= this
            score.append(lambda g, b=b, own=own: float(g[b] @ _solve(own, g[b])))
        else:
            raise Malformed(f"no rule {rule!r}")
    return 1 / p * (1 - U), d, _table_choice(table, score)


def _solve(h: np.ndarray, g: np.ndarray) -> np.ndarray:
    return np.linalg.lstsq(h, g, rcond=None)[0]


def _diagonal(rule: str, h: np.ndarray, diagonal: np.ndarray, size: int) -> np.ndarray:
    """D with H_b <= diag(D_b) for blocks of `size`."""
    if rule == "GSD":
        return diagonal * size * (1 + 2 * U)
    n = len(h)
    # ||H - h||_2 <= off bounds each row of H - h, in the 1-norm by sqrt(n) off.
    rows = np.abs(h).sum(axis=1) * (1 + gamma(n + 2))
    slack = math.sqrt(n) * np.max(diagonal - np.diagonal(h), initial=0.0) * (1 + 4 * U)
    return rows + slack


NEAR = 1e-9  # relative difference of scores within which a choice is accepted


def _table_choice(table: list, score: list):
    """Whether a block attains the best score of the table."""

    def choose(g: np.ndarray, block: np.ndarray) -> bool:
        found = [one(g) for one in score]
        mine = [k for k, b in enumerate(table) if np.array_equal(b, block)]
        return bool(mine) and found[mine[0]] >= max(found) * (1 - NEAR)

    return choose


def _top_choice(bound: np.ndarray):
    """Whether a block holds the largest g_i^2 / D_i."""

    def choose(g: np.ndarray, block: np.ndarray) -> bool:
        score = g**2 / bound
        rest = np.delete(score, block)
        return bool(np.max(rest, initial=0.0) <= np.min(score[block]) * (1 + NEAR))

    return choose


def partition(case: Case, n: int) -> list[np.ndarray]:
    """The blocks of the witness, sorted; each coordinate in exactly one."""
    table = witness(case, "partition", "index", 2)
    blocks = [block_of(row, np.zeros(row.size), n)[0] for row in table]
    if not blocks or not np.array_equal(np.sort(np.concatenate(blocks)), np.arange(n)):
        raise Malformed("the blocks do not cover each coordinate once")
    return blocks


def rule_order(case: Case) -> Measurement:
    """The least lead of GSQ's choice over those of GS, GSL and GSD, relative."""
    at = smooth_quadratic(case)
    n = at.x.size
    table = partition(case, n)
    points = witness(case, "points", "real", 2)
    chosen = witness(case, "chosen", "index", 1)
    if points.shape[1:] != (n,) or chosen.shape != points.shape[:1] or not len(points):
        raise Malformed("points and chosen do not match")
    if np.any((chosen < 0) | (chosen >= len(table))):
        raise Malformed("chosen names no block")
    size = max(block.size for block in table)
    least, where = math.inf, ""
    for x, mine in zip(points, chosen.tolist(), strict=True):
        g = gradient_at(at, x)
        parts = [on_block(at, g, block) for block in table]
        low, high = newton_gain(parts[mine])
        for name, other in _choices(parts, size).items():
            lead = 0.0 if other == mine else low - newton_gain(parts[other])[1]
            lead = lead / high if high > 0 else -math.inf
            if not lead >= least:
                least, where = lead, name
    return Measurement(least, f"closest: {where}", {"points": float(len(points))})


def _choices(parts: list[Quadratic], size: int) -> dict[str, int]:
    """The blocks that the other rules choose."""
    square = [float(q.g @ q.g) for q in parts]
    top = [float(np.linalg.eigvalsh(q.h)[-1]) for q in parts]
    gsl = [s / t if t > 0 else 0.0 for s, t in zip(square, top, strict=True)]
    gsd = []
    for q in parts:
        diagonal = np.diagonal(q.h) * size
        safe = np.where(diagonal > 0, diagonal, np.inf)
        gsd.append(float(np.sum(q.g**2 / safe)))
    rules = {"GS": square, "GSL": gsl, "GSD": gsd}
    return {name: int(np.argmax(score)) for name, score in rules.items()}


RULES: tuple[Rule, ...] = (
    Rule(
        "optimize.progress/1",
        "proof",
        ">=",
        "every recorded step lowers f by promised times its bound: g_b^T H_b^-1 g_b "
        "/ 2 (matrix) or ||g_b||^2 / (2 lambda_max(H_b)) (gradient)",
        "",
        progress,
        (KIND,),
    ),
    Rule(
        "optimize.linear_rate/1",
        "proof",
        "<=",
        "every recorded step has f(x+) - min f <= promised (1 - share * "
        "lambda_min(D^-1 H)) (f(x) - min f), share 1/p, or size/n for variable blocks",
        "",
        linear_rate,
        (KIND,),
    ),
    Rule(
        "optimize.rule_order/1",
        "proof",
        ">=",
        "at every recorded point the block of GSQ has the largest g_b^T H_b^-1 g_b / 2 "
        "among the choices of GSQ, GSL, GSD and GS; measured is the relative lead",
        "",
        rule_order,
        (KIND,),
    ),
)
