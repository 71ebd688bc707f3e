"""The catalogue's page on two-layer ReLU networks: data only."""

from lemmata.catalogue import ClaimEntry, Data, Entry, Method, Option, Paper, Problem

_CONVEX, _ROBUST = "geometry.convex_relu/1", "geometry.robust_convex_relu/1"
_KINDS = (_CONVEX, _ROBUST)

_DATA = (
    Data("inputs", "samples, shape (n, d); append ones for biases"),
    Data("targets", "one number per sample, (n,); -1 or 1 unless loss is squared"),
    Data("patterns", "activation patterns, shape (P, n), 0 or 1", False),
    Data("pattern_bits", "the same, eight to a byte, as a certificate has them", False),
    Data("directions", "directions that have them, shape (P, d)", False),
)
_LOSS = "'squared' | 'hinge' | 'logistic'"
_OPTIONS = (
    Option("weight_decay", "float", "", "beta, > 0, beside the loss as it stands"),
    Option("logit_scale", "float", "1.0", "logistic: of the logit"),
    Option("pattern_count", "int", "30", "directions drawn for patterns"),
    Option("pattern_key", "int", "0", "names the stream of these draws"),
    Option("exact_patterns", "bool", "False", "all patterns there are, if few"),
)
_GAP = Option("gap_tol", "float", "1e-06", "allowed cost above the optimum, relative")
_NEWTON = (
    Option("first_step", "float", "1.0", "first proximal step, in the data's units"),
    Option("growth", "float", "5.0", "of the proximal step, per outer step"),
    Option("accuracy", "float", "0.3", "inner gradient that ends an outer step"),
)
_LOOK = Option("look_every", "int", "50", "steps between two looks at the gap")
_TRAINING = (
    Option("width", "int", "64", "hidden units"),
    Option("learning_rate", "float", "0.01", "of Adam"),
)

_METHODS = (
    Method(
        "SemismoothNewton",
        "tens of Newton steps to a certified gap",
        (_CONVEX,),
        _NEWTON,
    ),
    Method(
        "ADMM",
        "alternating directions, one factorisation",
        (_CONVEX,),
        (
            Option("penalty", "float", "1.0", "rho"),
            Option("dual_step", "float", "1.0", "of the scaled duals"),
            Option("relaxation", "float", "1.0", "over-relaxation, 1: none"),
            Option("balance", "bool", "False", "rho follows the residuals"),
            Option(
                "linear_solver",
                "Woodbury | DenseCholesky | None",
                "None",
                "None: the smaller system",
            ),
            _LOOK,
        ),
    ),
    Method(
        "RandomizedBlockADMM",
        "alternating directions whose u-update visits random blocks",
        (_CONVEX,),
        (
            Option("penalty", "float", "1.0", "rho"),
            Option("penalty_growth", "float", "0.0", "added to rho in each step"),
            Option("dual_step", "float", "1.0", "of the scaled duals"),
            Option("dual_decay", "float", "1.0", "of the dual step, per step"),
            Option(
                "block_step", "ClosedForm | Backtracking", "ClosedForm()", "of a visit"
            ),
            Option("threshold", "float", "1e-06", "decrease that ends a u-update"),
            Option("threshold_decay", "float", "0.96", "of it, per step"),
            _LOOK,
        ),
    ),
    Method(
        "SampledConvexProgram",
        "a lasso over sampled hidden units",
        (_CONVEX,),
        (
            Option("features", "int", "1000", "hidden units drawn"),
            Option("delta", "float", "0.001", "with which its claim may fail"),
            *_NEWTON,
        ),
    ),
    Method(
        "ConicSolver",
        "an interior-point solver on the whole program",
        _KINDS,
        (
            Option("solver", "str", "'clarabel'", "or scs"),
            Option("tol", "float", "1e-09", "of the solver"),
            Option("max_iterations", "int", "200", "of each call"),
            Option("time_limit", "float | None", "None", "of each call, in seconds"),
            Option("fallback", "bool", "True", "SCS where Clarabel fails"),
        ),
    ),
    Method(
        "BackPropagation",
        "Adam on the network itself",
        _KINDS,
        (*_TRAINING, Option("steps", "int", "2000", "full-batch steps")),
        baseline=True,
    ),
    Method(
        "AdversarialTraining",
        "Adam at attacked samples",
        (_ROBUST,),
        (
            Option("attack", "FGSM | PGD", "PGD()", "how samples are moved"),
            *_TRAINING,
            Option("steps", "int", "1000", "full-batch steps"),
        ),
        baseline=True,
    ),
)

