"""The catalogue's page on streams of systems and learned relaxation: data only."""

from lemmata.catalogue import ClaimEntry, Data, Entry, Method, Option, Paper, Problem

from ._entry_common import CLAIMS, METHODS, PARTS, PROBLEMS

_SEQUENCE, _SHIFTED = "linear.sequence/1", "linear.shifted_sequence/1"
_HEAT, _AUDIT = "linear.heat_equation/1", "linear.relaxation_audit/1"
_TABLE = "linear.relaxation_table/1"
_STREAMS = (_SEQUENCE, _SHIFTED, _HEAT)

_RTOL = Option("rtol", "float", "1e-08", "residual allowed, as a share of a reference")
_CRITERIA = "'initial' | 'rhs' | 'absolute'"
_CRITERION = "what the residual is measured against: the first one, b, or 1"
_WARM = "iterations begin at the last solution instead of zero"
_MATRIX = (
    Data("operator", "A, dense or a Matrix Market file; or in compressed rows", False),
    Data("operator_data", "entries of A, row by row, shape (nnz,)", False),
    Data("operator_indices", "their columns, int64, shape (nnz,)", False),
    Data("operator_indptr", "where each row begins, int64, shape (n + 1,)", False),
)

_PROBLEMS = (
    Problem(
        "ShiftedSequence",
        _SHIFTED,
        "one matrix under changing, known diagonal shifts",
        (
            *_MATRIX,
            Data("shifts", "the shifts, shape (T,)"),
            Data("rhs", "right-hand sides, shape (T, n)"),
        ),
        (
            _RTOL,
            Option("criterion", _CRITERIA, "InitialResidual()", _CRITERION),
            Option(
                "unshifted_radius",
                "float | None",
                "None",
                "Jacobi radius of the unshifted matrix, if known",
            ),
        ),
    ),
    Problem(
        "LinearSequence",
        _SEQUENCE,
        "recorded systems of one sparsity pattern",
        (
            Data("operator_data", "entries of every system, shape (T, nnz)"),
            Data("operator_indices", "their columns, int64, shape (nnz,)"),
            Data("operator_indptr", "where each row begins, int64, shape (n + 1,)"),
            Data("rhs", "right-hand sides, shape (T, n)"),
            Data("context", "a number known of each system, shape (T,)", False),
        ),
        (
            _RTOL,
            Option("criterion", _CRITERIA, "InitialResidual()", _CRITERION),
            Option("warm_start", "bool", "False", _WARM),
            Option("interval", "list[float] | None", "None", "where contexts lie"),
        ),
    ),
    Problem(
        "HeatEquation2D",
        _HEAT,
        "the heat equation on the unit square by Crank-Nicolson",
        (
            Data("diffusion", "diffusion coefficient at mid-steps, shape (T,)"),
            Data("initial", "temperature at inner grid points, shape (n,)", False),
            Data("forcing", "heat source at mid-steps, shape (T, n)", False),
            Data("bump_centres", "centres of a moving source, shape (T, 2)", False),
            Data("context", "what policies are told, shape (T,)", False),
        ),
        (
            Option("nx", "int", "", "intervals along a side, >= 2"),
            Option("dt", "float", "", "length of a step, > 0"),
            _RTOL,
            Option("criterion", _CRITERIA, "RightHandSide()", _CRITERION),
            Option("warm_start", "bool", "True", _WARM),
            Option("bump_radius", "float | None", "None", "of a moving source"),
            Option("bump_height", "float | None", "None", "of a moving source"),
        ),
    ),
    Problem(
        "RelaxationAudit",
        _AUDIT,
        "a small system on which theory is held against iteration counts",
        (
            *_MATRIX,
            Data("rhs", "right-hand side, shape (n,)"),
            Data("relaxation", "relaxations to try, shape (m,)"),
        ),
        (_RTOL,),
    ),
    Problem(
        "RelaxationTable",
        _TABLE,
        "what every relaxation costs on every system, to compare policies on",
        (
            Data("counts", "iterations, int64, shape (T, d)"),
            Data("relaxation", "the relaxations, shape (d,)"),
            Data("context", "a number known of each system, shape (T,)", False),
            Data("optimal", "iterations at Young's relaxation, shape (T,)", False),
            Data("radius", "Jacobi radius of each system, shape (T,)", False),
        ),
        (
            Option(
                "bound", "float | None", "None", "K, at least every count minus one"
            ),
            Option("tau", "float | None", "None", "for the surrogate's bound"),
            Option("rtol", "float | None", "None", "for the surrogate's bound"),
        ),
    ),
)

_METHODS = (
    Method(
        "LearnedRelaxation",
        "solves one system per step; a policy picks its relaxation from earlier counts",
        _STREAMS,
        (
            Option("solver", "SOR | SSOR | SSORPCG", "", "the iteration"),
            Option("policy", "AbstractPolicy", "", "what picks the relaxation"),
            Option(
                "cap", "int", "10000", "iterations after which a system is given up"
            ),
        ),
    ),
    Method(
        "MeasureCounts",
        "counts iterations at every relaxation audited",
        (_AUDIT,),
        (Option("cap", "int", "100000", "iterations after which a run is given up"),),
    ),
    Method(
        "PlayPolicy",
        "plays a policy over a table of costs, many times",
        (_TABLE,),
        (
            Option("policy", "AbstractPolicy", "", "what picks the relaxation"),
            Option("trials", "int", "8", "how often"),
            Option("window", "int", "500", "rounds at the end that are compared"),
        ),
    ),
)

