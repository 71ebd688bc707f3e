"""scikit-learn estimators whose fits carry a certificate.

Needs scikit-learn: `pip install lemmata[estimators]`. Nothing else in the library
imports this module.
"""

try:
    import sklearn as _sklearn  # noqa: F401
except ImportError as error:  # pragma: no cover
    raise ImportError(
        "lemmata.geometry.estimators needs scikit-learn: "
        "pip install 'lemmata[estimators]'"
    ) from error

from ._estimator_relu import (
    ConvexReLUClassifier as ConvexReLUClassifier,
    ConvexReLURegressor as ConvexReLURegressor,
)
from ._estimator_token_selector import TokenSelector as TokenSelector

__all__ = ["ConvexReLUClassifier", "ConvexReLURegressor", "TokenSelector"]
