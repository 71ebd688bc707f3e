"""Plots of bounds on Lipschitz constants."""

from collections.abc import Mapping, Sequence

from ._record import Plot, Role, Series

CAPTION = "What stands above the markers is proved, the markers are attained."


def epoch_plot(
    moments: Sequence[int], found: Sequence[tuple[float, float, float]]
) -> Plot:
    """(attained, proved, product of norms) during training."""
    attained, proved, product = (list(column) for column in zip(*found, strict=True))
    epochs = [float(moment) for moment in moments]
    series = (
        Series("product of norms", epochs, product, role="baseline"),
        Series("eliminated (ours)", epochs, proved),
        Series("attained", epochs, attained, style="markers", role="bound"),
    )
    return Plot(
        "epochs",
        "xy",
        "The l_2 constant during training",
        caption=CAPTION,
        x_label="epochs",
        y_label="Lipschitz constant",
        series=series,
    )


def depth_plot(depths: Sequence[int], found: Mapping[str, list[float]]) -> Plot:
    """Bounds by form, over the number of hidden layers."""
    layers = [float(depth) for depth in depths]
    series = []
    for name, values in found.items():
        role: Role = "ours" if name.startswith("eliminated") else "baseline"
        if name == "attained":
            series.append(Series(name, layers, values, style="markers", role="bound"))
        else:
            series.append(Series(name, layers, values, role=role))
    return Plot(
        "depths",
        "xy",
        "Bounds on the l_2 constant",
        caption=CAPTION,
        x_label="hidden layers",
        y_label="Lipschitz constant",
        y_log=True,
        series=tuple(series),
    )
