"""Which minima does SGD reach? A table of runs over learning rates and batch sizes.

Source: Wu and Su, ICML 2023 (arXiv 2305.17490), experiments.
"""

from typing import Any, Self, final

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Float64

from lemmata_checker import Packed

from ..core import (
    AbstractProblem,
    AbstractValue,
    AnyArray,
    Claim,
    InvalidArgument,
    InvalidProblem,
    Withheld,
    array64,
    require,
)
from ._stability_models import (
    MODELS,
    AbstractStabilityModel,
    model_name,
)

KIND = "certify.sgd_sweep/1"
SELECTION, FLATTER = "certify.sgd_selection/1", "certify.sgd_flatter/1"
_SHARE = 0.9  # of the runs: stability in the mean square is not the only way to stay


def _whole(sizes: Any) -> Any:
    """Integers as a tuple; anything else unchanged, for `validate` to refuse."""
    try:
        found = tuple(np.asarray(sizes, dtype=np.float64).reshape(-1).tolist())
    except (TypeError, ValueError):
        return sizes
    return tuple(int(b) if b == int(b) else b for b in found if np.isfinite(b))


COLUMNS = ("learning_rate", "batch_size", "scale", "loss", "trace", "norm", "test_loss")
Real = float | np.ndarray | Array


@final
class SweepTable(AbstractValue):
    """One row per run, in the order scale, learning rate, batch size (fastest).

    **Fields:**

    - `learning_rate`, `batch_size`, `scale`: of the run, (R,).
    - `loss`: mean squared residual over mean squared target.
    - `trace`: Tr G at its end; `norm`: path or l_1 norm.
    - `test_loss`: mean squared error on the test samples, 0 without them.
    - `weights`: the networks, each array with a first axis (R,).
    """

    learning_rate: Float64[AnyArray, " runs"]
    batch_size: Float64[AnyArray, " runs"]
    scale: Float64[AnyArray, " runs"]
    loss: Float64[AnyArray, " runs"]
    trace: Float64[AnyArray, " runs"]
    norm: Float64[AnyArray, " runs"]
    test_loss: Float64[AnyArray, " runs"]
    weights: dict[str, Any]

    def pack(self) -> dict[str, np.ndarray]:
        found = {name: getattr(self, name) for name in COLUMNS} | self.weights
        return {k: np.asarray(v, dtype=np.float64) for k, v in found.items()}

    def params(self, run: int) -> dict[str, np.ndarray]:
        """The network that one run ended with."""
        return {name: np.asarray(array)[run] for name, array in self.weights.items()}


