"""The catalogue's page on matrix sensing: data only."""

from lemmata.catalogue import ClaimEntry, Data, Entry, Method, Option, Paper, Problem

_SENSING, _PLANTED = "optimize.matrix_sensing/1", "optimize.planted_sensing/1"
_KINDS = (_SENSING, _PLANTED)

_DATA = (
    Data("measurements", "one number per measurement, shape (m,)"),
    Data("matrices", "dense: measurement matrices, shape (m, n1, n2)", False),
    Data("left_vectors", "rank_one: a_i of a_i' M b_i, shape (m, n1)", False),
    Data("right_vectors", "rank_one: b_i, shape (m, n2); a_i if left out", False),
    Data("row_index", "mask, fourier: row of each entry seen, shape (q,)", False),
    Data("column_index", "mask, fourier: its column, shape (q,)", False),
)
_OPTIONS = (
    Option(
        "operator",
        "'gaussian' | 'dense' | 'rank_one' | 'mask' | 'fourier' | 'identity'",
        "",
        "what is measured",
    ),
    Option("rows", "int | None", "None", "n1, where no data show it"),
    Option("columns", "int | None", "None", "n2, where no data show it"),
    Option("count", "int | None", "None", "gaussian: number of measurements"),
    Option("key", "int", "0", "gaussian: names the stream of entries"),
    Option("psd", "bool", "False", "the matrix is symmetric positive semidefinite"),
    Option("rtol", "float", "1e-10", "allowed relative residual of the measurements"),
    Option("held_out", "int", "0", "last measurements that no method sees"),
)

_WIDTH = Option("width", "int", "", "columns of the factors; above the rank is fine")
_START = Option(
    "start",
    "SmallRandomStart | SpectralStart",
    "SmallRandomStart()",
    "where the factors begin",
)
_STEP = Option(
    "step_size",
    "float | None",
    "None",
    "in (0, 1], in units of 1 / sigma_1; None: 0.2 for the identity, else 0.15",
)
_LOOKS = (
    Option("check_every", "int", "10", "gradient steps between two looks"),
    Option(
        "patience", "int", "1024", "gradient steps before it may be called sublinear"
    ),
)

_METHODS = (
    Method(
        "AcceleratedAsymmetricGradientDescent",
        "asymmetric descent with one change of factors: a rate free of the start",
        _KINDS,
        (
            _WIDTH,
            _STEP,
            _START,
            Option(
                "switch_residual", "float", "0.2", "residual that calls for the change"
            ),
            Option("switch_scale", "float", "1.2", "size of the left factor after it"),
            *_LOOKS,
        ),
    ),
    Method(
        "AsymmetricGradientDescent",
        "descent on two factors of unequal size: linear beyond the true rank",
        _KINDS,
        (_WIDTH, _STEP, _START, *_LOOKS),
    ),
    Method(
        "SymmetricGradientDescent",
        "descent on X X': sublinear beyond the true rank, as the theorem says",
        _KINDS,
        (_WIDTH, _STEP, _START, *_LOOKS),
        baseline=True,
    ),
    Method(
        "ScaledGradientDescent",
        "preconditioned descent on factors",
        _KINDS,
        (
            _WIDTH,
            Option("step_size", "float | None", "None", "in (0, 1]; None: 0.3"),
            Option("damping", "float", "0.1", "of the preconditioner, > 0"),
            Option("adaptive", "bool", "True", "damping falls with the error"),
            Option("symmetric", "bool", "False", "one factor, for psd problems"),
            _START,
            *_LOOKS,
        ),
        baseline=True,
    ),
    Method(
        "AlternatingLeastSquares",
        "each factor in turn by least squares",
        _KINDS,
        (
            _WIDTH,
            Option("inner_steps", "int", "20", "conjugate gradient steps per factor"),
            Option("patience", "int", "50", "steps to take off a tenth in"),
        ),
        baseline=True,
    ),
    Method(
        "NuclearNormFISTA",
        "nuclear-norm minimisation by accelerated shrinkage, no width needed",
        _KINDS,
        (
            Option("strength", "float", "1e-12", "last penalty, relative"),
            Option("decay", "float", "0.97", "of the penalty in each step"),
            Option("patience", "int", "200", "steps to take off a tenth in"),
        ),
        baseline=True,
    ),
)

