"""A trained model and its data as the judge sees them: margins, errors, matrices."""

from typing import NamedTuple

import numpy as np

from ..case import Case, Malformed
from ..network import CURVES, LINEAR, Network, network_of
from ..network_actions import interval
from ._certify_lipschitz_curves import value_bounds
from .certify_generalization_kernels import (
    MOST_DISTANCES,
    expansion,
    expansion_scores,
)

KIND = "certify.generalization_bounds/1"
CHUNK = 256  # samples at once
MOST_SAMPLES = 10**7


class Data(NamedTuple):
    """Inputs (n, d), flat, and labels (n,) in {0, ..., K - 1}."""

    inputs: np.ndarray
    labels: np.ndarray


class Margins(NamedTuple):
    """Bounds on f_y - max of the others (or +-f for one output), (n,) each.

    A sample is an error where its margin is not above 0.
    """

    low: np.ndarray
    high: np.ndarray

    def errors(self) -> int:
        """At least as many as there are."""
        return int(np.sum(~(self.low > 0)))

    def fewest(self) -> int:
        """At most as many as there are."""
        return int(np.sum(self.high <= 0))

    def below(self, margin: float) -> int:
        """At least as many as have a margin below `margin`."""
        return int(np.sum(~(self.low >= margin)))


def network(case: Case) -> Network:
    """The model. Raises `Malformed`."""
    if case.problem.kind != KIND:
        raise Malformed(f"expected a problem of kind {KIND}")
    return case.shared(
        "generalization: network",
        lambda: network_of(case.problem.json.get("network"), case.problem.arrays),
    )


def classes(case: Case) -> int:
    """Number of labels: 2 for a model of one output, whose sign decides."""
    return 2 if expansion(case) is not None else max(network(case).outputs, 2)


def features(case: Case) -> int:
    """How many numbers the model takes."""
    found = expansion(case)
    return network(case).inputs if found is None else found.centres.shape[1]


def data(case: Case, part: str) -> Data | None:
    """`train` or `test` data, None where there are none. Raises `Malformed`."""
    inputs = case.problem.arrays.get(f"{part}_inputs")
    labels = case.problem.arrays.get(f"{part}_labels")
    if inputs is None and labels is None:
        return None
    for name, array, axes in (("inputs", inputs, 2), ("labels", labels, 1)):
        where = f"{part}_{name}"
        if array is None or array.dtype != np.float64 or array.ndim != axes:
            raise Malformed(f"{where}: expected float64 with {axes} axes")
        if not array.size or not np.all(np.isfinite(array)):
            raise Malformed(f"{where}: expected finite numbers, at least one")
    assert inputs is not None
    assert labels is not None
    fits = len(inputs) == len(labels) and inputs.shape[1] == features(case)
    if not fits:
        raise Malformed(
            f"{part}_inputs: expected one row per label, as the model takes"
        )
    whole = (labels == np.rint(labels)) & (labels >= 0) & (labels < classes(case))
    if not np.all(whole):
        raise Malformed(f"{part}_labels: expected whole numbers below {classes(case)}")
    return Data(inputs, labels.astype(np.int64))


def train(case: Case) -> Data:
    """The sample that the model was trained on."""
    found = data(case, "train")
    if found is None:
        raise Malformed("train_inputs and train_labels: missing")
    return found


def margins(case: Case, part: str) -> Margins | None:
    """Margins of train or test data, once per certificate."""
    return case.shared(f"generalization: {part} margins", lambda: _margins(case, part))


def _margins(case: Case, part: str) -> Margins | None:
    found = data(case, part)
    if found is None:
        return None
    kernels = expansion(case)
    if (
        kernels is not None
        and found.inputs.size * len(kernels.centres) > MOST_DISTANCES
    ):
        raise Malformed(f"{part}_inputs: expected fewer, for this many centres")
    parts = []
    for start in range(0, len(found.labels), CHUNK):
        rows, stop = found.inputs[start : start + CHUNK], start + CHUNK
        if kernels is None:
            low, high = scores(network(case), rows)
        else:
            low, high = expansion_scores(kernels, rows)
        parts.append(_of_scores(low, high, found.labels[start:stop]))
    low, high = (np.concatenate([p[side] for p in parts]) for side in (0, 1))
    return Margins(low, high)


