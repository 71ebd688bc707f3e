"""Classifiers f(x) = sum_j a_j k(z_j, x) + b of two labels.

Source: Schoelkopf and Smola, Learning with Kernels (2002), chapter 4.
"""

from collections.abc import Mapping
from typing import Any, Self, final

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float64

from lemmata_checker.rules.certify_generalization_kernels import LARGEST, MOST_POINTS

from ..core import AnyArray, InvalidArgument, array64
from ._kernels import (
    AbstractKernel,
    GaussianKernel,
    LaplaceKernel,
    PolynomialKernel,
    kernel_of,
)


@final
class KernelClassifier(eqx.Module):
    """A kernel expansion f; f(x) > 0 says label 1, f(x) < 0 label 0.

    **Fields:**

    - `centres`: z, (m, d), at most 4,000; `coefficients`: a, (m,).
    - `kernel`: `GaussianKernel`, `LaplaceKernel` or `PolynomialKernel`.
    - `intercept`: b; None: the class has none.

    **Raises:** `InvalidArgument`.
    """

    centres: Float64[AnyArray, "m d"]
    coefficients: Float64[AnyArray, " m"]
    kernel: AbstractKernel
    intercept: float | None = eqx.field(static=True)

    def __init__(
        self,
        centres: Any,
        coefficients: Any,
        kernel: AbstractKernel,
        intercept: float | None = None,
    ):
        where = "KernelClassifier"
        if not isinstance(kernel, AbstractKernel):
            expected = "a GaussianKernel, LaplaceKernel or PolynomialKernel"
            got = type(kernel).__name__
            raise InvalidArgument(f"{where}.kernel", expected, got)
        centres, coefficients = array64(centres), array64(coefficients)
        count = len(centres) if np.ndim(centres) else 0
        for name, array, shape in (
            ("centres", centres, "(m, d)"),
            ("coefficients", coefficients, f"({count},), one for each centre"),
        ):
            real = getattr(array, "dtype", None) == np.float64 and np.size(array) > 0
            fits = np.ndim(array) == 2 or np.shape(array) == (count,)
            if not real or not fits or (name == "centres" and np.ndim(array) != 2):
                expected = f"real numbers of shape {shape}"
                raise InvalidArgument(f"{where}.{name}", expected, np.shape(array))
            bad = int(np.sum(~np.isfinite(array)))
            if bad:
                got = f"{bad} not finite"
                raise InvalidArgument(f"{where}.{name}", "finite numbers", got)
        if count > MOST_POINTS:
            expected = f"at most {MOST_POINTS}, so that a judge can afford them"
            raise InvalidArgument(f"{where}.centres", expected, count)
        if intercept is not None and not _real(intercept):
            expected = "a number, or None"
            raise InvalidArgument(f"{where}.intercept", expected, intercept)
        self.centres, self.coefficients, self.kernel = centres, coefficients, kernel
        self.intercept = None if intercept is None else float(intercept)

    @property
    def inputs(self) -> int:
        """Number of input entries, d."""
        return self.centres.shape[1]

    @property
    def outputs(self) -> int:
        """One: its sign decides."""
        return 1

    def __call__(self, x: Float[Any, " d"], *, key: Any = None) -> Float[Array, ""]:
        """f(x) of one input."""
        del key
        x = jnp.asarray(x)
        k = self.kernel.matrix(x[None], jnp.asarray(self.centres, dtype=x.dtype))[0]
        value = k @ jnp.asarray(self.coefficients, dtype=x.dtype)
        return value if self.intercept is None else value + self.intercept

    def records(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """The packed form: parameters and arrays by name."""
        content = {"kernel": self.kernel.record(), "intercept": self.intercept}
        parts = {"centres": self.centres, "coefficients": self.coefficients}
        return content, {n: np.asarray(a, dtype="<f8") for n, a in parts.items()}

    @classmethod
    def of(cls, content: Mapping[str, Any], arrays: Mapping[str, Any]) -> Self:
        """Inverse of `records`; `intercept` may be absent. Raises `InvalidArgument`."""
        extra = set(content) - {"kernel", "intercept"}
        if extra:
            got = ", ".join(sorted(map(str, extra)))
            raise InvalidArgument("network", "kernel and intercept", got)
        centres, coefficients = (arrays.get(n) for n in ("centres", "coefficients"))
        if centres is None or coefficients is None:
            expected = "arrays centres and coefficients beside the kernel"
            raise InvalidArgument("network", expected, "none")
        kernel, intercept = kernel_of(content["kernel"]), content.get("intercept")
        return cls(centres, coefficients, kernel, intercept)

    @classmethod
    def from_sklearn(cls, estimator: Any) -> Self:
        """Of a fitted scikit-learn SVC, NuSVC (two classes), SVR or KernelRidge.

        Positive scores mean the second of the estimator's `classes_`: label 1. Regress
        on -1 and 1. `gamma="scale"` is computed from the sample: bounds for a kernel
        that is fixed before it need a number.

        **Raises:** `InvalidArgument`: not fitted, more classes, another kernel.
        """
        where = "KernelClassifier.from_sklearn"
        ridge = hasattr(estimator, "X_fit_")
        centres = getattr(estimator, "X_fit_" if ridge else "support_vectors_", None)
        if not isinstance(centres, np.ndarray):
            expected = "a fitted SVC, SVR or KernelRidge on dense inputs"
            raise InvalidArgument(where, expected, type(estimator).__name__)
        classes = len(getattr(estimator, "classes_", (0, 1)))
        coefficients = np.asarray(estimator.dual_coef_)
        if classes != 2 or coefficients.size != len(centres):
            got = f"{classes} classes, coefficients {coefficients.shape}"
            raise InvalidArgument(where, "two classes, or one target", got)
        gamma = getattr(estimator, "_gamma", estimator.gamma)  # SVC: the number used
        gamma = 1 / centres.shape[1] if gamma is None else gamma
        kernel = _kernel_of_sklearn(estimator, float(gamma), where)
        intercept = None if ridge else float(np.ravel(estimator.intercept_)[0])
        return cls(centres, coefficients.reshape(-1), kernel, intercept)


def _real(value: Any) -> bool:
    number = isinstance(value, int | float | np.floating) and type(value) is not bool
    return bool(number and abs(value) <= LARGEST)


def _kernel_of_sklearn(estimator: Any, gamma: float, where: str) -> AbstractKernel:
    name = estimator.kernel
    if name == "rbf":
        return GaussianKernel((2 * gamma) ** -0.5)
    if name == "laplacian":
        return LaplaceKernel(1 / gamma)
    if name == "linear":
        return PolynomialKernel()
    if name in ("poly", "polynomial"):
        degree, offset = estimator.degree, float(estimator.coef0)
        return PolynomialKernel(int(degree), gamma, offset)
    expected = "a kernel of rbf, laplacian, poly, linear"
    raise InvalidArgument(where, expected, name)
