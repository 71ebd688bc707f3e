"""What both pages of this room share: the base problem, its methods, their parts."""

from lemmata.catalogue import ClaimEntry, Data, Method, Option, Problem

SYSTEM, GRID = "linear.spd_system/1", "linear.grid_poisson/1"
KINDS = (SYSTEM, GRID)

RTOL = Option(
    "rtol",
    "float",
    "1e-08",
    "residual allowed, as a share of the right-hand side, in both norms; in (0, 1)",
)
RHS = Data("rhs", "right-hand side, shape (n,)")
OPERATOR = (
    Data("operator", "A, dense or a Matrix Market file; or in compressed rows", False),
    Data("operator_data", "entries of A, row by row, shape (nnz,)", False),
    Data("operator_indices", "their columns, int64, shape (nnz,)", False),
    Data("operator_indptr", "where each row begins, int64, shape (n + 1,)", False),
)

PROBLEMS = (
    Problem(
        "SPDSystem",
        SYSTEM,
        "A x = b, A symmetric positive definite",
        (
            *OPERATOR,
            RHS,
            Data(
                "positive_vector",
                "v > 0 with A v > 0, shape (n,), for a bound on the error",
                False,
            ),
        ),
        (RTOL,),
    ),
)

_RELAXATION = Option("relaxation", "float", "1.0", "in (0, 2)")
_STATIONARY = (
    _RELAXATION,
    Option("max_sweeps", "int", "100000", "sweeps after which it gives up"),
)
_PRECONDITIONERS = (
    "Jacobi | Identity | SymmetricSOR | IncompleteCholesky | AlgebraicMultigrid"
)

CONJUGATE_GRADIENTS = Method(
    "ConjugateGradients",
    "preconditioned conjugate gradients that stop on the true residual",
    KINDS,
    (
        Option(
            "preconditioner", _PRECONDITIONERS, "Jacobi()", "what stands for A^{-1}"
        ),
        Option(
            "enclose", "bool", "False", "solve A v = 1 too, for a bound on the error"
        ),
        Option(
            "patience",
            "int | None",
            "None",
            "iterations without progress before it gives up; None: 10 n + 200",
        ),
    ),
    baseline=True,
)

METHODS = (
    CONJUGATE_GRADIENTS,
    Method(
        "SOR",
        "successive over-relaxation, in the order of the unknowns",
        KINDS,
        _STATIONARY,
        baseline=True,
    ),
    Method(
        "SSOR",
        "symmetric successive over-relaxation: a sweep down and one up",
        KINDS,
        _STATIONARY,
        baseline=True,
    ),
)

PARTS = (
    Method("Identity", "no preconditioning", ()),
    Method("Jacobi", "division by the diagonal", ()),
    Method("SymmetricSOR", "a sweep down and one up, from zero", (), (_RELAXATION,)),
    Method(
        "IncompleteCholesky",
        "factors of A on A's own pattern",
        (),
        (
            Option(
                "modified", "bool", "False", "keep row sums: dropped entries go there"
            ),
        ),
    ),
    Method(
        "AlgebraicMultigrid",
        "one V-cycle of classical algebraic multigrid, by PyAMG (extra `amg`)",
        (),
        (
            Option("smoothing", "int", "1", "sweeps before and after each correction"),
            Option("strength", "float", "0.25", "share below which couplings are weak"),
        ),
    ),
)

CLAIMS = (
    ClaimEntry(
        "linear.residual/1",
        "the residual in the Euclidean norm, as a share of the right-hand side",
        "the operator is a function",
    ),
    ClaimEntry(
        "linear.residual_max/1",
        "the same in the maximum norm",
        "the operator is a function",
    ),
    ClaimEntry(
        "linear.error_bound/1",
        "distance to the exact solution, as a share of the answer",
        "nothing at hand shows how far the least eigenvalue is from zero",
    ),
    ClaimEntry(
        "linear.recorded_residual/1",
        "the residual by a recorded evaluation, where the operator is a function",
        "the operator is stored, or the function did not travel",
    ),
)
