"""Training a network of directions as a problem: architecture and data; the model is
its answer.

Source: Kaneda et al., ICML 2023 (arXiv 2205.10763), whose loss is scale-free.
"""

from typing import Any, Self, final

import jax
import jax.numpy as jnp
import numpy as np

from lemmata_checker import Packed

from ..core import (
    AbstractProblem,
    AbstractValue,
    AnyArray,
    Claim,
    InvalidArgument,
    Withheld,
    require,
)
from ._direction_layers import weight_shapes
from ._direction_network import DirectionNetwork, validate_architecture
from ._grid import stencil
from ._grid_poisson import GridPoisson
from ._problem import Real
from ._ritz import RitzDataset

KIND = "linear.direction_training/1"
_LOSS = "linear.validation_loss/1"
_JUDGED = 2**31  # values in all layers over all vectors that the judge evaluates


@final
class TrainedDirections(AbstractValue):
    """A network as an answer.

    **Fields:** `network`: a `DirectionNetwork`, to be used as
    `DeepConjugateDirection(network)`.
    """

    network: DirectionNetwork

    def pack(self) -> dict[str, np.ndarray]:
        return self.network.weights()


@final
class DirectionTraining(AbstractProblem):
    """Find f such that s A f(b) is near b for unit vectors b, s the best step length.

    The loss is the mean of ||b - s A q||^2, q = f(b), s = q^T b / (q^T A q): between 0
    and about 1, whatever the scale of f.

    **Fields:**

    - `cells`: the grid, as for `GridPoisson`; usually a box of fluid.
    - `vectors`: right-hand sides to learn from, shape (count, cells), float32.
    - `validation`: others to judge by, shape (kept, cells), float32.
    - `channels`, `levels`, `depths`, `bias`: the network, see `DirectionNetwork`.
    - `loss_tol`: the model is good if its loss on `validation` is at most this.

    **Raises:** `InvalidProblem`.
    """

    cells: AnyArray
    vectors: AnyArray
    validation: AnyArray
    channels: int
    levels: int
    depths: tuple[int, int, int]
    bias: bool
    loss_tol: Real
    degree: AnyArray
    active: AnyArray

    def __init__(
        self,
        cells: Any,
        vectors: Any,
        validation: Any,
        *,
        channels: int = 16,
        levels: int = 3,
        depths: tuple[int, int, int] = (4, 6, 4),
        bias: bool = False,
        loss_tol: Real = 0.1,
    ):
        cells = np.asarray(cells)
        blank = GridPoisson(cells, np.zeros(cells.shape))
        self.cells, self.degree, self.active = blank.cells, blank.degree, blank.active
        self.vectors, self.validation = _vectors(vectors), _vectors(validation)
        self.channels, self.levels = channels, levels
        self.depths = (depths[0], depths[1], depths[2])
        self.bias, self.loss_tol = bias, loss_tol

    @classmethod
    def of(cls, dataset: RitzDataset, *, kept: float = 0.1, **options: Any) -> Self:
        """Splits a data set: the last share `kept` of it validates."""
        vectors = dataset.vectors()
        count = max(1, round(kept * len(vectors)))
        if not 1 <= count < len(vectors):
            expected = "a share that leaves vectors to learn from and to judge by"
            raise InvalidArgument("DirectionTraining.of.kept", expected, kept)
        cells = dataset.operator.cells
        return cls(cells, vectors[:-count], vectors[-count:], **options)

    def validate(self) -> None:
        sizes = (self.cells.ndim, self.channels, self.levels, self.depths)
        validate_architecture(self, *sizes)
        for field in ("vectors", "validation"):
            array = getattr(self, field)
            real = getattr(array, "dtype", None) == np.float32
            require(self, field, real, expected="real numbers", got=type(array))
            fits = array.ndim == 2 and array.shape[1] == self.cells.size and len(array)
            expected = f"shape (count, {self.cells.size})"
            require(self, field, fits, expected=expected, got=array.shape)
            norms = np.linalg.norm(array, axis=1)
            good = bool(np.all(np.isfinite(norms)) and np.all(norms > 0))
            expected, got = "finite vectors, none zero", "others"
            require(self, field, good, expected=expected, got=got)
        tol = self.loss_tol
        require(self, "loss_tol", tol > 0, expected="> 0", got=tol)

    @property
    def grid(self) -> tuple[int, ...]:
        """The grid's shape."""
        return self.cells.shape

    def network(self, key: Any) -> DirectionNetwork:
        """Untrained, of this problem's architecture."""
        sizes = (self.cells.ndim, self.channels, self.levels, self.depths, self.bias)
        return DirectionNetwork(*sizes, key=key)

    def losses(self, network: DirectionNetwork, vectors: Any) -> Any:
        """||b - s A q||^2 for each of (count, cells) vectors, in their precision."""
        dtype = vectors.dtype
        active, degree = (jnp.asarray(a, dtype) for a in (self.active, self.degree))
        b = vectors.reshape(-1, *self.grid) * active
        axes = tuple(range(1, b.ndim))
        b = b / jnp.sqrt(jnp.sum(b * b, axis=axes, keepdims=True))
        q = network.batch(b) * active
        image = jax.vmap(lambda field: stencil(degree, active, field))(q)
        curvature = jnp.sum(q * image, axis=axes, keepdims=True)
        curved = curvature > 0
        step = jnp.sum(q * b, axis=axes, keepdims=True)
        step = jnp.where(curved, step / jnp.where(curved, curvature, 1.0), 0.0)
        rest = b - step * image
        return jnp.sum(rest * rest, axis=axes)

    def default_method(self) -> Any:
        from ._train_directions import TrainDirections

        return TrainDirections()

    def pack(self) -> Packed:
        parameters = {
            "channels": self.channels,
            "levels": self.levels,
            "depths": list(self.depths),
            "bias": self.bias,
            "loss_tol": float(self.loss_tol),
        }
        arrays = {
            "cells": np.ascontiguousarray(self.cells, dtype="|u1"),
            "vectors": np.ascontiguousarray(self.vectors, dtype="<f4"),
            "validation": np.ascontiguousarray(self.validation, dtype="<f4"),
        }
        return Packed(KIND, parameters, arrays)

    def claims(self, value: TrainedDirections) -> tuple[Claim | Withheld, ...]:
        del value
        shapes = weight_shapes(self.cells.ndim, self.channels, self.levels, self.depths)
        one = self.cells.size * self.channels * len(shapes)
        count = min(len(self.validation), _JUDGED // one)
        if not count:
            reason = "the grid is too large for the judge to evaluate the network"
            return (Withheld(_LOSS, reason),)
        return (Claim(_LOSS, float(self.loss_tol), parameters={"vectors": count}),)

    def candidate(self, *, network: DirectionNetwork) -> TrainedDirections:
        """A network from elsewhere, of this architecture."""
        wanted = self.network(0).architecture()
        if network.architecture() != wanted:
            got = network.architecture()
            raise InvalidArgument("candidate.network", str(wanted), got)
        return TrainedDirections(network)

    def value_from(self, arrays: dict[str, np.ndarray]) -> TrainedDirections:
        sizes = self.network(0).architecture()
        return TrainedDirections(DirectionNetwork.of(sizes, arrays))


def _vectors(value: Any) -> Any:
    """As float32; what is not numeric passes, to be refused by name."""
    if isinstance(value, jax.Array):
        return value
    array = np.asarray(value)
    if array.dtype.kind not in "iuf":
        return array
    array = array.astype(np.float32)
    return array.reshape(len(array), -1) if array.ndim > 2 else array
