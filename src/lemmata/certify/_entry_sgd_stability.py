"""The catalogue's page on the stability of SGD: data only."""

from lemmata.catalogue import ClaimEntry, Data, Entry, Method, Option, Paper, Problem

_POINT, _SWEEP = "certify.sgd_stability/1", "certify.sgd_sweep/1"
_NOT_SHOWN = "stability at this learning rate is not proved"
_NO_NORM = "gradient rows of another model"

_POINT_DATA = (
    Data(
        "gradients", "rows: gradients of the outputs, shape (n, p) or (n, K, p)", False
    ),
    Data("residuals", "rows: f(x_i) - y_i, shape (n,) or (n, K)", False),
    Data("targets", "y_i, shape (n,) or (n, K)", False),
    Data("inputs", "networks: samples, shape (n, d)", False),
    Data("first", "diagonal: first factor, shape (d,)", False),
    Data("second", "diagonal: second factor, shape (d,)", False),
    Data("inner", "two_layer: inner weights, shape (m, d)", False),
    Data("outer", "two_layer: outer weights, shape (m,)", False),
)
_MODELS = "'diagonal' | 'diagonal_squares' | 'two_layer'"
_REPLACEMENT = Option(
    "replacement", "bool", "False", "draw the samples of a batch with replacement"
)
_POINT_OPTIONS = (
    Option("model", f"'rows' | {_MODELS}", "", "what the data are"),
    Option("learning_rate", "float", "", "eta of SGD, > 0"),
    Option("batch_size", "int", "1", "samples a step"),
    _REPLACEMENT,
    Option("loss_tol", "float", "1e-08", "relative loss at which a point is a minimum"),
    Option("gap_tol", "float", "0.0001", "relative width of the proved threshold"),
    Option("allow_residual", "bool", "False", "judge any point, not minima alone"),
)
_SWEEP_DATA = (
    Data("inputs", "samples, shape (n, d)"),
    Data("targets", "y_i, shape (n,)"),
    Data("learning_rates", "what to try, shape (E,)"),
    Data("batch_sizes", "what to try, shape (B,)"),
    Data("scales", "sizes of the initial weights, shape (S,)", False),
    Data("test_inputs", "fresh samples, shape (t, d)", False),
    Data("test_targets", "their targets, shape (t,)", False),
    Data("start_first", "diagonal: where every run begins, shape (d,)", False),
    Data("start_second", "diagonal: where every run begins, shape (d,)", False),
    Data("start_inner", "two_layer: where every run begins, shape (m, d)", False),
    Data("start_outer", "two_layer: where every run begins, shape (m,)", False),
)
_SWEEP_OPTIONS = (
    Option("model", _MODELS, "", "the network that is trained"),
    Option("width", "int", "50", "two_layer: neurons"),
    _REPLACEMENT,
    Option("loss_tol", "float", "1e-08", "relative loss at which a run ends"),
)

_METHODS = (
    Method(
        "ExactMeanSquare",
        "the exact threshold, proved from both sides",
        (_POINT,),
        (
            Option("rtol", "float", "1e-13", "relative error of the eigenvalue"),
            Option("rank_tol", "float", "1e-10", "gradient directions left out below"),
            Option("share", "float", "0.5", "of gap_tol, for the proof of stability"),
            Option("patience", "int", "400", "steps without progress"),
        ),
    ),
    Method(
        "TraceTest",
        "the necessary condition behind Tr G <= 2 / eta",
        (_POINT,),
        baseline=True,
    ),
    Method(
        "FrobeniusTest",
        "the necessary condition on ||G||_F, by the alignment of gradient noise",
        (_POINT,),
        (Option("steps", "int", "64", "directions looked at"),),
        baseline=True,
    ),
    Method(
        "GradientDescentTest",
        "lambda_max <= 2 / eta, blind to the noise of SGD",
        (_POINT,),
        baseline=True,
    ),
    Method(
        "SimulateLinearised",
        "many runs of the linearised recursion",
        (_POINT,),
        (
            Option("runs", "int", "400", "how many"),
            Option("steps", "int", "200", "how long"),
        ),
        baseline=True,
    ),
    Method(
        "SGDTraining",
        "SGD itself, many runs side by side",
        (_SWEEP,),
        (
            Option("max_updates", "int", "100000", "of each run"),
            Option("updates_per_step", "int", "500", "between two looks"),
            Option("label_noise", "float", "0.0", "standard deviation; 0 is off"),
        ),
    ),
)

_CLAIMS = (
    ClaimEntry(
        "certify.sgd_threshold/1",
        "the largest stable learning rate lies in a proved interval, as stated",
    ),
    ClaimEntry(
        "certify.sgd_sharpness/1", "trace, Frobenius norm and top eigenvalue are right"
    ),
    ClaimEntry(
        "certify.sgd_stable/1",
        "SGD is stable in the mean square here",
        "the point does not interpolate, or stability is not proved",
    ),
    ClaimEntry(
        "certify.sgd_unstable/1",
        "second moments grow here",
        "instability is not proved",
    ),
    ClaimEntry("certify.sgd_trace/1", "the trace is at most 2 B K / eta", _NOT_SHOWN),
    ClaimEntry(
        "certify.sgd_path_norm/1",
        "the path or l_1 norm is at most what stability implies",
        f"{_NOT_SHOWN}, or {_NO_NORM}",
    ),
    ClaimEntry(
        "certify.sgd_trace_equivalence/1",
        "for isotropic inputs the trace is the norm of the balanced network",
        f"the inputs are not isotropic, or {_NO_NORM}",
    ),
    ClaimEntry(
        "certify.sgd_path_generalization/1",
        "the test loss is at most a bound by the norm, with probability 1 - delta",
        _NO_NORM,
    ),
    ClaimEntry(
        "certify.sgd_selection/1",
        "the minima that SGD reached obey the bound on the trace",
        "no run converged",
    ),
    ClaimEntry(
        "certify.sgd_flatter/1",
        "larger learning rates reach smaller norms",
        "fewer than two learning rates converged",
    ),
)

_STABILITY = Entry(
    slug="certify-sgd-stability",
    title="Stability of SGD at a minimum",
    question="Can SGD stay at this minimum, and what does that say about the network?",
    paper=Paper(
        key="wu2023implicit",
        title="The Implicit Regularization of Dynamical Stability in Stochastic "
        "Gradient Descent",
        authors="L. Wu, W. J. Su",
        venue="ICML 2023",
        arxiv="2305.17490",
    ),
    problems=(
        Problem(
            "SGDStability",
            _POINT,
            "is SGD stable at this minimum, and up to which learning rate",
            _POINT_DATA,
            _POINT_OPTIONS,
        ),
        Problem(
            "StabilitySweep",
            _SWEEP,
            "which minima does SGD reach, over learning rates and batch sizes",
            _SWEEP_DATA,
            _SWEEP_OPTIONS,
        ),
    ),
    methods=_METHODS,
    claims=_CLAIMS,
    example="lemmata.certify._example_sgd_stability:sgd_stability",
    study="lemmata.studies.certify_sgd_stability",
    benchmark="certify_sgd_stability.py",
)

ENTRIES = (_STABILITY,)
