"""What is known of a minimum: thresholds, sharpness, and the two witness matrices."""

from typing import Any, final

import numpy as np
from jaxtyping import Float64

from ..core import AbstractValue, AnyArray

NUMBERS = ("max_learning_rate", "trace", "frobenius", "lambda_max")
NORMS = ("path_norm", "implied_norm_bound")


@final
class Stability(AbstractValue):
    """Stability and sharpness of one minimum.

    **Fields:**

    - `max_learning_rate`: largest learning rate that the method found stable
      (`ExactMeanSquare`), or that its necessary condition allows.
    - `trace`, `frobenius`, `lambda_max`: of G, the mean of g g'.
    - `path_norm`: path norm (two-layer ReLU) or l_1 norm of the predictor (diagonal
      linear); None for other models.
    - `implied_norm_bound`: what stability at the problem's learning rate implies for
      it, on these data.
    - `coordinates`: gradient rows in a basis of their span, (n, K, r).
    - `lyapunov`: S, (r, r), positive definite: E[d'S d] never grows for learning rates
      up to the one that it proves.
    - `growth`: M, (r, r): its Rayleigh quotient proves instability above.
    """

    max_learning_rate: Float64[AnyArray, ""]
    trace: Float64[AnyArray, ""]
    frobenius: Float64[AnyArray, ""]
    lambda_max: Float64[AnyArray, ""]
    coordinates: Float64[AnyArray, "n k r"]
    lyapunov: Float64[AnyArray, "r r"]
    growth: Float64[AnyArray, "r r"]
    path_norm: Any = None
    implied_norm_bound: Any = None

    def pack(self) -> dict[str, np.ndarray]:
        names = (*NUMBERS, *NORMS, "coordinates", "lyapunov", "growth")
        found = {name: getattr(self, name) for name in names}
        return {
            name: np.asarray(array, dtype=np.float64)
            for name, array in found.items()
            if array is not None
        }
