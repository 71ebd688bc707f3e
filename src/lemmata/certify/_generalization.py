"""What bounds on the test error are worth for one trained model.

Source: the measures are those that Gastpar, Nachum, Shafer, Weinberger (ICLR 2024) and
Jiang et al. (ICLR 2020) discuss; each names its own.
"""

from typing import Any, Self, final

import equinox as eqx
import numpy as np
from jaxtyping import Float64

from lemmata_checker import Packed
from lemmata_checker.rules.certify_generalization_models import KIND

from ..core import (
    AbstractProblem,
    AnyArray,
    Claim,
    InvalidArgument,
    Withheld,
    array64,
    require,
)
from ..numerics.networks import Network
from ._generalization_value import BoundTable, check_data, pair
from ._kernel_classifier import KernelClassifier
from ._measure import AbstractMeasure, Sample, as_measure
from ._measure_catalogue import measure_of, parsed
from ._measure_counting import HoldOut, Occam, VCDimension
from ._measure_kernel_model import (
    AnyModel,
    as_model,
    as_network,
    model_of,
    packed_model,
)
from ._measure_model import AbstractModel, TrainedModel, same_shape, with_vector
from ._measure_norms import (
    FrobeniusProduct,
    PACBayesSpectral,
    PathNorm,
    SpectralMargin,
)
from ._measure_pac_bayes import PACBayes
from ._measure_rademacher import KernelRademacher
from ._measure_tails import one_sided_lower, one_sided_upper

HOLDS, VALUES = "certify.bound_holds/1", "certify.measure_values/1"
RISK, GAP = "certify.test_risk/1", "certify.bound_gap/1"
_SAFE = 1e-9  # relative, between what is computed here and what the judge can show
_CLOSE = 1e-6  # relative error of a capacity
_NO_TEST = "there is no test set: pass test=(inputs, labels)"


