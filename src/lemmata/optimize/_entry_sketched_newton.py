"""The catalogue's page on sketched Newton methods with constraints: data only."""

from lemmata.catalogue import ClaimEntry, Data, Entry, Method, Option, Paper, Problem

_KIND = "optimize.equality_constrained/1"
_SOLVES = (_KIND,)

_PROBLEM = Problem(
    "EqualityConstrained",
    _KIND,
    "smooth function under equality constraints, neither needs to be convex",
    (
        Data("x0", "start, (n,); a named problem has its own", False),
        Data("multipliers0", "first multipliers, (m,); left out: zero", False),
        Data("features", "of program=logistic: one row per observation, (k, d)", False),
        Data("labels", "of program=logistic: 1 or -1, (k,)", False),
        Data("matrix", "of program=logistic: A in A x = b; left out: random", False),
        Data("rhs", "of program=logistic: b in A x = b", False),
        Data("target", "of program=pde: wanted state, (n, n)", False),
        Data("weight", "of program=pde: price of the control", False),
    ),
    (
        Option(
            "program",
            "str | dict",
            "",
            "HS7, BT3, ... (see hock_schittkowski_names), pde, logistic; or recorded "
            "operations",
        ),
        Option("kkt_tol", "float", "1e-06", "KKT residual allowed"),
        Option(
            "gap_tol",
            "float",
            "1e-08",
            "allowed width of the enclosure of the minimum, relative to max(1, |f|)",
        ),
    ),
)

_ATOL = Option(
    "atol", "float | None", "None", "KKT residual to stop at; None: half kkt_tol"
)
_OUTER = (
    Option("max_outer", "int", "10000", "steps after which it gives up"),
    Option("max_halvings", "int", "50", "halvings of one step"),
)
_PENALTIES = (
    Option("eta1", "float", "1.0", "first penalty on constraints, > 0"),
    Option("eta2", "float", "0.1", "first penalty on the gradient of L, > 0"),
)
_XI = Option("xi", "float", "0.1", "added to the norm of a Hessian that is modified")
_BETA = Option("beta", "float", "0.1", "Armijo's share, in (0, 1/2)")
_NU = Option("nu", "float", "1.5", "factor by which penalties grow, > 1")
_FLOOR = Option(
    "curvature_floor",
    "float",
    "1e-06",
    "reduced curvature below which the Hessian is modified",
)
_ABOUT_LICQ = "least eigenvalue of G G^T below which constraints count as dependent"
_RECORD = Option("record", "int", "256", "steps whose iterates are kept for the judge")


def _krylov(restart: str, cycles: str) -> tuple[Option, ...]:
    return (
        Option("restart", "int", restart, "length of a GMRES cycle"),
        Option("max_cycles", "int", cycles, "cycles of one linear solve"),
    )


_METHODS = (
    Method(
        "SketchedNewton",
        "Newton steps solved from a few random rows of the KKT matrix at a time",
        _SOLVES,
        (
            Option(
                "sketch",
                "RowBlock | Kaczmarz | WeightedKaczmarz | GaussianVector | "
                "GaussianBlock | CountSketch",
                "RowBlock()",
                "which rows, or combinations of rows, one sketch step takes",
            ),
            Option(
                "accuracy",
                "DescentAccuracy | TheoryAccuracy",
                "DescentAccuracy()",
                "when an inner solve may stop",
            ),
            Option(
                "kkt",
                "StoredKKT | MatrixFreeKKT",
                "StoredKKT()",
                "KKT matrix in memory, or its rows as Hessian-vector products",
            ),
            Option("equilibrate", "bool", "True", "scale the KKT matrix first"),
            Option("superlinear", "bool", "True", "tighten as the residual falls"),
            *_PENALTIES,
            Option("delta", "float", "0.1", "first accuracy, in (0, 1)"),
            _XI,
            _BETA,
            _NU,
            _FLOOR,
            Option("licq_floor", "float", "1e-10", _ABOUT_LICQ),
            _ATOL,
            Option(
                "max_inner",
                "int | None",
                "None",
                "sketch steps of one solve; None: 100,000, a million for vectors",
            ),
            *_OUTER,
            _RECORD,
        ),
    ),
    Method(
        "ExactNewton",
        "the same steps with one factorisation of the KKT matrix each",
        _SOLVES,
        (
            *_PENALTIES,
            _XI,
            _BETA,
            _NU,
            _FLOOR,
            Option("licq_floor", "float", "1e-10", _ABOUT_LICQ),
            _ATOL,
            *_OUTER,
            _RECORD,
        ),
        baseline=True,
    ),
    Method(
        "AugmentedLagrangian",
        "augmented Lagrangian, subproblems by Newton and GMRES",
        _SOLVES,
        (
            Option("penalty", "float", "1.0", "first penalty, > 0"),
            Option("growth", "float", "1.5", "its factor per update, > 1"),
            Option("subproblem", "float", "0.1", "first accuracy of a subproblem"),
            Option("shrink", "float", "0.1", "factor of that accuracy, in (0, 1)"),
            Option("kappa", "float", "0.0001", "accuracy of the linear systems"),
            _BETA,
            _ATOL,
            *_krylov("20", "5000"),
            *_OUTER,
        ),
        baseline=True,
    ),
    Method(
        "InexactL1SQP",
        "sequential quadratic programming, GMRES stopped by two tests",
        _SOLVES,
        (
            Option("penalty", "float", "1.0", "first penalty, > 0"),
            Option("kappa", "float", "1.0", "first test's bound on the dual residual"),
            Option("kappa1", "float", "0.1", "first test's bound on the primal one"),
            Option("epsilon", "float", "0.1", "in (0, 1)"),
            Option("tau", "float", "0.1", "in (0, 1)"),
            Option("armijo", "float", "1e-08", "Armijo's share, in (0, 1/2)"),
            _XI,
            _FLOOR,
            Option("licq_floor", "float", "1e-06", _ABOUT_LICQ),
            _ATOL,
            *_krylov("7", "50000"),
            *_OUTER,
        ),
        baseline=True,
    ),
    Method(
        "AdaptiveL1SQP",
        "sequential quadratic programming, penalty and accuracy adapted",
        _SOLVES,
        (
            Option("penalty", "float", "1.0", "first penalty, > 0"),
            Option("kappa", "float", "0.1", "first accuracy of the linear systems"),
            _NU,
            Option("armijo", "float", "1e-08", "Armijo's share, in (0, 1/2)"),
            _XI,
            _FLOOR,
            Option("licq_floor", "float", "1e-06", _ABOUT_LICQ),
            _ATOL,
            *_krylov("20", "5000"),
            *_OUTER,
        ),
        baseline=True,
    ),
)

