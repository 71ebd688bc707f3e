"""The catalogue's page on attention as a support vector machine: data only."""

from lemmata.catalogue import ClaimEntry, Data, Entry, Method, Option, Paper, Problem

_SVM, _TRAINING = "geometry.attention_svm/1", "geometry.attention_training/1"

_SEQUENCES = (
    Data("tokens", "one row of d numbers per token, shape (n, T, d)"),
    Data("queries", "one query per input, shape (n, d)"),
)
_LENGTHS = Data("lengths", "tokens of each input that are no padding, (n,)", False)

_PROBLEMS = (
    Problem(
        "AttentionSVM",
        _SVM,
        "least weights that single out one token of each input",
        (
            *_SEQUENCES,
            Data("selected", "the token to select in each input, shape (n,)", False),
            Data("scores", "what selecting a token is worth, shape (n, T)", False),
            _LENGTHS,
        ),
        (
            Option("norm", "'frobenius' | 'nuclear'", "'frobenius'", "what is least"),
            Option("width", "int | None", "None", "nuclear: a bound on the rank"),
            Option("gap_tol", "float", "1e-08", "allowed excess of the norm"),
        ),
    ),
    Problem(
        "AttentionTraining",
        _TRAINING,
        "train one attention layer and ask in which direction it grows",
        (
            *_SEQUENCES,
            Data("labels", "1 or -1 for each input, shape (n,)"),
            Data("head_vector", "linear, quadratic: v, shape (d,)", False),
            Data("head_matrix", "relu: V, shape (hidden, d)", False),
            Data("head_strength", "quadratic: lambda, shape (1,)", False),
            _LENGTHS,
        ),
        (
            Option("head", "'linear' | 'relu' | 'quadratic'", "", "the head's kind"),
            Option(
                "loss",
                "'logistic' | 'exponential' | 'correlation'",
                "'logistic'",
                "l in the mean of l(y f)",
            ),
            Option(
                "alignment", "float", "0.98", "least cosine with the SVM's direction"
            ),
            Option("margin_share", "float", "0.9", "least share of the largest margin"),
        ),
    ),
)

_PARAMETERIZATION = Option(
    "parameterization", "Joint | Factored", "Joint()", "W itself, or K and Q"
)
_DESCENT = (
    _PARAMETERIZATION,
    Option("step_size", "float", "0.1", "length of a step"),
    Option("steps", "int", "10000", "gradient steps"),
    Option("start_scale", "float", "1.0", "size of the random start; 0 is zero"),
    Option(
        "gradient",
        "StableGradient | TextbookGradient",
        "StableGradient()",
        "how the gradient is computed",
    ),
    Option("check_every", "int", "20", "gradient steps between two looks"),
)

_METHODS = (
    Method(
        "DualActiveSet",
        "Frobenius: coordinate ascent on the dual, then its face exactly",
        (_SVM,),
        (
            Option("sweeps", "int", "5", "coordinate sweeps before each face"),
            Option("patience", "int", "200", "steps without a smaller gap"),
        ),
    ),
    Method(
        "NuclearADMM",
        "nuclear: alternating directions, then Newton's method on the face",
        (_SVM,),
        (
            Option("relaxation", "float", "1.6", "over-relaxation, below 2"),
            Option("check_every", "int", "25", "iterations between two looks"),
            Option("polish", "bool", "True", "whether the host finishes"),
            Option("patience", "int", "2000", "steps without a smaller gap"),
        ),
    ),
    Method(
        "ConicSVM",
        "either norm by an interior-point or operator-splitting package",
        (_SVM,),
        (
            Option("package", "'clarabel' | 'scs'", "'clarabel'", "which"),
            Option("tol", "float", "1e-10", "its own tolerance"),
            Option("max_iterations", "int", "200", "of the package"),
        ),
        baseline=True,
    ),
    Method(
        "NormalizedGradient",
        "gradient steps of constant length, stable under saturation",
        (_TRAINING,),
        _DESCENT,
    ),
    Method(
        "GradientDescent",
        "plain gradient steps",
        (_TRAINING,),
        _DESCENT,
        baseline=True,
    ),
    Method(
        "RegularizationPath",
        "the best weights of each norm",
        (_TRAINING,),
        (
            Option("radii", "list | None", "None", "norms; None: 13 from 1 to 1000"),
            _PARAMETERIZATION,
            Option("inner_steps", "int", "2000", "gradient steps at each norm"),
        ),
    ),
    Method(
        "GeneralizedSVM",
        "the direction and finite part for the tokens that trained weights keep",
        (_TRAINING,),
        (Option("threshold", "float", "0.001", "probability that counts as kept"),),
    ),
)

_PARTS = (
    Method("Joint", "the weights are W", ()),
    Method(
        "Factored",
        "the weights are K and Q, W = K Q'",
        (),
        (Option("width", "int | None", "None", "columns of K and Q; None: d"),),
    ),
    Method("StableGradient", "by differences to the top token, scaled", ()),
    Method("TextbookGradient", "as automatic differentiation has it", ()),
)

_CLAIMS = (
    ClaimEntry(
        "geometry.least_norm/1",
        "the weights separate the selected tokens, with the least norm",
        "no weights separate them",
    ),
    ClaimEntry(
        "geometry.no_separation/1",
        "no weights select these tokens",
        "the weights separate them",
    ),
    ClaimEntry(
        "geometry.attention_rank/1",
        "the weights have the rank stated, but for rounding",
        "no weights separate the selected tokens",
    ),
    ClaimEntry(
        "geometry.locally_optimal/1",
        "every support token scores lower than the selected one",
        "no scores, the nuclear norm, or another support token scores no lower",
    ),
    ClaimEntry(
        "geometry.not_locally_optimal/1",
        "some support token does not score lower than the selected one",
        "no scores, the nuclear norm, or the selection is locally optimal",
    ),
    ClaimEntry(
        "geometry.attention_direction/1",
        "training turned the weights into the SVM's direction",
        "an input keeps several tokens, or the selection has no SVM",
    ),
    ClaimEntry(
        "geometry.attention_margin/1",
        "the trained weights reach a share of the largest margin",
        "an input keeps several tokens, or the selection has no SVM",
    ),
    ClaimEntry(
        "geometry.surviving_tokens/1",
        "the trained weights are those of the generalised SVM",
        "each input keeps one token, or some token is undecided",
    ),
    ClaimEntry(
        "geometry.attention_path/1",
        "the best weights of growing norm turn to the SVM's direction",
        "the method is no regularisation path",
    ),
)

_ATTENTION_SVM = Entry(
    slug="geometry-attention-svm",
    title="Attention as a support vector machine",
    question="Which tokens does attention select, and where do its weights point?",
    paper=Paper(
        key="tarzanagh2023transformers",
        title="Transformers as Support Vector Machines",
        authors="D. Ataee Tarzanagh, Y. Li, C. Thrampoulidis, S. Oymak",
        venue="arXiv 2023",
        arxiv="2308.16898",
    ),
    problems=_PROBLEMS,
    methods=_METHODS,
    parts=_PARTS,
    claims=_CLAIMS,
    example="lemmata.geometry._example_attention_svm:attention_svm",
    study="lemmata.studies.geometry_attention_svm",
    benchmark="geometry_attention_svm.py",
)

ENTRIES = (_ATTENTION_SVM,)
