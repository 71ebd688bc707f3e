"""The catalogue's page on generalization measures: data only."""

from lemmata.catalogue import ClaimEntry, Data, Entry, Method, Option, Paper, Problem

_BOUNDS, _GAME = "certify.generalization_bounds/1", "certify.generalization_game/1"
_OTHER_WORLD = "the game has another world"

_BOUNDS_DATA = (
    Data("network", "an ONNX file, or the arrays of the records in --option", False),
    Data("centres", "of a kernel classifier, shape (m, d)", False),
    Data("coefficients", "of a kernel classifier, shape (m,)", False),
    Data("train_inputs", "the sample, shape (n, d)"),
    Data("train_labels", "whole numbers from 0, shape (n,)"),
    Data("test_inputs", "samples nobody has looked at, shape (t, d)", False),
    Data("test_labels", "their labels, shape (t,)", False),
    Data("initial", "weights and biases before training, in one vector", False),
)
_GAME_DATA = (
    Data("distributions", "finite_family: weights, (k, points, labels)", False),
    Data("basis", "linear_over_field: invertible modulo the order, (d, d)", False),
)
_DELTA = Option("delta", "float", "0.05", "chance of failure")
_MARGIN = Option("margin", "float", "1.0", "gamma > 0, in units of the scores")
_SAMPLING = "chance of failure of the draws"
_DRAWN = (
    _MARGIN,
    Option("draws", "int", "1000", "of signs"),
    Option("key", "int", "0", "of their stream"),
    _DELTA,
    Option("sampling_delta", "float", "0.001", _SAMPLING),
)

_METHODS = (
    Method(
        "EvaluateMeasures",
        "evaluates the measures one after the other",
        (_BOUNDS,),
    ),
    Method(
        "PlayGame",
        "plays all rounds and records what the measure said",
        (_GAME,),
        (Option("batch", "int", "500", "rounds drawn in one step"),),
    ),
    Method("ExactNoGo", "the probability below which no measure fails", (_GAME,)),
)

_MEASURES = (
    Method("Constant", "always the same number", (_GAME,), (
        Option("level", "float", "0.0", "the number"),
    ), baseline=True),
    Method("Unseen", "a share of the mass of unseen points", (_GAME,), (
        Option("share", "float", "0.5", "of it"),
    ), baseline=True),
    Method("Occam", "the bound of a finite class", (_BOUNDS, _GAME), (
        _DELTA, Option("bits", "int", "64", "of each weight: 16, 32 or 64"),
    )),
    Method("VCDimension", "the bound by VC dimension", (_BOUNDS, _GAME), (_DELTA,)),
    Method("Compression", "the bound by sample compression", (_BOUNDS, _GAME), (
        Option("size", "int | None", "None", "samples that determine the model"),
        Option("ordered", "bool", "False", "whether their order matters"),
        _DELTA,
    )),
    Method("FinitePACBayes", "PAC-Bayes with uniform laws", (_GAME,), (_DELTA,)),
    Method(
        "FiniteRademacher", "exact complexity of all labellings", (_GAME,), (_DELTA,)
    ),
    Method("FrobeniusProduct", "a margin bound by norms", (_BOUNDS,), (
        _MARGIN, _DELTA,
    )),
    Method("SpectralMargin", "norms, up to a constant", (_BOUNDS,), (_MARGIN,)),
    Method("PACBayesSpectral", "norms, up to a constant", (_BOUNDS,), (_MARGIN,)),
    Method("PathNorm", "path norm, up to a constant", (_BOUNDS,), (
        _MARGIN, Option("power", "int", "2", "1 or 2"),
    )),
    Method("PACBayes", "PAC-Bayes with a trained posterior", (_BOUNDS,), (
        Option("draws", "int", "500", "of weights, for the stochastic loss"),
        Option("steps", "int", "500", "of Adam"),
        Option("learning_rate", "float", "0.02", "of Adam"),
        _DELTA,
        Option("sampling_delta", "float", "0.01", _SAMPLING),
    )),
    Method("LinearRademacher", "Monte-Carlo complexity, linear", (_BOUNDS,), _DRAWN),
    Method("KernelRademacher", "Monte-Carlo complexity, kernels", (_BOUNDS,), _DRAWN),
    Method("GaussianKernel", "kernel: of Euclidean distances", (_BOUNDS,), (
        Option("width", "float", "", "> 0, in units of the inputs"),
    )),
    Method("LaplaceKernel", "kernel: of sums of distances", (_BOUNDS,), (
        Option("width", "float", "", "> 0, in units of the inputs"),
    )),
    Method("PolynomialKernel", "kernel: inner products; the linear one", (_BOUNDS,), (
        Option("degree", "int", "1", "1 to 20"),
        Option("scale", "float", "1.0", "> 0"),
        Option("offset", "float", "0.0", ">= 0"),
    )),
    Method("RidgeStability", "uniform stability of ridge regression", (_BOUNDS,), (
        Option("strength", "float", "1.0", "of the penalty, per sample"), _DELTA,
    )),
    Method("ConvexSGDStability", "expected stability of convex SGD", (_BOUNDS,), (
        Option("step_size", "float", "0.1", "of SGD"),
        Option("steps", "int", "1000", "of SGD"),
    )),
    Method("HoldOut", "the control: fresh data", (_BOUNDS, _GAME), (
        _DELTA, Option("fresh_samples", "int", "1000", "in a game"),
    ), baseline=True),
    Method("RandomLabelling", "world: fair labels of finitely many points", (_GAME,), (
        Option("points", "int", "", "d"), Option("samples", "int", "", "n < d"),
    )),
    Method("LinearOverField", "world: linear functions modulo a prime", (_GAME,), (
        Option("order", "int", "", "q, a prime"),
        Option("dimension", "int", "", "d"),
        Option("samples", "int", "", "n < d"),
        Option("levels", "int", "1", "preferred subspaces"),
        Option("basis", "None", "None", "their directions"),
    )),
)  # fmt: skip