_COLUMNS = (
    Option(
        "columns", "int | None", "None", "how many; None: a quarter, at least three"
    ),
)

_PARTS = (
    Method("RowBlock", "several different rows, uniformly", (), _COLUMNS),
    Method("Kaczmarz", "one row, uniformly", ()),
    Method("WeightedKaczmarz", "one row, more often where its norm is large", ()),
    Method("GaussianVector", "one random combination of all rows", ()),
    Method("GaussianBlock", "several random combinations of all rows", (), _COLUMNS),
    Method("CountSketch", "rows added up in random buckets", (), _COLUMNS),
    Method("DescentAccuracy", "as accurate as the tested descent asks for", ()),
    Method("TheoryAccuracy", "the theorem's bound: far more accurate than needed", ()),
    Method("StoredKKT", "Hessian and Jacobian formed, rows read from memory", ()),
    Method(
        "MatrixFreeKKT",
        "no Hessian: rows are Hessian-vector products",
        (),
        (
            Option("lanczos", "int", "30", "steps for the least curvature"),
            Option("probes", "int", "16", "random signs for the norms"),
        ),
    ),
)

_CLAIMS = (
    ClaimEntry("optimize.kkt/1", "stationary and feasible to the tolerance"),
    ClaimEntry(
        "optimize.strict_minimum/1",
        "curvature is positive along the constraints: no saddle, no maximiser",
        "m = n, or curvature is zero to rounding",
    ),
    ClaimEntry(
        "optimize.global_minimum/1",
        "the minimum of a convex quadratic with affine constraints is enclosed",
        "f is not quadratic, c not affine, or f not strictly convex along them",
    ),
    ClaimEntry(
        "optimize.kkt_exists/1",
        "exactly one true KKT point lies within the radius",
        "the KKT matrix is too near a singular one",
    ),
    ClaimEntry(
        "optimize.descent/1",
        "every accepted step was a descent step of the merit function",
        "steps were not recorded",
    ),
    ClaimEntry(
        "optimize.projection/1",
        "sketch steps drawn by the judge are orthogonal projections",
        "no sketch step was recorded",
    ),
    ClaimEntry(
        "optimize.local_rate/1",
        "the last steps converged as fast as the theorem says",
        "too few full steps at the end",
    ),
)

ENTRIES = (
    Entry(
        slug="optimize-sketched-newton",
        title="Constrained minimisation with sketched Newton steps",
        question="How do I minimise under equality constraints when factorising the "
        "KKT matrix is too dear?",
        paper=Paper(
            key="hong2023sketched",
            title="Constrained Optimization via Exact Augmented Lagrangian and "
            "Randomized Iterative Sketching",
            authors="I. Hong, S. Na, M. W. Mahoney, M. Kolar",
            venue="ICML 2023",
            arxiv="2305.18379",
        ),
        problems=(_PROBLEM,),
        methods=_METHODS,
        parts=_PARTS,
        claims=_CLAIMS,
        example="lemmata.optimize._example_sketched_newton:sketched_newton",
        study="lemmata.studies.optimize_sketched_newton",
        benchmark="optimize_sketched_newton.py",
    ),
)
