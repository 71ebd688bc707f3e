"""How do I solve A x = b again and again?"""

from ._baseline_policies import (
    EXP3 as EXP3,
    ExploreThenCommit as ExploreThenCommit,
    FixedRelaxation as FixedRelaxation,
    GoldenSection as GoldenSection,
    YoungRelaxation as YoungRelaxation,
)
from ._chebyshev_bandit import ChebCB as ChebCB
from ._conjugate_gradients import ConjugateGradients as ConjugateGradients
from ._criteria import (
    Absolute as Absolute,
    AbstractCriterion as AbstractCriterion,
    InitialResidual as InitialResidual,
    RightHandSide as RightHandSide,
)
from ._deep_conjugate_direction import (
    DeepConjugateDirection as DeepConjugateDirection,
)
from ._deflation import DeflatedPCG as DeflatedPCG
from ._direction_baselines import (
    FlexibleDirections as FlexibleDirections,
    NetworkOnly as NetworkOnly,
)
from ._direction_network import (
    AbstractDirections as AbstractDirections,
    DirectionNetwork as DirectionNetwork,
    PretrainedDirections as PretrainedDirections,
    ResidualDirections as ResidualDirections,
    SavedDirections as SavedDirections,
)
from ._direction_sizes import measure_sizes as measure_sizes
from ._direction_training import (
    DirectionTraining as DirectionTraining,
    TrainedDirections as TrainedDirections,
)
from ._function import LinearFunction as LinearFunction
from ._grid import AIR as AIR, FLUID as FLUID, SOLID as SOLID
from ._grid_poisson import GridPoisson as GridPoisson
from ._heat import (
    HeatEquation2D as HeatEquation2D,
    MovingBump as MovingBump,
    moving_heat_source as moving_heat_source,
)
from ._implicit import solution as solution
from ._incomplete_cholesky import IncompleteCholesky as IncompleteCholesky
from ._learned_relaxation import LearnedRelaxation as LearnedRelaxation
from ._linear_sequence import LinearSequence as LinearSequence
from ._multigrid import AlgebraicMultigrid as AlgebraicMultigrid
from ._pattern import CSRSystems as CSRSystems
from ._play_policy import PlayPolicy as PlayPolicy
from ._policy import (
    AbstractPolicy as AbstractPolicy,
    Choice as Choice,
    Round as Round,
)
from ._preconditioner import (
    AbstractPreconditioner as AbstractPreconditioner,
    Identity as Identity,
    Jacobi as Jacobi,
    Prepared as Prepared,
    SymmetricSOR as SymmetricSOR,
)
from ._problem import (
    AbstractLinearProblem as AbstractLinearProblem,
    LinearSolution as LinearSolution,
    SPDSystem as SPDSystem,
)
from ._relaxation_audit import (
    MeasureCounts as MeasureCounts,
    RelaxationAudit as RelaxationAudit,
    RelaxationCounts as RelaxationCounts,
)
from ._relaxation_table import (
    PlayedArms as PlayedArms,
    RelaxationTable as RelaxationTable,
    relaxation_table as relaxation_table,
)
from ._ritz import (
    Lanczos as Lanczos,
    RitzDataset as RitzDataset,
    SineModes as SineModes,
)
from ._sequence import (
    AbstractSequence as AbstractSequence,
    SequenceSolution as SequenceSolution,
    SequenceSystem as SequenceSystem,
)
from ._sequence_log import SequenceBroken as SequenceBroken, SequenceLog as SequenceLog
from ._shifted import (
    ShiftedSequence as ShiftedSequence,
    shifted_laplacian as shifted_laplacian,
    square_laplacian as square_laplacian,
)
from ._solve_sequence import solve_sequence as solve_sequence
from ._ssor_pcg import SSORPCG as SSORPCG
from ._stationary import SOR as SOR, SSOR as SSOR
from ._train_directions import (
    Adam as Adam,
    TrainDirections as TrainDirections,
    train_direction_network as train_direction_network,
)
from ._tsallis import BinnedTsallisINF as BinnedTsallisINF, TsallisINF as TsallisINF
