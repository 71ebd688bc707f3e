"""What does training converge to?"""

from ._attention_active_set import (
    DualActiveSet as DualActiveSet,
    max_margin_weights as max_margin_weights,
)
from ._attention_conic import ConicSVM as ConicSVM
from ._attention_descent import (
    GradientDescent as GradientDescent,
    NormalizedGradient as NormalizedGradient,
)
from ._attention_generalized import (
    GeneralizedDirection as GeneralizedDirection,
    GeneralizedSVM as GeneralizedSVM,
    generalized_direction as generalized_direction,
)
from ._attention_heads import (
    AbstractHead as AbstractHead,
    CallableHead as CallableHead,
    LinearHead as LinearHead,
    QuadraticHead as QuadraticHead,
    ReluHead as ReluHead,
)
from ._attention_parameters import (
    AbstractGradient as AbstractGradient,
    AbstractParameterization as AbstractParameterization,
    Factored as Factored,
    Joint as Joint,
    StableGradient as StableGradient,
    TextbookGradient as TextbookGradient,
)
from ._attention_path import RegularizationPath as RegularizationPath
from ._attention_selection import Selection as Selection, selection as selection
from ._attention_svm import AttentionSVM as AttentionSVM
from ._attention_training import AttentionTraining as AttentionTraining
from ._attention_value import (
    AttentionWeights as AttentionWeights,
    TrainedAttention as TrainedAttention,
)
from ._convex_relu import ConvexReLU as ConvexReLU
from ._nuclear_admm import NuclearADMM as NuclearADMM
from ._relu_admm import ADMM as ADMM
from ._relu_block_admm import RandomizedBlockADMM as RandomizedBlockADMM
from ._relu_block_step import (
    AbstractBlockStep as AbstractBlockStep,
    Backtracking as Backtracking,
    ClosedForm as ClosedForm,
)
from ._relu_conic import ConicSolver as ConicSolver
from ._relu_derivative import optimal_cost as optimal_cost
from ._relu_dual import dual_value as dual_value
from ._relu_generation import with_more_patterns as with_more_patterns
from ._relu_linear import (
    AbstractLinearSolver as AbstractLinearSolver,
    DenseCholesky as DenseCholesky,
    Woodbury as Woodbury,
)
from ._relu_network import ReLUNetwork as ReLUNetwork
from ._relu_newton import SemismoothNewton as SemismoothNewton
from ._relu_patterns import (
    AbstractPatterns as AbstractPatterns,
    Exact as Exact,
    Given as Given,
    Patterns as Patterns,
    Sampled as Sampled,
)
from ._relu_sampled_program import SampledConvexProgram as SampledConvexProgram
from ._relu_training import (
    FGSM as FGSM,
    PGD as PGD,
    AbstractAttack as AbstractAttack,
    AdversarialTraining as AdversarialTraining,
    BackPropagation as BackPropagation,
    attack_loss as attack_loss,
)
from ._robust_convex_relu import RobustConvexReLU as RobustConvexReLU
