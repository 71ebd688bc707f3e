"""The catalogue's page on this room: data only."""

from lemmata.catalogue import ClaimEntry, Data, Entry, Method, Option, Paper, Problem

_COST_DATA = (
    Data("cost", "cost matrix, shape (n, m); or give two point clouds", False),
    Data("source_points", "points of the source, one per row, shape (n, d)", False),
    Data("target_points", "points of the target, one per row, shape (m, d)", False),
    Data("source", "weights of the source, shape (n,); uniform if left out", False),
    Data("target", "weights of the target, shape (m,); uniform if left out", False),
)
_METRIC = (
    Option(
        "metric",
        "'sqeuclidean' | 'euclidean' | 'cityblock'",
        "'sqeuclidean'",
        "cost between points, where point clouds are given",
    ),
    Option("cost_scale", "float", "1.0", "factor on the cost between points"),
)
_GAP_TOL = Option(
    "gap_tol",
    "float",
    "1e-08",
    "allowed width of the enclosure, as a share of max C - min C",
)
_MARGINAL_TOL = Option(
    "marginal_tol",
    "float | None",
    "None",
    "allowed L1 violation of the marginals; None: the checker's own rounding",
)
_ATOL = Option("atol", "float", "1e-10", "stops at this L1 marginal error")
_SCHEDULES = "OnStall | Geometric | None"
_ENTROPIC, _OPTIMAL = "transport.entropic/1", "transport.optimal/1"

_PROBLEMS = (
    Problem(
        "EntropicTransport",
        _ENTROPIC,
        "least cost of matching two distributions, minus epsilon times the entropy",
        _COST_DATA,
        (
            Option("epsilon", "float", "", "regularisation, > 0, in units of the cost"),
            _GAP_TOL,
            _MARGINAL_TOL,
            *_METRIC,
        ),
    ),
    Problem(
        "OptimalTransport",
        _OPTIMAL,
        "least cost of matching two distributions, exactly",
        _COST_DATA,
        (_GAP_TOL, _MARGINAL_TOL, *_METRIC),
    ),
)

_NEWTON = (
    Option("n_warm", "int", "20", "Sinkhorn sweeps before the first Newton step"),
    Option("n_newton", "int", "100", "Newton steps after which a stage gives up"),
)
_INTERLEAVE = Option("interleave", "bool", "True", "a sweep before every Newton step")
_ANNEALING = Option(
    "annealing", _SCHEDULES, "OnStall()", "when epsilon is approached from above"
)

_METHODS = (
    Method(
        "SinkhornNewton",
        "Sinkhorn sweeps, then Newton steps with a sparsified Hessian",
        (_ENTROPIC,),
        (
            *_NEWTON,
            Option(
                "sparsify",
                "TailMass | FixedSparsity",
                "TailMass()",
                "which entries of the plan a Newton step keeps",
            ),
            _INTERLEAVE,
            _ANNEALING,
            _ATOL,
            Option("cg_max_steps", "int | None", "None", "bound on inner iterations"),
            Option(
                "widest",
                "int | None",
                "None",
                "longest kept row that is stored sparsely; None: a tenth",
            ),
        ),
    ),
    Method(
        "Sinkhorn",
        "alternating exact updates; costs too large to store are computed in blocks",
        (_ENTROPIC,),
        (
            _ATOL,
            Option(
                "relaxation",
                "float | AdaptiveRelaxation",
                "1.0",
                "over-relaxation in (0, 2), or chosen from the observed rate",
            ),
            Option("check_every", "int", "10", "sweeps per step"),
            Option("max_sweeps", "int", "100000", "sweeps after which it gives up"),
        ),
        baseline=True,
    ),
    Method(
        "DenseNewton",
        "Newton steps with the full Hessian, by Cholesky",
        (_ENTROPIC,),
        (*_NEWTON, _INTERLEAVE, _ANNEALING, _ATOL),
        baseline=True,
    ),
    Method(
        "LinearProgram",
        "the linear program by HiGHS, or an assignment code where it is one",
        (_OPTIMAL,),
        baseline=True,
    ),
)