_CLAIMS = (
    ClaimEntry(
        "certify.bound_holds/1",
        "stated bounds are at least their formulas, so at least the risk",
        "no measure of the list is a bound",
    ),
    ClaimEntry(
        "certify.measure_values/1",
        "stated capacities are right",
        "every measure of the list has its constant",
    ),
    ClaimEntry(
        "certify.test_risk/1", "the risk, by the test set", "there is no test set"
    ),
    ClaimEntry(
        "certify.bound_gap/1",
        "how loose the bounds are at least",
        "there is no test set, or a bound is within the risk's interval",
    ),
    ClaimEntry(
        "certify.no_go_vc/1",
        "no function of sample and hypothesis fails less, random labels",
        _OTHER_WORLD,
    ),
    ClaimEntry(
        "certify.no_go_linear/1",
        "no function of the sample fails less, linear functions over a field",
        _OTHER_WORLD,
    ),
    ClaimEntry(
        "certify.no_go_family/1",
        "no function of sample and hypothesis fails less, your family",
        "too many samples to enumerate",
    ),
    ClaimEntry(
        "certify.no_go_algorithm/1",
        "no function of the sample fails less, two sub-families",
        "too many samples to enumerate",
    ),
    ClaimEntry(
        "certify.no_go_family_sampled/1",
        "the same from draws, where a family cannot be enumerated",
        "the exact floor is affordable",
    ),
    ClaimEntry(
        "certify.measure_fails/1",
        "how often this measure failed",
        "no game was played",
    ),
)

_GENERALIZATION = Entry(
    slug="certify-generalization",
    title="What generalization bounds are worth",
    question="Is this bound on the test error loose, or can no such bound be tight?",
    paper=Paper(
        key="gastpar2024fantastic",
        title="Fantastic Generalization Measures are Nowhere to be Found",
        authors="M. Gastpar, I. Nachum, J. Shafer, T. Weinberger",
        venue="ICLR 2024",
        arxiv="2309.13658",
    ),
    problems=(
        Problem(
            "GeneralizationBounds",
            _BOUNDS,
            "what measures say of a trained model, beside its risk",
            _BOUNDS_DATA,
            (
                Option(
                    "network",
                    "dict | str",
                    "",
                    "layer records; --data network=model.onnx gives them; or "
                    '{"kernel": {"name": "gaussian", "width": 1.0}}',
                ),
                Option(
                    "measures",
                    "list | str | None",
                    "None",
                    "records with a name and options; None: all that fit the model",
                ),
                Option("confidence", "float", "0.95", "of the risk's interval"),
            ),
        ),
        Problem(
            "GeneralizationGame",
            _GAME,
            "how often a measure must be wrong, and every measure",
            _GAME_DATA,
            (
                Option("world", "dict | str", "", "its record: name and numbers"),
                Option("measure", "dict | str", "", "its name, or its record"),
                Option("accuracy", "str | float", "", "eps in (0, 1/2), such as 1/8"),
                Option("rounds", "int", "4000", "how many"),
                Option("confidence", "float", "0.95", "of the failure's bound"),
            ),
        ),
    ),
    methods=_METHODS,
    parts=_MEASURES,
    claims=_CLAIMS,
    example="lemmata.certify._example_generalization:generalization",
    study="lemmata.studies.certify_generalization",
    benchmark="certify_generalization.py",
)

ENTRIES = (_GENERALIZATION,)
