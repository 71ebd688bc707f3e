"""A kernel expansion as generalization measures see it, and the doors for models."""

from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ..core import InvalidArgument
from ..numerics.networks import Network
from ._kernel_classifier import KernelClassifier
from ._kernels import AbstractKernel
from ._measure import Sample
from ._measure_model import AbstractModel, TrainedModel, margins_of

AnyModel = Network | KernelClassifier


@eqx.filter_jit
def _matrices(kernel: AbstractKernel, left: Any, right: Any) -> tuple[Any, Any]:
    return kernel.matrix(left, right), kernel.sizes(left, right)


class KernelModel(AbstractModel):
    """A kernel expansion, with roundings generous enough for a judge to agree.

    **Attributes:** `classifier`.
    """

    def __init__(self, classifier: KernelClassifier) -> None:
        self.classifier = classifier

    def _matrix(
        self, left: Any, right: Any, terms: int = 0
    ) -> tuple[np.ndarray, np.ndarray]:
        """K and by how much sums of so many of its entries may be off."""
        kernel = self.classifier.kernel
        with jax.enable_x64(True):
            found = _matrices(kernel, jnp.asarray(left), jnp.asarray(right))
            matrix, sizes = map(np.asarray, found)
        unit = 2.0**-51 * (self.classifier.inputs + 200) * kernel.roundings
        return matrix, sizes * (unit + 2.0**-51 * terms)

    def scores(self, inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """F (n,), and by how much it may be off."""
        centres, a = self.classifier.centres, np.asarray(self.classifier.coefficients)
        matrix, off = self._matrix(inputs, centres, len(a))
        b = self.classifier.intercept or 0.0
        return matrix @ a + b, off @ np.abs(a) + 2.0**-50 * abs(b)

    def margins(self, data: Sample) -> tuple[np.ndarray, np.ndarray]:
        scores, off = self.scores(data.inputs)
        found, room = margins_of(scores[:, None], data.labels)
        return found, np.maximum(room, off)

    def gram(self, inputs: np.ndarray) -> tuple[np.ndarray, float]:
        """K of the inputs, of k + 1 with an intercept; and the rounding of s'Ks."""
        matrix, off = self._matrix(inputs, inputs)
        extra = 0.0 if self.classifier.intercept is None else 1.0
        return matrix + extra, float(np.sum(off))

    def square_norm(self) -> tuple[float, float]:
        """The square a'Ka + b^2 of the norm, and by how much it may be off."""
        centres, a = self.classifier.centres, np.asarray(self.classifier.coefficients)
        matrix, off = self._matrix(centres, centres, len(a))
        size = np.abs(a)
        square = max(float(a @ matrix @ a), 0.0)
        square += (self.classifier.intercept or 0.0) ** 2
        return square, float(size @ off @ size)

    def kernel_misfit(self) -> str | None:
        return None

    def bits_misfit(self, bits: int) -> str | None:
        return "a network (for kernel expansions: KernelRademacher, Compression)"


def model_of(network: AnyModel, initial: Network | None = None) -> AbstractModel:
    """What measures are given."""
    if isinstance(network, KernelClassifier):
        return KernelModel(network)
    return TrainedModel(network, initial)


def as_model(model: Any, shape: tuple[int, ...], where: str) -> AnyModel:
    """A network or kernel expansion of what a user hands in.

    **Arguments:** `shape`: of one input as handed in, flat or an image.

    **Raises:** `InvalidArgument`.
    """
    if isinstance(model, KernelClassifier):
        return model
    return as_network(model, shape, where)


def as_network(model: Any, shape: tuple[int, ...], where: str) -> Network:
    """A network of a `Network` or an Equinox module; see `as_model`."""
    if isinstance(model, Network):
        return model
    if not callable(model) or isinstance(model, KernelClassifier):
        expected = "a Network, an Equinox module, or (as model) a KernelClassifier"
        raise InvalidArgument(where, expected, type(model).__name__)
    from ._from_equinox import from_equinox

    flat = (int(np.prod(shape)),)
    try:
        return from_equinox(model, shape)
    except InvalidArgument as error:
        if shape == flat:
            raise
        try:
            return from_equinox(model, flat)
        except InvalidArgument:
            raise error from None


def packed_model(content: Any, arrays: Mapping[str, Any]) -> AnyModel:
    """The model of its packed form. Raises `InvalidArgument`."""
    if not isinstance(content, dict):
        expected = "layer records, a kernel's record, or an ONNX file as data"
        raise InvalidArgument("GeneralizationBounds.network", expected, content)
    if "kernel" in content:
        return KernelClassifier.of(content, arrays)
    parts = {n: a for n, a in arrays.items() if n.startswith("network_")}
    return Network.of(content, parts)