_PARTS = (
    Method(
        "TailMass",
        "drops at most min(cap, factor * error) of the mass: superlinear",
        (),
        (
            Option("cap", "float", "0.01", "most mass ever dropped"),
            Option("factor", "float", "0.1", "share of the marginal error dropped"),
        ),
    ),
    Method(
        "FixedSparsity",
        "keeps a fixed share of the plan's entries, as in the paper: linear",
        (),
        (Option("density", "float", "", "share of the plan's entries kept"),),
    ),
    Method(
        "Geometric",
        "anneals from the start: epsilon falls by a factor",
        (),
        (
            Option("factor", "float", "2.0", "ratio of successive epsilons, > 1"),
            Option("start", "float", "20.0", "first range(C) / epsilon"),
            Option("loose", "float", "0.01", "error at which a level is left"),
        ),
    ),
    Method(
        "OnStall",
        "anneals once the Newton stage has stalled",
        (),
        (Option("schedule", "Geometric", "Geometric()", "the schedule then used"),),
    ),
    Method(
        "AdaptiveRelaxation",
        "plain sweeps until their rate has settled, then the best relaxation for it",
        (),
        (
            Option(
                "settled", "float", "0.02", "relative change that counts as settled"
            ),
            Option("largest", "float", "1.98", "upper bound on the relaxation, < 2"),
        ),
    ),
)

_MARGINALS = ClaimEntry(
    "transport.marginals/1", "the plan is non-negative and has the marginals asked for"
)

_SINKHORN_NEWTON = Entry(
    slug="transport-sinkhorn-newton",
    title="Sinkhorn-Newton-Sparse",
    question="How do I match two distributions to high accuracy, and know the cost?",
    paper=Paper(
        key="tang2024sinkhornnewton",
        title="Accelerating Sinkhorn Algorithm with Sparse Newton Iterations",
        authors="X. Tang, M. Shavlovsky, H. Rahmanian, E. Tardini, K. Thekumparampil, "
        "T. Xiao, L. Ying",
        venue="ICLR 2024",
        arxiv="2401.12253",
    ),
    problems=_PROBLEMS,
    methods=_METHODS,
    parts=_PARTS,
    claims=(
        _MARGINALS,
        ClaimEntry(
            "transport.entropic_enclosure/1",
            "two-sided enclosure of the regularised cost, as narrow as asked for",
        ),
        ClaimEntry(
            "transport.transport_enclosure/1",
            "two-sided enclosure of the unregularised cost, as narrow as theory allows",
        ),
        ClaimEntry(
            "transport.optimality_gap/1",
            "the plan's cost is within the gap of the best, by feasible duals",
            "the problem has entropy",
        ),
        ClaimEntry(
            "transport.hessian_sparsity/1",
            "the plan's mass lies on the best assignment up to the theorem's bound",
            "not a uniform assignment, or the theorem says nothing there",
        ),
        ClaimEntry(
            "transport.superlinear/1",
            "the marginal error falls faster than linearly at the end",
            "the run did not go far enough to show a rate, or keeps a fixed share",
        ),
        ClaimEntry(
            "transport.ascent/1",
            "the dual never falls from step to step",
            "no two steps",
        ),
    ),
    example="lemmata.transport._examples:sinkhorn_newton",
    study="lemmata.studies.transport_sinkhorn_newton",
    benchmark="transport_sinkhorn_newton.py",
)

_SPARSE, _ROUTING = "transport.sparse/1", "transport.routing/1"

_SPARSE_PROBLEMS = (
    Problem(
        "SparseTransport",
        _SPARSE,
        "least cost of matching with at most cap partners for every target (or source)",
        _COST_DATA,
        (
            Option("gamma", "float", "", "quadratic regularisation, > 0"),
            Option("cap", "int", "", "most non-zeros in a column (row, by axis)"),
            Option("axis", "'columns' | 'rows'", "'columns'", "which side is capped"),
            Option(
                "gap_tol",
                "float",
                "1e-05",
                "allowed gap to the global optimum, as a share of max C - min C",
            ),
            _MARGINAL_TOL,
            *_METRIC,
        ),
    ),
    Problem(
        "Routing",
        _ROUTING,
        "tokens to experts of limited room, as in a sparse mixture of experts",
        (Data("logits", "affinity of tokens (rows) and experts, shape (m, n)"),),
        (Option("cap", "int", "", "tokens that one expert's buffer holds"),),
    ),
)

_ASCENT = (
    Option("optimizer", "LBFGS | Adam", "LBFGS()", "what climbs the dual"),
    Option("path", "Halving | Direct", "Halving()", "which caps are climbed in turn"),
    Option(
        "recovery",
        "Polish | Selection",
        "Polish()",
        "which plan is returned: one whose rows are right, or the paper's T(alpha)",
    ),
)

