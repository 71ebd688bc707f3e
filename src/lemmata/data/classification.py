"""Two-class data that ships with scikit-learn (extra `studies`), scaled to [-1, 1]."""

import numpy as np

from ..core import InvalidArgument
from .samples import _sklearn

_LOADERS = {
    "breast_cancer": "load_breast_cancer",
    "digits": "load_digits",
    "wine": "load_wine",
}


def two_classes(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Features and labels of a data set, its first two classes where it has more.

    **Arguments:** `name`: `"breast_cancer"` (569 x 30), `"digits"` (0 and 1, 360 x 64)
    or `"wine"` (130 x 13).

    **Returns:** `(features, labels)`: each column from -1 to 1, a constant one 0;
    labels 1 and -1, the first class -1.

    **Raises:** `InvalidArgument`, `DataNotFound`.
    """
    if name not in _LOADERS:
        expected = f"one of {', '.join(_LOADERS)}"
        raise InvalidArgument("two_classes.name", expected, name)
    found = _sklearn("sklearn.datasets", _LOADERS[name])()
    kept = found.target < 2
    return scaled(found.data[kept]), np.where(found.target[kept] == 0, -1.0, 1.0)


def scaled(features: np.ndarray) -> np.ndarray:
    """Each column mapped to [-1, 1]; a constant column becomes 0."""
    features = np.asarray(features, dtype=np.float64)
    low, high = features.min(axis=0), features.max(axis=0)
    span = np.where(high > low, high - low, 1.0)
    return np.where(high > low, 2 * (features - low) / span - 1, 0.0)