_PARTS = (
    Method(
        "SmallRandomStart",
        "small normal entries, those of the right factor smaller",
        (),
        (
            Option(
                "scale",
                "float | None",
                "None",
                "of the left factor's entries; None: 0.02 / sqrt(max(n1, n2) / 50)",
            ),
            Option(
                "imbalance",
                "float",
                repr(1 / 3),
                "ratio of the right factor's entries to the left one's",
            ),
        ),
    ),
    Method("SpectralStart", "best approximation of the back-projection", ()),
)

_MATRIX_SENSING = Entry(
    slug="optimize-matrix-sensing",
    title="Low-rank matrix sensing",
    question="How do I recover a low-rank matrix whose rank I do not know?",
    paper=Paper(
        key="xiong2024overparameterization",
        title="How Over-Parameterization Slows Down Gradient Descent in Matrix "
        "Sensing: The Curses of Symmetry and Initialization",
        authors="N. Xiong, L. Ding, S. S. Du",
        venue="ICLR 2024",
        arxiv="2310.01769",
    ),
    problems=(
        Problem(
            "MatrixSensing",
            _SENSING,
            "find a low-rank matrix from linear measurements of it",
            _DATA,
            _OPTIONS,
        ),
        Problem(
            "Planted",
            _PLANTED,
            "the same with the true matrix at hand, for theorems and benchmarks",
            (
                *_DATA,
                Data("truth_left", "left factor of the true matrix, shape (n1, r)"),
                Data("truth_right", "right factor, shape (n2, r)"),
            ),
            _OPTIONS,
        ),
    ),
    methods=_METHODS,
    parts=_PARTS,
    claims=(
        ClaimEntry(
            "optimize.measurement_residual/1",
            "the matrix fits the measurements to rtol",
        ),
        ClaimEntry(
            "optimize.recovery/1",
            "no matrix with these measurements is farther than the bound",
            "fewer measurements than entries, or too many entries to bound sigma_min",
        ),
        ClaimEntry(
            "optimize.held_out_error/1",
            "the true matrix is within the bound, by measurements no method saw",
            "no measurement was held out",
        ),
        ClaimEntry(
            "optimize.rank_floor/1",
            "the error is at least what the answer has beyond the true rank",
            "the truth is not known, or the answer has its rank",
        ),
        ClaimEntry(
            "optimize.observed_isometry/1",
            "the measurements see the error that is left",
            "the truth is not known",
        ),
        ClaimEntry(
            "optimize.symmetric_lower_bound/1",
            "symmetric descent is not faster than the theorem allows",
            "no planted population problem, or a width that is not above the rank",
        ),
        ClaimEntry(
            "optimize.imbalance/1",
            "a step changes L'L - R'R by second-order terms alone",
            "the run is symmetric, or the operator too large to be gone through again",
        ),
        ClaimEntry(
            "optimize.imbalance_drift/1",
            "L'L - R'R moved no farther than the squared steps allow",
            "the run is symmetric",
        ),
        ClaimEntry(
            "optimize.linear_rate_of_factors/1",
            "the error falls along a line, as steeply as the factors predict",
            "too few looks in the window",
        ),
        ClaimEntry(
            "optimize.acceleration/1",
            "after the change of factors the error falls as steeply as predicted",
            "the factors were not changed, or too few looks in the window",
        ),
        ClaimEntry(
            "optimize.exact_parameterisation/1",
            "with the width of the true rank the error falls along a line",
            "the truth is not known, or the width is not its rank",
        ),
    ),
    example="lemmata.optimize._example_matrix_sensing:matrix_sensing",
    study="lemmata.studies.optimize_matrix_sensing",
    benchmark="optimize_matrix_sensing.py",
)

ENTRIES = (_MATRIX_SENSING,)