_SPARSE_METHODS = (
    Method(
        "SemiDual",
        "maximises the semi-dual, then recovers a plan within the cap",
        (_SPARSE,),
        _ASCENT,
    ),
    Method(
        "Dual",
        "maximises the dual in both potentials, then recovers a plan",
        (_SPARSE,),
        _ASCENT,
    ),
    Method(
        "SparsityPath",
        "solves at every cap of a grid: the paper's limits, and what smoothness buys",
        (_SPARSE,),
        (
            Option("caps", "tuple[int, ...]", "(2, 4, 8, 16)", "increasing caps"),
            Option("rtol", "float", "0.001", "relative gap to which steps are counted"),
            Option("max_steps", "int", "600", "bound on the steps counted at one cap"),
        ),
    ),
    Method(
        "UnregularisedTransport",
        "a vertex of the transport polytope, cut to the cap",
        (_SPARSE,),
        baseline=True,
    ),
    Method(
        "QuadraticTransport",
        "quadratic transport without a cap, cut to it",
        (_SPARSE,),
        baseline=True,
    ),
    Method(
        "EntropicTopK",
        "entropic transport, cut to the cap",
        (_SPARSE,),
        (
            Option("epsilon", "float", "0.01", "entropic regularisation"),
            Option("max_steps", "int", "1000", "bound on the sweeps"),
        ),
        baseline=True,
    ),
    Method(
        "Route",
        "has a router decide (routers are layers, made in Python)",
        (_ROUTING,),
        (Option("router", "AbstractRouter", "", "SparseMatchingRouter(...), ..."),),
    ),
)

_SPARSE_PARTS = (
    Method(
        "LBFGS",
        "limited-memory quasi-Newton steps",
        (),
        (
            Option("memory", "int", "20", "pairs remembered"),
            Option("max_steps", "int", "1000", "bound on the steps at the last cap"),
        ),
    ),
    Method(
        "Adam",
        "first-order steps, as in a layer",
        (),
        (
            Option("learning_rate", "float", "0.01", "step length, > 0"),
            Option("max_steps", "int", "1000", "bound on the steps at the last cap"),
        ),
    ),
    Method(
        "Halving",
        "from no cap by halves down to the cap",
        (),
        (Option("steps", "int", "30", "bound on the steps at each cap but the last"),),
    ),
    Method("Direct", "only the cap itself", ()),
    Method(
        "Polish",
        "a plan within the cap whose rows are right, or as nearly as was found",
        (),
        (
            Option(
                "mixture",
                "Barrier | Averaging",
                "Barrier()",
                "how the optimal mixture of plans is found where top-k sets tie",
            ),
            Option("searches", "int", "3", "supports sought beyond the first"),
            Option("sweeps", "int", "150", "bound on the sweeps of one search"),
        ),
    ),
    Method("Selection", "T(alpha), optimal for its own row sums", ()),
    Method(
        "Barrier",
        "an interior point, exact to rounding",
        (),
        (
            Option("largest", "int", "1500", "points up to which it is used"),
            Option("after", "int", "30", "optimizer's steps before it takes over"),
        ),
    ),
    Method(
        "Averaging",
        "the mean plan over supergradient steps",
        (),
        (
            Option("steps", "int", "400", "how many"),
            Option("length", "float", "0.001", "of a step, in ranges of the cost"),
        ),
    ),
)

_SPARSITY_CONSTRAINED = Entry(
    slug="transport-sparsity-constrained",
    title="Sparsity-constrained transport",
    question="How do I match two distributions with at most k partners for each?",
    paper=Paper(
        key="liu2023sparsity",
        title="Sparsity-Constrained Optimal Transport",
        authors="T. Liu, J. Puigcerver, M. Blondel",
        venue="ICLR 2023",
        arxiv="2209.15466",
    ),
    problems=_SPARSE_PROBLEMS,
    methods=_SPARSE_METHODS,
    parts=_SPARSE_PARTS,
    claims=(
        ClaimEntry(
            "transport.cardinality/1", "no column has more non-zeros than the cap"
        ),
        ClaimEntry(
            "transport.sparse_marginals/1",
            "the plan has the marginals asked for (stated for both plans)",
        ),
        ClaimEntry(
            "transport.selection_optimality/1",
            "the selected plan is a global optimum for its own row sums",
        ),
        ClaimEntry(
            "transport.sparse_gap/1",
            "the returned plan is within the gap of the global optimum",
            "no plan within the cap with the right rows was found",
        ),
        ClaimEntry(
            "transport.sparse_lower_bound/1", "no plan within the cap costs less"
        ),
        ClaimEntry(
            "transport.limit_cases/1",
            "dual values fall along the caps from unregularised to quadratic transport",
            "not asked for: SparsityPath makes it",
        ),
        ClaimEntry(
            "transport.smoothness_tradeoff/1",
            "larger caps take fewer steps",
            "not asked for: SparsityPath makes it",
        ),
        ClaimEntry("transport.buffer/1", "no expert's buffer overflows"),
    ),
    example="lemmata.transport._examples:sparsity_constrained",
    study="lemmata.studies.transport_sparsity_constrained",
    benchmark="transport_sparsity_constrained.py",
)

ENTRIES = (_SINKHORN_NEWTON, _SPARSITY_CONSTRAINED)
