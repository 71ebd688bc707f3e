"""Two-layer ReLU networks: the answer, and how one comes from a convex program.

Source: Bai, Gautam and Sojoudi (2023), section 2; Pilanci and Ergen (2020), theorem 1.
"""

from typing import Any, final

import numpy as np
from jaxtyping import Float64

from ..core import AbstractValue, AnyArray

NEGLIGIBLE = 1e-6  # norm of v_i below which its neuron is dropped


@final
class ReLUNetwork(AbstractValue):
    """x -> sum_j relu(x'u_j) a_j.

    **Fields:**

    - `hidden_weights`: u_j, (k, d). - `output_weights`: a_j, (k,).
    - `dual`: theta, (n,), from which a lower bound on the optimum is made; or None.
    - `objective`: stated cost of the network, loss and decay, in the loss's units.
    """

    hidden_weights: Float64[AnyArray, "k d"]
    output_weights: Float64[AnyArray, " k"]
    dual: Float64[AnyArray, " n"] | None
    objective: Float64[AnyArray, ""]

    def pack(self) -> dict[str, np.ndarray]:
        """Neurons that do nothing, a_j = 0, are left out."""
        u, a = np.asarray(self.hidden_weights), np.asarray(self.output_weights)
        used = a != 0
        arrays = {
            "hidden_weights": np.ascontiguousarray(u[used], "<f8"),
            "output_weights": np.ascontiguousarray(a[used], "<f8"),
            "objective": np.asarray(self.objective, "<f8"),
        }
        if self.dual is not None:
            arrays["dual"] = np.ascontiguousarray(self.dual, "<f8")
        return arrays

    @property
    def width(self) -> int:
        """Neurons in use."""
        return int(np.sum(np.asarray(self.output_weights) != 0))

    def __call__(self, inputs: Any) -> np.ndarray:
        """Predictions, (m,), for samples (m, d)."""
        x = np.asarray(inputs, dtype=np.float64)
        hidden = np.maximum(x @ np.asarray(self.hidden_weights).T, 0.0)
        return hidden @ np.asarray(self.output_weights)


def weights_of(signed: Any, sign: Any, xp: Any = np) -> tuple[Any, Any]:
    """(U, a) of the vectors v_i (sign 1) and w_i (sign -1), (B, d); balanced.

    u = v / sqrt ||v||, a = +-sqrt ||v||: then (||u||^2 + a^2) / 2 = ||v||.
    """
    size = xp.sqrt(xp.sum(signed * signed, axis=1))
    used = size > NEGLIGIBLE
    root = xp.sqrt(xp.where(used, size, 1.0))
    hidden = xp.where(used[:, None], signed / root[:, None], 0.0)
    return hidden, xp.where(used, sign * root, 0.0)


def balanced(hidden: Any, output: Any) -> tuple[np.ndarray, np.ndarray]:
    """The same function with ||u_j|| = |a_j|, whose decay is least."""
    u, a = np.asarray(hidden, np.float64), np.asarray(output, np.float64)
    size = np.linalg.norm(u, axis=1)
    used = (size > 0) & (a != 0)
    ratio = np.sqrt(np.abs(a[used]) / size[used])
    return u[used] * ratio[:, None], a[used] / ratio


def merged(
    inputs: np.ndarray, hidden: np.ndarray, output: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Neurons of one pattern and one sign as one: their sum of |a_j| u_j.

    The predictions on `inputs` stay, the decay cannot grow (triangle inequality).
    """
    if not len(output):
        return hidden, output
    active = hidden @ inputs.T > 0
    names = np.column_stack([np.packbits(active, axis=1), output > 0])
    _, group = np.unique(names, axis=0, return_inverse=True)
    group = group.reshape(-1)
    total = np.zeros((group.max() + 1, hidden.shape[1]))
    np.add.at(total, group, np.abs(output)[:, None] * hidden)
    sign = np.zeros(len(total))
    sign[group] = np.sign(output)
    return weights_of(total, sign)
