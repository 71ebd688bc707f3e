"""Built-in measures by the names under which they travel."""

import json
from typing import Any

from ..core import InvalidArgument
from . import _measure_counting as counting
from ._measure import AbstractMeasure, UnknownMeasure
from ._measure_linear import RidgeStability
from ._measure_norms import (
    FrobeniusProduct,
    PACBayesSpectral,
    PathNorm,
    SpectralMargin,
)
from ._measure_pac_bayes import PACBayes
from ._measure_rademacher import KernelRademacher, LinearRademacher

MEASURES: dict[str, type[AbstractMeasure]] = {
    measure.name: measure
    for measure in (
        counting.Constant,
        counting.Unseen,
        counting.Occam,
        counting.VCDimension,
        counting.Compression,
        counting.FinitePACBayes,
        counting.FiniteRademacher,
        counting.HoldOut,
        FrobeniusProduct,
        SpectralMargin,
        PACBayesSpectral,
        PathNorm,
        PACBayes,
        LinearRademacher,
        KernelRademacher,
        RidgeStability,
    )
}


def parsed(value: Any) -> Any:
    """JSON text, as a command line hands it over, as what it says; else unchanged."""
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        try:
            return json.loads(value)
        except ValueError as error:
            got = f"{value[:60]!r}"
            raise InvalidArgument("option", "JSON", got) from error
    return value


def measure_of(record: Any) -> AbstractMeasure:
    """The measure of a record, or of its name alone. Raises `InvalidArgument`."""
    if isinstance(record, AbstractMeasure):
        return record
    record = parsed(record)
    if isinstance(record, str):
        record = {"name": record}
    name = record.get("name") if isinstance(record, dict) else None
    if name == "custom":
        return UnknownMeasure()
    if name not in MEASURES:
        expected = f"a record with the name of one of {', '.join(MEASURES)}"
        raise InvalidArgument("measure", expected, record)
    return MEASURES[name].of(record)
