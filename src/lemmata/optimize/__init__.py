"""How do I minimise this with what I can afford? Minimisers that are certified."""

from ..numerics.sketch import (
    AbstractSketch as AbstractSketch,
    CountSketch as CountSketch,
    GaussianBlock as GaussianBlock,
    GaussianVector as GaussianVector,
    Kaczmarz as Kaczmarz,
    RowBlock as RowBlock,
    WeightedKaczmarz as WeightedKaczmarz,
)
from ._alternating import AlternatingLeastSquares as AlternatingLeastSquares
from ._augmented_lagrangian import AugmentedLagrangian as AugmentedLagrangian
from ._block_coordinate import BlockCoordinateDescent as BlockCoordinateDescent
from ._block_rules import validity_table as validity_table
from ._block_updates import (
    AbstractUpdate as AbstractUpdate,
    BacktrackingUpdate as BacktrackingUpdate,
    ExactUpdate as ExactUpdate,
    GradientUpdate as GradientUpdate,
    MatrixUpdate as MatrixUpdate,
    NewtonUpdate as NewtonUpdate,
    ProximalGradientUpdate as ProximalGradientUpdate,
    ProximalNewtonUpdate as ProximalNewtonUpdate,
    TwoMetricUpdate as TwoMetricUpdate,
)
from ._composite import (
    CompositeMinimiser as CompositeMinimiser,
    CompositeProblem as CompositeProblem,
)
from ._composite_implicit import (
    composite_minimiser as composite_minimiser,
    composite_minimum as composite_minimum,
)
from ._constrained import (
    ConstrainedPoint as ConstrainedPoint,
    EqualityConstrained as EqualityConstrained,
)
from ._constrained_logistic import ConstrainedLogistic as ConstrainedLogistic
from ._exact_newton import ExactNewton as ExactNewton
from ._forests import (
    Forest as Forest,
    forest_order as forest_order,
    solve_forest as solve_forest,
)
from ._gaussian_operator import GaussianOperator as GaussianOperator
from ._gradient_descent import (
    AcceleratedAsymmetricGradientDescent as AcceleratedAsymmetricGradientDescent,
    AsymmetricGradientDescent as AsymmetricGradientDescent,
    SymmetricGradientDescent as SymmetricGradientDescent,
)
from ._graph_forests import (
    greedy_forest as greedy_forest,
    independent_sets as independent_sets,
    lattice_combs as lattice_combs,
    tree_partition as tree_partition,
)
from ._graph_quadratic import GraphQuadratic as GraphQuadratic
from ._hock_schittkowski import (
    hock_schittkowski as hock_schittkowski,
    hock_schittkowski_names as hock_schittkowski_names,
)
from ._indexed_operators import (
    FourierOperator as FourierOperator,
    MaskOperator as MaskOperator,
)
from ._kkt import (
    AbstractKKT as AbstractKKT,
    MatrixFreeKKT as MatrixFreeKKT,
    StoredKKT as StoredKKT,
)
from ._l1_sqp import AdaptiveL1SQP as AdaptiveL1SQP, InexactL1SQP as InexactL1SQP
from ._losses import (
    AbstractLoss as AbstractLoss,
    LeastSquares as LeastSquares,
    Logistic as Logistic,
    Quadratic as Quadratic,
    Softmax as Softmax,
)
from ._low_rank import LowRank as LowRank
from ._matrix_sensing import MatrixSensing as MatrixSensing
from ._nuclear_norm import NuclearNormFISTA as NuclearNormFISTA
from ._partitions import (
    AbstractPartition as AbstractPartition,
    AveragedBlocks as AveragedBlocks,
    GivenBlocks as GivenBlocks,
    GreedyForest as GreedyForest,
    OrderedBlocks as OrderedBlocks,
    RedBlackBlocks as RedBlackBlocks,
    RowSumAveragedBlocks as RowSumAveragedBlocks,
    RowSumSortedBlocks as RowSumSortedBlocks,
    SortedBlocks as SortedBlocks,
    TreePartition as TreePartition,
    VariableBlocks as VariableBlocks,
)
from ._pde_control import PDEControl as PDEControl
from ._penalties import (
    L1 as L1,
    AbstractPenalty as AbstractPenalty,
    Box as Box,
    NonNegative as NonNegative,
    NonNegativeL1 as NonNegativeL1,
    Unpenalised as Unpenalised,
)
from ._planted_sensing import Planted as Planted
from ._recorded import RecordedFunction as RecordedFunction
from ._scaled_descent import ScaledGradientDescent as ScaledGradientDescent
from ._selection_parts import (
    CoordinateBound as CoordinateBound,
    Exhaustive as Exhaustive,
    HardThresholding as HardThresholding,
    RowSumBound as RowSumBound,
    SizeBound as SizeBound,
    TopDiagonal as TopDiagonal,
)
from ._selections import (
    GS as GS,
    GSD as GSD,
    GSL as GSL,
    GSQ as GSQ,
    AbstractSelection as AbstractSelection,
    CyclicSelection as CyclicSelection,
    LipschitzSampling as LipschitzSampling,
    MaximumImprovement as MaximumImprovement,
    RandomSelection as RandomSelection,
)
from ._sensing_derivative import recovered_matrix as recovered_matrix
from ._sensing_operators import (
    AbstractSensingOperator as AbstractSensingOperator,
    DenseOperator as DenseOperator,
    IdentityOperator as IdentityOperator,
    RankOneOperator as RankOneOperator,
)
from ._sensing_run_claims import symmetric_lower_bound as symmetric_lower_bound
from ._sensing_starts import (
    AbstractStart as AbstractStart,
    SmallRandomStart as SmallRandomStart,
    SpectralStart as SpectralStart,
)
from ._sensitivity import (
    optimal_value as optimal_value,
    stationary_point as stationary_point,
)
from ._sif2jax import CutestNotFound as CutestNotFound, from_sif2jax as from_sif2jax
from ._sketched_direction import (
    AbstractAccuracy as AbstractAccuracy,
    DescentAccuracy as DescentAccuracy,
    TheoryAccuracy as TheoryAccuracy,
)
from ._sketched_newton import SketchedNewton as SketchedNewton
