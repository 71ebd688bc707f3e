"""scikit-learn estimators whose fits carry a certificate.

Needs scikit-learn: `pip install lemmata[estimators]`. Nothing else in the library
imports this module.
"""

try:
    import sklearn as _sklearn  # noqa: F401
except ImportError as error:  # pragma: no cover
    raise ImportError(
        "lemmata.optimize.estimators needs scikit-learn: "
        "pip install 'lemmata[estimators]'"
    ) from error

from ._estimator_lasso import BlockLasso as BlockLasso
from ._estimator_logistic import BlockLogisticRegression as BlockLogisticRegression
from ._estimator_propagation import BlockLabelPropagation as BlockLabelPropagation

__all__ = ["BlockLabelPropagation", "BlockLasso", "BlockLogisticRegression"]