@final
class StabilitySweep(AbstractProblem):
    """Train one network by SGD at every learning rate, batch size and scale.

    **Fields:**

    - `model`: `DiagonalLinear(...)` or `TwoLayerReLU()`, with `width` neurons.
    - `inputs`, `targets`: (n, d) and (n,).
    - `learning_rates`, `batch_sizes`: what to try; a batch of n is gradient descent.
    - `scales`: of the initial weights; with `start`, of a normal perturbation of it.
    - `test_inputs`, `test_targets`: fresh samples, or None.
    - `start`: parameters at which every run begins: the escape experiment.
    - `replacement`: how batches are drawn.
    - `loss_tol`: mean squared residual over mean squared target at which a run ends.

    **Raises:** `InvalidProblem`.
    """

    model: AbstractStabilityModel = eqx.field(static=True)
    inputs: Any = eqx.field(converter=array64)
    targets: Any = eqx.field(converter=array64)
    learning_rates: Any = eqx.field(converter=array64)
    batch_sizes: tuple[int, ...] = eqx.field(static=True, converter=_whole)
    scales: Any = eqx.field(converter=array64, default=(1.0,))
    test_inputs: Any = None
    test_targets: Any = None
    start: Any = None
    replacement: bool = eqx.field(static=True, default=False)
    loss_tol: Real = 1e-8
    width: int = eqx.field(static=True, default=50)

    def validate(self) -> None:
        known = isinstance(self.model, AbstractStabilityModel)
        expected = "DiagonalLinear(...) or TwoLayerReLU()"
        got = type(self.model).__name__
        require(self, "model", known, expected=expected, got=got)
        self._check_samples("inputs", "targets")
        if self.test_inputs is not None or self.test_targets is not None:
            self._check_samples("test_inputs", "test_targets")
        for name in ("learning_rates", "batch_sizes", "scales"):
            found = array64(getattr(self, name))
            numeric = getattr(found, "dtype", None) == np.float64 and found.ndim == 1
            good = numeric and found.size > 0 and np.all(np.isfinite(found))
            expected = "a list of finite numbers"
            require(self, name, good, expected=expected, got=found)
            least = 0 if name != "scales" else -1
            require(self, name, np.all(found > least), expected="> 0", got=found)
        sizes, n = self.batch_sizes, len(self.inputs)
        whole = all(isinstance(size, int) for size in sizes)
        fits = whole and (self.replacement or max(sizes) <= n)
        expected = f"integers in [1, {n}], above n with replacement=True only"
        require(self, "batch_sizes", fits, expected=expected, got=sizes)
        wide = isinstance(self.width, int | np.integer) and self.width >= 1
        require(self, "width", wide, expected="an integer >= 1", got=self.width)
        good = np.ndim(self.loss_tol) == 0 and 0 < self.loss_tol < 1
        require(self, "loss_tol", good, expected="in (0, 1)", got=self.loss_tol)
        if self.start is not None:
            fault = self.model.fault(self.start, self.inputs)
            expected, got = fault or ("", "")
            require(self, "start", fault is None, expected=expected, got=got)

    def _check_samples(self, inputs: str, targets: str) -> None:
        for name, axes in ((inputs, 2), (targets, 1)):
            found = array64(getattr(self, name))
            good = getattr(found, "dtype", None) == np.float64 and found.ndim == axes
            got = np.shape(found)
            require(self, name, good, expected=f"{axes} axes of numbers", got=got)
            finite = found.size > 0 and bool(np.all(np.isfinite(found)))
            require(self, name, finite, expected="finite numbers", got="others")
        shapes = np.shape(getattr(self, inputs)), np.shape(getattr(self, targets))
        n, d = shapes[0][0], np.shape(self.inputs)[1]
        fits = shapes[1] == (n,) and shapes[0][1] == d
        require(self, targets, fits, expected=f"({n}, {d}) and ({n},)", got=shapes)

    def pack(self) -> Packed:
        parameters = {
            "model": model_name(self.model),
            "replacement": bool(self.replacement),
            "loss_tol": float(self.loss_tol),
            "width": int(self.width),
        }
        names = ("inputs", "targets", "learning_rates", "batch_sizes", "scales")
        arrays = {name: getattr(self, name) for name in names}
        for name in ("test_inputs", "test_targets"):
            if getattr(self, name) is not None:
                arrays[name] = getattr(self, name)
        if self.start is not None:
            arrays |= {f"start_{k}": array for k, array in self.start.items()}
        arrays = {k: np.asarray(v, dtype=np.float64) for k, v in arrays.items()}
        return Packed(KIND, parameters, arrays)

    @classmethod
    def unpack(cls, parameters: dict[str, Any], arrays: dict[str, Any]) -> Self:
        parameters, arrays = dict(parameters), dict(arrays)
        name = parameters.pop("model", None)
        if name not in MODELS:
            expected = f"one of {', '.join(MODELS)}"
            raise InvalidProblem("StabilitySweep.model", expected, name)
        model = MODELS[name]
        start = {part: arrays.pop(f"start_{part}", None) for part in model.names}
        given = any(array is not None for array in start.values())
        return cls(model, **arrays, start=start if given else None, **parameters)

    def value_from(self, arrays: dict[str, np.ndarray]) -> SweepTable:
        arrays = dict(arrays)
        weights = {name: arrays.pop(name) for name in self.model.names}
        return SweepTable(**arrays, weights=weights)

    def candidate(self, *, weights: dict[str, Any]) -> SweepTable:
        """A table of networks trained elsewhere.

        - `weights`: parameters with a first axis over the runs of `grid()`.
        """
        runs = len(self.grid()[0])
        made = {name: array64(array) for name, array in weights.items()}
        good = set(made) == set(self.model.names)
        if not good or any(np.shape(a)[:1] != (runs,) for a in made.values()):
            expected = f"{' and '.join(self.model.names)}, each for {runs} runs"
            got = {name: np.shape(a) for name, a in made.items()}
            raise InvalidArgument("candidate.weights", expected, got)
        return self.table(made)

    def table(self, weights: dict[str, Any]) -> SweepTable:
        """Loss, trace, norm and test loss of trained networks; NumPy or JAX."""
        one = next(iter(weights.values()))
        if isinstance(one, np.ndarray):
            runs = [{k: a[i] for k, a in weights.items()} for i in range(len(one))]
            rows = np.array([self._row(params) for params in runs])
            columns = rows.T
        else:
            columns = jax.vmap(self._row)(weights)
        rate, size, scale = self.grid()
        return SweepTable(rate, size, scale, *columns, weights=weights)

    def grid(self) -> tuple[Any, Any, Any]:
        """Learning rate, batch size and scale of every run, (R,) each; NumPy or JAX."""
        counts = [len(a) for a in (self.scales, self.learning_rates, self.batch_sizes)]
        index = np.indices(counts).reshape(3, -1)
        sizes = np.asarray(self.batch_sizes, dtype=np.float64)
        return self.learning_rates[index[1]], sizes[index[2]], self.scales[index[0]]

    def _row(self, params: dict[str, Any]) -> tuple[Any, Any, Any, Any]:
        away = self.model.predictions(params, self.inputs) - self.targets
        loss = (away**2).mean() / (self.targets**2).mean()
        test = 0.0 * loss
        if self.test_inputs is not None:
            found = self.model.predictions(params, self.test_inputs)
            test = ((found - self.test_targets) ** 2).mean()
        norm = self.model.norm_bound(params, self.inputs).norm
        return loss, self.model.trace(params, self.inputs), norm, test

    def claims(self, value: SweepTable) -> tuple[Claim | Withheld, ...]:
        ended = np.asarray(value.loss) <= float(self.loss_tol)
        if not np.any(ended):
            reason = "no run reached the loss tolerance"
            return Withheld(SELECTION, reason), Withheld(FLATTER, reason)
        compared = extremes(self, value)
        if compared is None:
            reason = "at the smallest batch, fewer than two learning rates converged"
            return Claim(SELECTION, _SHARE), Withheld(FLATTER, reason)
        return Claim(SELECTION, _SHARE), Claim(FLATTER, 1.0)

    def default_method(self) -> Any:
        from ._stability_training import SGDTraining

        return SGDTraining()


def extremes(problem: StabilitySweep, value: SweepTable) -> tuple[int, int] | None:
    """The converged runs of least and largest learning rate; None for fewer than two.

    At the smallest batch and the largest scale.
    """
    ended = np.asarray(value.loss) <= float(problem.loss_tol)
    ended &= np.asarray(value.batch_size) == np.min(problem.batch_sizes)
    ended &= np.asarray(value.scale) == np.max(problem.scales)
    runs = np.flatnonzero(ended)
    if len(runs) < 2:
        return None
    order = runs[np.argsort(np.asarray(value.learning_rate)[runs])]
    return int(order[0]), int(order[-1])