_ARMS = Option(
    "arms",
    "int | list[float]",
    "20",
    "the grid of relaxations; a count means so many on [1, 1.95]",
)
_SCALE = Option(
    "scale", "float | None", "None", "bound on the iterations; None: their running mean"
)
_INTERVAL = Option("interval", "tuple[float, ...]", "", "where contexts lie, (a, b)")

_POLICIES = (
    Method(
        "TsallisINF",
        "one bandit over a grid of relaxations; needs no context",
        (),
        (_ARMS, _SCALE),
    ),
    Method(
        "BinnedTsallisINF",
        "a bandit of its own for each bin of the context",
        (),
        (
            _INTERVAL,
            _ARMS,
            Option("bins", "int", "5", "bins of equal width"),
            _SCALE,
        ),
    ),
    Method(
        "ChebCB",
        "predicts each arm's cost by a Chebyshev regression on the context",
        (),
        (
            _INTERVAL,
            _ARMS,
            Option("degree", "int", "6", "Chebyshev polynomials used, >= 1"),
        ),
    ),
    Method(
        "FixedRelaxation",
        "the same relaxation for every system",
        (),
        (Option("relaxation", "float", "1.0", "in (0, 2)"),),
        baseline=True,
    ),
    Method(
        "YoungRelaxation",
        "Young's best relaxation from the Jacobi radius",
        (),
        (
            Option(
                "radius", "float | None", "None", "one for all; None asks the stream"
            ),
        ),
        baseline=True,
    ),
    Method(
        "GoldenSection",
        "the best relaxation for each system in hindsight; not to be had online",
        (),
        (
            Option("arms", "int | list[float]", "5", "seeds of the search"),
            Option("evaluations", "int", "12", "solves after those of the seeds"),
        ),
        baseline=True,
    ),
    Method(
        "ExploreThenCommit",
        "each arm in turn for a while, then the best of them for ever",
        (),
        (_ARMS, Option("pulls", "int", "5", "how often each arm is tried")),
        baseline=True,
    ),
    Method(
        "EXP3", "exponential weights over the grid", (), (_ARMS, _SCALE), baseline=True
    ),
)

_SOLVERS = (
    *(
        Method(method.name, method.about, (), method.options)
        for method in METHODS
        if method.name in ("SOR", "SSOR")
    ),
    Method(
        "SSORPCG",
        "conjugate gradients preconditioned by SSOR",
        (),
        (
            Option(
                "eisenstat", "bool", "False", "two triangular solves, no product by A"
            ),
        ),
    ),
)

_CRITERIA_PARTS = (
    Method("InitialResidual", "relative to the first residual", ()),
    Method("RightHandSide", "relative to the right-hand side", ()),
    Method("Absolute", "in the units of the right-hand side", ()),
)

_CLAIMS = (
    ClaimEntry(
        "linear.sequence_residual/1",
        "every system of the stream is solved to the tolerance",
    ),
    ClaimEntry(
        "linear.ftrl_trace/1",
        "the log is one of the algorithm: weights, draws and arms fit together",
        "no round was played, or the policy is another",
    ),
    ClaimEntry(
        "linear.young_optimum/1",
        "Young's best relaxation and spectral radii, enclosed",
        "the rows are not consistently ordered",
    ),
    ClaimEntry(
        "linear.sor_surrogate/1",
        "SOR's counts stay below the surrogate that the theory works with",
        "the rows are not consistently ordered, or a count is one",
    ),
    ClaimEntry(
        "linear.cg_bound/1",
        "counts of SSOR-preconditioned conjugate gradients obey their bound",
    ),
    ClaimEntry(
        "linear.regret_fixed/1",
        "regret to the best fixed relaxation, as a share of the theorem's bound",
    ),
    ClaimEntry(
        "linear.contextual/1",
        "in the end ChebCB costs little more than Young's relaxation for each system",
        "another policy, or Young's costs are unknown",
    ),
)

_LEARNING_TO_RELAX = Entry(
    slug="linear-learning-to-relax",
    title="Learning to relax",
    question="How do I solve thousands of related systems, and who tunes the solver?",
    paper=Paper(
        key="khodak2024learning",
        title="Learning to Relax: Setting Solver Parameters Across a Sequence of "
        "Linear System Instances",
        authors="M. Khodak, E. Chow, M.-F. Balcan, A. Talwalkar",
        venue="ICLR 2024",
        arxiv="2310.02246",
    ),
    problems=(*PROBLEMS, *_PROBLEMS),
    methods=(*METHODS, *_METHODS),
    parts=(*PARTS, *_SOLVERS, *_POLICIES, *_CRITERIA_PARTS),
    claims=(*CLAIMS, *_CLAIMS),
    example="lemmata.linear._example_learning_to_relax:learning_to_relax",
    study="lemmata.studies.linear_learning_to_relax",
    benchmark="linear_learning_to_relax.py",
)

ENTRIES = (_LEARNING_TO_RELAX,)