@final
class GeneralizationBounds(AbstractProblem):
    """Evaluate generalization measures on a trained classifier.

    **Fields:**

    - `network`: a `Network` or an Equinox module, with one output for each label, or
      one output whose sign decides between labels 0 and 1; or a `KernelClassifier`.
    - `train`, `test`: (inputs, labels): (n, d) numbers, or images (n, c, h, w), and
      (n,) labels in {0, ..., K - 1}. Test data must not have been looked at; None
      withholds claims on the risk.
    - `measures`: built-in ones, or functions of (model, sample).
    - `confidence`: of the interval for the risk.
    - `initial`: the network before training: the prior's centre and the reference of
      norms; None stands for zeros.

    **Raises:** `InvalidProblem`, `InvalidArgument`.
    """

    network: AnyModel
    train_inputs: Float64[AnyArray, "n d"]
    train_labels: Float64[AnyArray, " n"]
    test_inputs: Float64[AnyArray, "t d"] | None
    test_labels: Float64[AnyArray, " t"] | None
    initial: Network | None
    measures: tuple[AbstractMeasure, ...]
    confidence: float = eqx.field(static=True)

    def __init__(
        self,
        network: Any,
        train: Any,
        test: Any = None,
        measures: Any = None,
        *,
        confidence: float = 0.95,
        initial: Any = None,
    ):
        self.train_inputs, self.train_labels = pair(train, "train")
        self.test_inputs = self.test_labels = None
        if test is not None:
            self.test_inputs, self.test_labels = pair(test, "test")
        shape, where = np.shape(train[0])[1:] or (0,), "GeneralizationBounds"
        self.network = as_model(network, shape, f"{where}.network")
        self.initial = None
        if initial is not None:
            self.initial = as_network(initial, shape, f"{where}.initial")
        if measures is None:
            measures = default_measures(self.network, test is not None)
        several = measures if isinstance(measures, tuple | list) else (measures,)
        self.measures = tuple(as_measure(m, f"{where}.measures") for m in several)
        self.confidence = confidence

    def validate(self) -> None:
        check_data(self, "train")
        if self.test_inputs is not None:
            check_data(self, "test")
        inside = isinstance(self.confidence, float) and 0 < self.confidence < 1
        require(self, "confidence", inside, expected="in (0, 1)", got=self.confidence)
        if self.initial is not None:
            same = same_shape(self.network, self.initial)
            expected = "a network of the model's shape"
            require(self, "initial", same, expected=expected, got="another one")
        require(self, "measures", self.measures, expected="at least one", got="none")
        drawn = sum(isinstance(m, PACBayes) for m in self.measures)
        require(self, "measures", drawn <= 1, expected="one PACBayes", got=drawn)
        for place, measure in enumerate(self.measures):
            needs = measure.misfit(self.model, self.sample)
            expected, got = f"for {type(measure).__name__}, {needs}", "this model"
            field = f"measures[{place}]"
            require(self, field, needs is None, expected=expected, got=got)

    @property
    def model(self) -> AbstractModel:
        """What measures are given."""
        return model_of(self.network, self.initial)

    @property
    def sample(self) -> Sample:
        """The training sample, and how the test set was labelled."""
        fresh = None if self.test_inputs is None else self.test_errors()
        inputs, labels = map(np.asarray, (self.train_inputs, self.train_labels))
        return Sample(inputs, labels, fresh)

    def _held(self) -> Sample:
        inputs, labels = map(np.asarray, (self.test_inputs, self.test_labels))
        return Sample(inputs, labels)

    def test_errors(self) -> tuple[int, int]:
        """Errors on the test set, and its size."""
        held = self._held()
        return self.model.errors(held), len(held.labels)

    def risk(self) -> np.ndarray | None:
        """Clopper and Pearson's interval for the risk, (2,)."""
        if self.test_inputs is None:
            return None
        errors, n = self.test_errors()
        fewest = self.model.fewest_errors(self._held())
        alpha = (1 - self.confidence) / 2
        low = one_sided_lower(fewest, n, alpha) * (1 - _SAFE)
        high = min(1.0, one_sided_upper(errors, n, alpha) + _SAFE)
        return np.array([low, high])

    def judged(self) -> list[AbstractMeasure]:
        """The measures that the judge knows."""
        return [m for m in self.measures if m.name != "custom"]

    def pack(self) -> Packed:
        content, arrays = self.network.records()
        parameters = {
            "network": content,
            "measures": [m.record() for m in self.measures],
            "confidence": float(self.confidence),
        }
        for name in ("train_inputs", "train_labels", "test_inputs", "test_labels"):
            if getattr(self, name) is not None:
                arrays[name] = np.asarray(getattr(self, name), dtype="<f8")
        if self.initial is not None:
            arrays["initial"] = TrainedModel(self.initial).vector
        return Packed(KIND, parameters, arrays)

    @classmethod
    def unpack(cls, parameters: dict[str, Any], arrays: dict[str, Any]) -> Self:
        parameters, arrays = dict(parameters), dict(arrays)
        network = packed_model(parsed(parameters.pop("network", None)), arrays)
        train = (arrays.get("train_inputs"), arrays.get("train_labels"))
        held = (arrays.get("test_inputs"), arrays.get("test_labels"))
        measures = parsed(parameters.pop("measures", None))
        if measures is not None:
            several = measures if isinstance(measures, list) else [measures]
            measures = tuple(measure_of(m) for m in several)
        before = arrays.get("initial")
        return cls(
            network,
            train,
            None if held[0] is None and held[1] is None else held,
            measures,
            initial=None if before is None else with_vector(network, before),
            **parameters,
        )

    def claims(self, value: BoundTable) -> tuple[Claim | Withheld, ...]:
        kinds = [m.kind for m in self.judged()]
        bounds = [k for k in kinds if k in ("bound", "gibbs", "control")]
        found: list[Claim | Withheld] = [
            Claim(HOLDS, 1 + _SAFE)
            if bounds
            else Withheld(HOLDS, "no measure of the list is a bound"),
            Claim(VALUES, _CLOSE)
            if "capacity" in kinds
            else Withheld(VALUES, "every measure of the list has its constant"),
        ]
        if self.test_inputs is None or value.risk is None:
            return (*found, Withheld(RISK, _NO_TEST), Withheld(GAP, _NO_TEST))
        high = float(np.asarray(value.risk)[1])
        return (*found, Claim(RISK, high), self._gap(value, kinds, high))

    def _gap(
        self, value: BoundTable, kinds: list[Any], high: float
    ) -> Claim | Withheld:
        stated = np.asarray(value.values)[[k == "bound" for k in kinds]]
        if not stated.size:
            reason = "no measure of the list bounds the model's risk by training data"
            return Withheld(GAP, reason)
        gap = float(np.min(stated)) - high - _SAFE
        if not gap > 0:
            reason = f"a bound of {np.min(stated):.4g} is within the risk's interval"
            return Withheld(GAP, reason)
        return Claim(GAP, gap)

    def candidate(self, *, values: Any, risk: Any = None) -> BoundTable:
        """Values computed elsewhere, one for each measure that the judge knows.

        **Raises:** `InvalidArgument`; also for a list with `PACBayes`, whose bound
        needs its posterior.
        """
        found, count = array64(values), len(self.judged())
        if np.shape(found) != (count,) or count != len(self.measures):
            expected = f"{count} numbers, and no function among the measures"
            raise InvalidArgument("candidate.values", expected, np.shape(found))
        if any(isinstance(m, PACBayes) for m in self.measures):
            expected = "measures without a posterior: leave PACBayes out"
            raise InvalidArgument("candidate.values", expected, "PACBayes")
        interval = self.risk() if risk is None else array64(risk)
        return BoundTable(found, np.zeros(0), interval)

    def value_from(self, arrays: dict[str, np.ndarray]) -> BoundTable:
        empty = {"values": np.zeros(0), "custom": np.zeros(0)}
        return BoundTable(**(empty | arrays))

    def table(self, value: BoundTable) -> list[dict[str, Any]]:
        """One row per measure: name, kind, value, whether vacuous, gap to the risk."""
        judged, own = list(np.asarray(value.values)), list(np.asarray(value.custom))
        rows = []
        for measure in self.measures:
            number = float((own if measure.name == "custom" else judged).pop(0))
            bound = measure.kind not in ("capacity", "estimate")
            gap = None
            if bound and value.risk is not None:
                gap = number - float(np.asarray(value.risk)[1])
            rows.append(
                {
                    "measure": type(measure).__name__,
                    "kind": measure.kind,
                    "value": number,
                    "vacuous": bound and number >= 1,
                    "gap": gap,
                }
            )
        return rows

    def default_method(self) -> Any:
        from ._generalization_method import EvaluateMeasures

        return EvaluateMeasures()


def default_measures(model: AnyModel, test: bool) -> tuple[AbstractMeasure, ...]:
    """Every measure of such models that needs no training of its own."""
    if isinstance(model, KernelClassifier):
        return (KernelRademacher(), HoldOut()) if test else (KernelRademacher(),)
    found = (
        Occam(),
        VCDimension(),
        FrobeniusProduct(),
        SpectralMargin(),
        PACBayesSpectral(),
        PathNorm(),
    )
    return (*found, HoldOut()) if test else found