_PARTS = (
    Method("Woodbury", "an n x n factor", ()),
    Method("DenseCholesky", "a factor of order 2Pd", ()),
    Method("ClosedForm", "minimises a quadratic upper bound", ()),
    Method(
        "Backtracking",
        "gradient steps of a searched length",
        (),
        (
            Option("first", "float", "0.0002", "first step"),
            Option("armijo", "float", "0.001", "share of the slope to gain"),
            Option("shrink", "float", "2.5", "of a refused step"),
            Option("grow", "float", "1.05", "of the base step after a block"),
            Option("back", "float", "1.5", "of the base step after a refusal"),
            Option("least", "float", "1e-08", "step"),
        ),
    ),
    Method("FGSM", "one full sign step", ()),
    Method(
        "PGD",
        "projected steps from a random start",
        (),
        (
            Option("steps", "int", "20", "of the attack"),
            Option("share", "float", "0.125", "of the radius, per step"),
        ),
    ),
)

_CONVEX_RELU = Entry(
    slug="geometry-convex-relu",
    title="Two-layer ReLU networks to global optimality",
    question="How far from the best network is mine, and what is the best one?",
    paper=Paper(
        key="bai2023efficient",
        title="Efficient Global Optimization of Two-Layer ReLU Networks: "
        "Quadratic-Time Algorithms and Adversarial Training",
        authors="Y. Bai, T. Gautam, S. Sojoudi",
        venue="SIAM Journal on Mathematics of Data Science 5, 2023",
        arxiv="2201.01965",
    ),
    problems=(
        Problem(
            "ConvexReLU",
            _CONVEX,
            "train a two-layer ReLU network to its global optimum",
            _DATA,
            (*_OPTIONS, Option("loss", _LOSS, "'squared'", "of predictions"), _GAP),
        ),
        Problem(
            "RobustConvexReLU",
            _ROBUST,
            "the same for the worst point of a ball around each sample",
            (*_DATA, Data("perturbed_columns", "what shifts may change, (d,)", False)),
            (
                *_OPTIONS,
                Option("loss", _LOSS, "'hinge'", "of predictions"),
                Option("radius", "float", "", "of the balls, > 0"),
                Option("ball", "'linf' | 'l2'", "'linf'", "its norm"),
            ),
        ),
    ),
    methods=_METHODS,
    parts=_PARTS,
    claims=(
        ClaimEntry("geometry.network_cost/1", "the network costs what it is said to"),
        ClaimEntry(
            "geometry.network_gap/1",
            "no network with these patterns is better by more than a share",
            "a network without a dual",
        ),
        ClaimEntry(
            "geometry.global_gap/1",
            "no network of any width is better by more than a share",
            "the patterns are not complete",
        ),
        ClaimEntry(
            "geometry.scenario_violation/1",
            "few unseen hidden units could improve the sampled program",
            "too few features for the samples",
        ),
        ClaimEntry(
            "geometry.residual_decay/1",
            "the residuals of the run fell geometrically",
            "too few residuals",
        ),
        ClaimEntry(
            "geometry.robust_loss/1",
            "no point of the balls has a higher loss than the program says",
        ),
    ),
    example="lemmata.geometry._example_convex_relu:convex_relu",
    study="lemmata.studies.geometry_convex_relu",
    benchmark="geometry_convex_relu.py",
)

ENTRIES = (_CONVEX_RELU,)
