"""Rows and pictures of the study of SGD's stability."""

from typing import Any

import numpy as np

from ._record import Plot, Role, Series


def sweep_row(value: Any, i: int) -> tuple:
    """One run of a table, in words."""
    eta, batch = float(value.learning_rate[i]), int(value.batch_size[i])
    columns = (value.loss, value.trace, value.norm, value.test_loss)
    loss, trace, norm, test = (float(c[i]) for c in columns)
    return (
        f"{eta:g}",
        batch,
        f"{float(value.scale[i]):g}",
        f"{loss:.1e}",
        f"{trace:.4g}",
        f"{2 * batch / eta:.4g}",
        f"{norm:.4g}",
        f"{test:.4g}",
    )


def sweep_plot(value: Any, batches: tuple[int, ...], samples: int) -> Plot:
    """Test error over learning rates, one curve a batch size."""
    series = []
    for batch in batches:
        kept = (value.batch_size == batch) & (value.scale == np.max(value.scale))
        kept &= value.loss <= 1e-7
        rate, test = value.learning_rate[kept], value.test_loss[kept]
        role: Role = "baseline" if batch == samples else "ours"
        name = "gradient descent" if batch == samples else f"batch {batch}"
        series.append(Series(name, rate.tolist(), test.tolist(), "line", role))
    return Plot(
        "test_error",
        "xy",
        "Test error of the minimum reached",
        caption="Runs that did not converge are left out.",
        x_label="learning rate",
        y_label="mean squared test error",
        x_log=True,
        y_log=True,
        series=tuple(series),
    )
