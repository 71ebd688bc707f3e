"""What can I guarantee about this model?

`lemmata.certify` is this room and, called, the function that has the checker judge an
answer from elsewhere: `lemmata.certify(problem, value)`.
"""

import sys

from ._bound_methods import (
    BoundPropagation as BoundPropagation,
    GlobalProduct as GlobalProduct,
    IntervalJacobian as IntervalJacobian,
    RecurJac as RecurJac,
)
from ._branch_and_bound import (
    AbstractPruning as AbstractPruning,
    BranchAndBound as BranchAndBound,
    NoPruning as NoPruning,
    SignPrograms as SignPrograms,
)
from ._branching import (
    AbstractHeuristic as AbstractHeuristic,
    Area as Area,
    Babsr as Babsr,
)
from ._callable_room import CallableRoom as _CallableRoom
from ._conic_solution import SCS as SCS, Clarabel as Clarabel
from ._curvature import (
    hessian_product as hessian_product,
    top_eigenvalue as top_eigenvalue,
    trace_estimate as trace_estimate,
)
from ._eigenvalue import Eigenvalue as Eigenvalue
from ._exact_enumeration import ExactEnumeration as ExactEnumeration
from ._exact_mean_square import ExactMeanSquare as ExactMeanSquare
from ._game import (
    GameRecord as GameRecord,
    GeneralizationGame as GeneralizationGame,
)
from ._game_methods import ExactNoGo as ExactNoGo, PlayGame as PlayGame
from ._generalization import GeneralizationBounds as GeneralizationBounds
from ._generalization_method import EvaluateMeasures as EvaluateMeasures
from ._generalization_value import (
    BoundTable as BoundTable,
    margin_quantile as margin_quantile,
)
from ._global_baselines import BruteForce as BruteForce, NormProduct as NormProduct
from ._global_lipschitz import (
    GlobalBounds as GlobalBounds,
    GlobalLipschitz as GlobalLipschitz,
)
from ._implicit_lipschitz import (
    ImplicitLipschitz as ImplicitLipschitz,
    ImplicitSDP as ImplicitSDP,
)
from ._kernel_classifier import KernelClassifier as KernelClassifier
from ._kernels import (
    GaussianKernel as GaussianKernel,
    LaplaceKernel as LaplaceKernel,
    PolynomialKernel as PolynomialKernel,
)
from ._lipsdp import LipSDP as LipSDP
from ._local_lipschitz import (
    LipschitzBounds as LipschitzBounds,
    LocalLipschitz as LocalLipschitz,
)
from ._measure import (
    AbstractMeasure as AbstractMeasure,
    BoundResult as BoundResult,
    FunctionMeasure as FunctionMeasure,
    Hypothesis as Hypothesis,
    Sample as Sample,
)
from ._measure_counting import (
    Compression as Compression,
    Constant as Constant,
    FinitePACBayes as FinitePACBayes,
    FiniteRademacher as FiniteRademacher,
    HoldOut as HoldOut,
    Occam as Occam,
    Unseen as Unseen,
    VCDimension as VCDimension,
)
from ._measure_linear import (
    ConvexSGDStability as ConvexSGDStability,
    LeaveOneOut as LeaveOneOut,
    RidgeStability as RidgeStability,
)
from ._measure_norms import (
    FrobeniusProduct as FrobeniusProduct,
    PACBayesSpectral as PACBayesSpectral,
    PathNorm as PathNorm,
    SpectralMargin as SpectralMargin,
)
from ._measure_pac_bayes import PACBayes as PACBayes
from ._measure_rademacher import (
    KernelRademacher as KernelRademacher,
    LinearRademacher as LinearRademacher,
)
from ._measure_ranking import (
    MeasureRanking as MeasureRanking,
    measure_ranking as measure_ranking,
)
from ._measure_tails import (
    clopper_pearson as clopper_pearson,
    kl_inverse as kl_inverse,
)
from ._monotonicity import (
    DerivativeBounds as DerivativeBounds,
    Monotonicity as Monotonicity,
    MonotonicityVerdicts as MonotonicityVerdicts,
)
from ._multipliers import (
    AbstractConstraints as AbstractConstraints,
    AllMultipliers as AllMultipliers,
    CompositeReLU as CompositeReLU,
    DiagonalOnly as DiagonalOnly,
    Eliminated as Eliminated,
    Reduced as Reduced,
)
from ._network import (
    Network as Network,
    from_equinox as from_equinox,
    from_onnx as from_onnx,
)
from ._network_layers import (
    GroupSort as GroupSort,
    Householder as Householder,
    MaxMin as MaxMin,
)
from ._point_search import PointSearch as PointSearch
from ._sgd_stability import SGDStability as SGDStability
from ._sharpness import Sharpness as Sharpness, sharpness as sharpness
from ._stability_claims import generalisation_bound as generalisation_bound
from ._stability_minimum import Minimum as Minimum, reach_minimum as reach_minimum
from ._stability_models import (
    AbstractStabilityModel as AbstractStabilityModel,
    DiagonalLinear as DiagonalLinear,
    TwoLayerReLU as TwoLayerReLU,
)
from ._stability_sweep import StabilitySweep as StabilitySweep, SweepTable as SweepTable
from ._stability_tests import (
    FrobeniusTest as FrobeniusTest,
    GradientDescentTest as GradientDescentTest,
    SimulateLinearised as SimulateLinearised,
    TraceTest as TraceTest,
)
from ._stability_threshold import mean_square_threshold as mean_square_threshold
from ._stability_training import SGDTraining as SGDTraining
from ._stability_value import Stability as Stability
from ._world import (
    AbstractWorld as AbstractWorld,
    LinearOverField as LinearOverField,
    RandomLabelling as RandomLabelling,
)
from ._world_family import FiniteFamily as FiniteFamily

sys.modules[__name__].__class__ = _CallableRoom