def scores(model: Network, inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bounds (n, K) on the outputs, rounding included."""
    x = inputs.reshape(len(inputs), *model.input_shape)
    bounds: list[tuple[np.ndarray, np.ndarray]] = [(x, x)]
    for k, node in enumerate(model.nodes):
        given = [bounds[i + 1] for i in node.inputs]
        if node.op in LINEAR:
            bounds.append(interval(model, k, given))
        elif node.op in CURVES:
            bounds.append(value_bounds(node, *given[0]))
        elif node.op == "group_sort":
            size = node.options["size"]
            low, high = given[0]
            bounds.append((_sorted(low, size), _sorted(high, size)))
        else:
            raise Malformed(f"network.nodes[{k}] ({node.op}): not evaluated here")
    low, high = bounds[-1]
    return low.reshape(len(inputs), -1), high.reshape(len(inputs), -1)


def _sorted(side: np.ndarray, size: int) -> np.ndarray:
    """Each `size` neighbours along the first axis, largest first: monotone."""
    groups = side.reshape(len(side), -1, size, *side.shape[2:])
    return -np.sort(-groups, axis=2).reshape(side.shape)


def _of_scores(
    low: np.ndarray, high: np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    if low.shape[1] == 1:
        one = labels == 1
        return np.where(one, low[:, 0], -high[:, 0]), np.where(
            one, high[:, 0], -low[:, 0]
        )
    own = np.arange(low.shape[1])[None] == labels[:, None]
    rows = np.arange(len(labels))
    above = np.max(np.where(own, -np.inf, high), axis=1)
    below = np.max(np.where(own, -np.inf, low), axis=1)
    least = np.nextafter(low[rows, labels] - above, -np.inf)
    return least, np.nextafter(high[rows, labels] - below, np.inf)


class Layer(NamedTuple):
    """W (out, in) and b (out,) or None of a dense node."""

    node: int
    weight: np.ndarray
    bias: np.ndarray | None


def layers(model: Network) -> list[Layer]:
    """Dense layers of a chain of dense, reshape, ReLU and leaky ReLU.

    **Raises:** `Malformed` for any other network.
    """
    found: list[Layer] = []
    for k, node in enumerate(model.nodes):
        if node.inputs != (k - 1,):
            raise Malformed("network: expected a chain of layers")
        if node.op == "dense":
            assert node.weight is not None
            found.append(Layer(k, node.weight, node.bias))
        elif node.op not in ("reshape", "relu", "leaky_relu"):
            raise Malformed(
                f"network.nodes[{k}] ({node.op}): expected dense, reshape, relu or "
                "leaky_relu"
            )
    if not found or model.nodes[-1].op not in ("dense", "reshape"):
        raise Malformed("network: expected a dense layer at the end")
    return found


def initial(case: Case) -> list[Layer]:
    """The layers before training, from one vector `initial`; zeros without it."""
    chain = layers(network(case))
    size = flat_of(chain).size
    flat = case.problem.arrays.get("initial")
    if flat is None:
        flat = np.zeros(size)
    if flat.dtype != np.float64 or flat.shape != (size,):
        raise Malformed(f"initial: expected float64 of shape ({size},)")
    if not np.all(np.isfinite(flat)):
        raise Malformed("initial: expected finite numbers")
    found, place = [], 0
    for layer in chain:
        stop = place + layer.weight.size
        weight, bias = flat[place:stop].reshape(layer.weight.shape), None
        place = stop
        if layer.bias is not None:
            place += layer.bias.size
            bias = flat[stop:place]
        found.append(Layer(layer.node, weight, bias))
    return found


def matrices(chain: list[Layer]) -> list[np.ndarray]:
    """Homogeneous matrices: [[W, b], [0, 1]], the last one [W, b]; W without biases.

    An input x becomes (x, 1), which every ReLU keeps.
    """
    if all(layer.bias is None for layer in chain):
        return [layer.weight for layer in chain]
    found = []
    for place, (_, weight, bias) in enumerate(chain):
        column = np.zeros(len(weight)) if bias is None else bias
        matrix = np.concatenate([weight, column[:, None]], axis=1)
        if place < len(chain) - 1:
            row = np.zeros((1, matrix.shape[1]))
            row[0, -1] = 1.0
            matrix = np.concatenate([matrix, row])
        found.append(matrix)
    return found


def flat_of(chain: list[Layer]) -> np.ndarray:
    """All weights and biases in one vector, layer after layer."""
    parts = [part for layer in chain for part in layer[1:] if part is not None]
    return np.concatenate([np.reshape(part, -1) for part in parts])


def parameters(model: Network) -> np.ndarray:
    """All weights and biases of a dense model in one vector."""
    return flat_of(layers(model))


def every_parameter(model: Network) -> np.ndarray:
    """All weights and biases of any model, whatever its layers, in one vector."""
    parts = [part for node in model.nodes for part in (node.weight, node.bias)]
    flat = [np.reshape(part, -1) for part in parts if part is not None]
    return np.concatenate([np.zeros(0), *flat])


def is_biased(model: Network) -> bool:
    """Whether some layer has a bias."""
    return any(layer.bias is not None for layer in layers(model))


def square_norms(case: Case) -> np.ndarray:
    """||x||^2 (or ||(x, 1)||^2) of each train input, rounded up."""
    inputs = train(case).inputs
    extra = 1.0 if is_biased(network(case)) else 0.0
    total = np.sum(inputs * inputs, axis=1) + extra
    return total * (1 + 2.0**-52 * (inputs.shape[1] + 4))
