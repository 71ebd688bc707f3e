"""How do I match two distributions? Optimal transport whose answers are certified."""

from ._annealing import Geometric as Geometric, OnStall as OnStall
from ._cost import (
    AbstractCost as AbstractCost,
    Cityblock as Cityblock,
    Euclidean as Euclidean,
    MatrixCost as MatrixCost,
    PointCost as PointCost,
    SquaredEuclidean as SquaredEuclidean,
)
from ._dense_newton import DenseNewton as DenseNewton
from ._entropic import EntropicTransport as EntropicTransport
from ._implicit import potentials as potentials, regularised_cost as regularised_cost
from ._linear_program import LinearProgram as LinearProgram
from ._optimal import OptimalTransport as OptimalTransport
from ._optimizers import (
    LBFGS as LBFGS,
    AbstractOptimizer as AbstractOptimizer,
    Adam as Adam,
)
from ._plan import (
    DensePlan as DensePlan,
    SparseCoupling as SparseCoupling,
    TransportPlan as TransportPlan,
)
from ._router import (
    AbstractRouter as AbstractRouter,
    Dispatch as Dispatch,
    SparseMatchingRouter as SparseMatchingRouter,
    buffer_size as buffer_size,
)
from ._router_baselines import (
    AssignmentRouter as AssignmentRouter,
    ExpertChoiceRouter as ExpertChoiceRouter,
    SinkhornRouter as SinkhornRouter,
    TokenChoiceRouter as TokenChoiceRouter,
)
from ._routing import Route as Route, Routing as Routing
from ._semi_dual import Dual as Dual, SemiDual as SemiDual
from ._sinkhorn import AdaptiveRelaxation as AdaptiveRelaxation, Sinkhorn as Sinkhorn
from ._sinkhorn_newton import SinkhornNewton as SinkhornNewton
from ._sparse_baselines import (
    EntropicTopK as EntropicTopK,
    QuadraticTransport as QuadraticTransport,
    UnregularisedTransport as UnregularisedTransport,
)
from ._sparse_derivative import (
    implicit_plan as implicit_plan,
    matching_loss as matching_loss,
)
from ._sparse_options import (
    Averaging as Averaging,
    Barrier as Barrier,
    Direct as Direct,
    Halving as Halving,
    Polish as Polish,
    Selection as Selection,
)
from ._sparse_plan import SparsePlan as SparsePlan
from ._sparse_problem import SparseTransport as SparseTransport
from ._sparsify import FixedSparsity as FixedSparsity, TailMass as TailMass
from ._sparsity_path import SparsityPath as SparsityPath
from ._topk import TopK as TopK, topk_simplex as topk_simplex
