"""A trained network as generalization measures see it."""

import abc
import math
from functools import cached_property
from typing import Any

import equinox as eqx
import jax
import numpy as np

from ..core import InvalidArgument
from ..numerics.networks import Network
from ._measure import Sample

NEAR = 1e-9  # margins are compared with this much room, relative to the scores
ACTIVATIONS = ("relu", "leaky_relu")
DENSE = (
    "a chain of dense, ReLU, leaky ReLU and reshape, a dense layer at the end (for "
    "other networks, convolutions among them: Occam, Compression, HoldOut)"
)


@eqx.filter_jit
def _outputs(network: Network, inputs: Any) -> Any:
    return jax.vmap(lambda x: network(x).reshape(-1))(inputs)


def outputs(network: Network, inputs: np.ndarray) -> np.ndarray:
    """Scores (n, K) of flat inputs (n, d), float64."""
    with jax.enable_x64(True):
        return np.asarray(_outputs(network, inputs))


def margins_of(scores: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Margins (n,), and the room within which they are compared.

    f_y minus the best other score; for one output, whose sign decides, f or -f.
    """
    labels = np.asarray(labels).astype(np.int64)
    room = NEAR * (1 + np.max(np.abs(scores), axis=1))
    if scores.shape[1] == 1:
        return np.where(labels == 1, scores[:, 0], -scores[:, 0]), room
    rows = np.arange(len(labels))
    others = scores.copy()
    others[rows, labels] = -np.inf
    return scores[rows, labels] - others.max(axis=1), room


class AbstractModel(abc.ABC):
    """What every measure may ask of a model: its scores, and what it is not.

    Each `..._misfit` says what model a measure needs, None where this is one.
    """

    @abc.abstractmethod
    def margins(self, data: Sample) -> tuple[np.ndarray, np.ndarray]:
        """Margins (n,), and the room within which they are compared."""

    def below(self, data: Sample, margin: float) -> int:
        """How many samples have a margin below `margin`; 0: errors, ties included."""
        found, room = self.margins(data)
        return int(np.sum(~(found > margin + room)))

    def errors(self, data: Sample) -> int:
        """How many samples are labelled wrongly; a tie is an error."""
        return self.below(data, 0.0)

    def fewest_errors(self, data: Sample) -> int:
        """Errors that rounding leaves no doubt about."""
        found, room = self.margins(data)
        return int(np.sum(found <= -room))

    def dense_misfit(self) -> str | None:
        """None for a chain of dense layers, ReLU and reshapes that ends in a layer."""
        return DENSE

    def linear_misfit(self) -> str | None:
        """None for one dense layer with one output."""
        return "one dense layer with one output"

    def kernel_misfit(self) -> str | None:
        """None for a kernel expansion."""
        return "a KernelClassifier"

    @abc.abstractmethod
    def bits_misfit(self, bits: int) -> str | None:
        """None for a network whose weights are floating-point numbers of `bits`."""


class TrainedModel(AbstractModel):
    """A network, and where its training began.

    **Attributes:** `network`; `initial`: a network of the same shape, or None.
    """

    def __init__(self, network: Network, initial: Network | None = None) -> None:
        self.network, self.initial = network, initial
        self._seen: dict[int, tuple[Any, np.ndarray]] = {}

    def scores(self, inputs: np.ndarray) -> np.ndarray:
        """Outputs (n, K), computed once per array."""
        kept = self._seen.get(id(inputs))
        if kept is None:
            kept = self._seen[id(inputs)] = (inputs, outputs(self.network, inputs))
        return kept[1]

    def margins(self, data: Sample) -> tuple[np.ndarray, np.ndarray]:
        return margins_of(self.scores(data.inputs), data.labels)

    def chain(self) -> list[tuple[int, np.ndarray, np.ndarray | None]]:
        """(node, W, b) of each dense layer."""
        net = self.network
        return [
            (k, np.asarray(net.weights[k]), None if bias is None else np.asarray(bias))
            for k, (node, bias) in enumerate(zip(net.nodes, net.biases, strict=True))
            if node.op == "dense"
        ]

    def dense_misfit(self) -> str | None:
        nodes = self.network.nodes
        known = ("dense", "reshape", *ACTIVATIONS)
        chained = all(n.inputs == (k - 1,) for k, n in enumerate(nodes))
        fits = chained and all(n.op in known for n in nodes) and self.chain()
        return None if fits and nodes[-1].op not in ACTIVATIONS else DENSE

    def linear_misfit(self) -> str | None:
        single = len(self.chain()) == 1 and self.network.outputs == 1
        fits = single and self.dense_misfit() is None
        return None if fits else super().linear_misfit()

    @property
    def biased(self) -> bool:
        """Whether some layer has a bias."""
        return any(bias is not None for _, _, bias in self.chain())

    @property
    def vector(self) -> np.ndarray:
        """All weights and biases of the dense layers, in order."""
        return _flat(self.chain())

    @property
    def initial_vector(self) -> np.ndarray:
        """The same of the initial network, zeros without one."""
        if self.initial is None:
            return np.zeros_like(self.vector)
        return _flat(TrainedModel(self.initial).chain())

    @property
    def parameters(self) -> int:
        """How many weights and biases there are, in any layer."""
        arrays = (*self.network.weights, *self.network.biases)
        return sum(np.size(a) for a in arrays if a is not None)

    def bits_misfit(self, bits: int) -> str | None:
        short = {16: np.float16, 32: np.float32, 64: np.float64}[bits]
        for part in (*self.network.weights, *self.network.biases):
            with np.errstate(over="ignore"):
                same = part is None or np.array_equal(np.asarray(part, short), part)
            if not same:
                return f"weights that {bits} bits hold exactly"
        return None

    @cached_property
    def matrices(self) -> list[np.ndarray]:
        """[[W, b], [0, 1]] of each layer, the last one [W, b]; W without biases.

        The network of these on (x, 1) is the same one, homogeneous in each.
        """
        return _homogeneous(self.chain(), self.biased, 1.0)

    @cached_property
    def moved(self) -> list[np.ndarray]:
        """What training added to `matrices`."""
        own = _homogeneous(self.chain(), self.biased, 0.0)
        if self.initial is None:
            return own
        start = TrainedModel(self.initial).chain()
        before = _homogeneous(start, self.biased, 0.0)
        return [a - b for a, b in zip(own, before, strict=True)]

    def square_norms(self, data: Sample) -> np.ndarray:
        """||x||^2, or ||(x, 1)||^2 with biases, (n,)."""
        return np.sum(data.inputs**2, axis=1) + (1.0 if self.biased else 0.0)

    def vc_dimension(self) -> float:
        """Of the errors of this architecture, bounded; see `VCDimension`."""
        chain = self.chain()
        units = [len(weight) for _, weight, _ in chain]
        units[-1] = max(units[-1] - 1, 1)
        sizes = [w.size + (0 if b is None else np.size(b)) for _, w, b in chain]
        r = max(float(np.dot(np.arange(1, len(units) + 1), units)), 3.0)
        inner = math.log2(2 * math.e * r)
        together = float(np.sum(np.cumsum(sizes)))
        return len(chain) + together * math.log2(4 * math.e * r * inner)


def _flat(chain: list[tuple[int, np.ndarray, np.ndarray | None]]) -> np.ndarray:
    parts = [part for _, w, b in chain for part in (w, b) if part is not None]
    return np.concatenate([np.reshape(part, -1) for part in parts])


def _homogeneous(
    chain: list[tuple[int, np.ndarray, np.ndarray | None]], biased: bool, corner: float
) -> list[np.ndarray]:
    if not biased:
        return [weight for _, weight, _ in chain]
    found = []
    for place, (_, weight, bias) in enumerate(chain):
        rows, columns = weight.shape
        last = place == len(chain) - 1
        matrix = np.zeros((rows + (not last), columns + 1))
        matrix[:rows, :columns] = weight
        matrix[:rows, columns] = 0.0 if bias is None else bias
        if not last:
            matrix[rows, columns] = corner
        found.append(matrix)
    return found


def with_vector(network: Any, flat: Any) -> Network:
    """The network with other weights and biases in its dense layers.

    **Raises:** `InvalidArgument` where the vector has another length, or the model is
    no network.
    """
    if not isinstance(network, Network):
        expected, got = "none, as the model is no network", np.shape(flat)
        raise InvalidArgument("GeneralizationBounds.initial", expected, got)
    model = TrainedModel(network)
    flat, size = np.asarray(flat), model.vector.size if model.chain() else 0
    if flat.shape != (size,):
        expected = f"one number for each of {size} weights and biases"
        raise InvalidArgument("GeneralizationBounds.initial", expected, flat.shape)
    weights, biases, place = list(network.weights), list(network.biases), 0
    for k, weight, bias in model.chain():
        stop = place + weight.size
        weights[k], place = flat[place:stop].reshape(weight.shape), stop
        if bias is not None:
            biases[k], place = flat[stop : stop + bias.size], stop + bias.size
    return Network(network.input_shape, network.nodes, tuple(weights), tuple(biases))


def same_shape(one: Any, other: Network) -> bool:
    """Whether two networks differ in their numbers alone."""
    if not isinstance(one, Network):
        return False
    shapes = [
        [np.shape(a) if a is not None else None for a in (*n.weights, *n.biases)]
        for n in (one, other)
    ]
    return one.nodes == other.nodes and shapes[0] == shapes[1]
