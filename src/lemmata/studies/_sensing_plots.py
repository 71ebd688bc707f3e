"""Pictures and rows of matrix sensing: errors over steps, rates over starts."""

from typing import Any

import numpy as np

from ..core import Solution
from ._record import Plot, Series


def errors_plot(
    slow: list[Solution], plain: list[Solution], fast: list[Solution]
) -> Plot:
    series = [
        _series(f"symmetric, width {s.method.width}", s, "baseline") for s in slow
    ]
    series.append(_bound(slow[-1]))
    for name, group in (("asymmetric", plain), ("accelerated", fast)):
        for s in group:
            scale = float(s.method.start.scale)
            series.append(_series(f"{name}, scale {scale:g}", s, "ours"))
    return Plot(
        "errors",
        "xy",
        "Squared error of the matrix over gradient steps, population",
        caption="50 x 50, rank 3. The dashed line is the lower bound on the symmetric "
        "form, evaluated from its start.",
        x_label="gradient step",
        y_label="squared Frobenius error",
        x_log=True,
        y_log=True,
        series=tuple(series),
    )


def _series(name: str, solution: Solution, role: Any) -> Series:
    trace = solution.stats.trace
    steps, error = trace["gradient_steps"], trace["square_error"]
    keep = np.unique(np.geomspace(1, len(steps), 300).astype(int)) - 1
    shown = np.maximum(error[keep], 1e-32)
    return Series(name, steps[keep].tolist(), shown.tolist(), "line", role)


def _bound(solution: Solution) -> Series:
    """The bound at every step, from u and eta that the certificate holds."""
    claim = next(c for c in solution.certificate.claims if "lower_bound" in c.id)
    start, eta = claim.witness["start"], claim.parameters["step_size"]
    u = np.linalg.svd(start, compute_uv=False)[-1] ** 2
    steps = np.geomspace(10, claim.parameters["steps"], 100)
    bound = (start.shape[1] - solution.problem.rank) * (
        u / (1 + 3 * eta * steps * u)
    ) ** 2
    name = f"lower bound, width {start.shape[1]}"
    return Series(name, steps.tolist(), bound.tolist(), "dashed", "bound")


def slopes_plot(scales: tuple[float, ...], slopes: list[float]) -> Plot:
    through = [-slopes[0] * (s / scales[0]) ** 2 for s in scales]
    return Plot(
        "slopes",
        "xy",
        "Rate of the asymmetric form over the start's scale",
        caption="Minus the slope of log e^2 per step; the dashed line is quadratic.",
        x_label="scale",
        y_label="rate per step",
        x_log=True,
        y_log=True,
        series=(
            Series("measured", list(scales), [-s for s in slopes], "markers", "ours"),
            Series("quadratic", list(scales), through, "dashed", "bound"),
        ),
    )


def fitted(solution: Solution, *, power: bool = False) -> float:
    """Slope of log e^2 over t in 1e-20 < e^2 < 1e-6, or over log t from t = 2000."""
    trace = solution.stats.trace
    steps, error = trace["gradient_steps"], trace["square_error"]
    inside = (error > 1e-20) & (error < 1e-6)
    if power:
        inside = steps >= min(2_000, steps[-1] // 2)
        steps = np.log(steps)
    if np.sum(inside) < 3:
        return float("nan")
    return float(np.polyfit(steps[inside], np.log(error[inside]), 1)[0])


def row(solution: Solution, scale: float, *, power: bool = False) -> tuple[Any, ...]:
    trace = solution.stats.trace
    return (
        type(solution.method).__name__,
        solution.method.width,
        scale,
        int(trace["gradient_steps"][-1]),
        float(trace["square_error"][-1]),
        fitted(solution, power=power),
        "holds" if solution.certified else "fails",
    )


def compared_row(solution: Solution) -> tuple[Any, ...]:
    error = solution.stats.trace["square_error"][-1]
    return (
        type(solution.method).__name__,
        getattr(solution.method, "width", "-"),
        solution.stats.steps,
        solution.stats.seconds["run"],
        float(error),
        solution.certificate["held_out_error"].measured,
    )
