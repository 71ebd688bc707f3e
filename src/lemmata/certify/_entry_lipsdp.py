"""The catalogue's page on global Lipschitz constants: data only."""

from lemmata.catalogue import ClaimEntry, Data, Entry, Method, Option, Paper, Problem

_GLOBAL, _IMPLICIT = "certify.global_lipschitz/1", "certify.implicit_lipschitz/1"

_CONSTRAINTS = Option(
    "constraints",
    "AbstractConstraints",
    "Eliminated()",
    "what is said of groups: Eliminated, Reduced, AllMultipliers, ...",
)
_CUTS = Option("cuts", "tuple[int]", "()", "nodes between which bounds are multiplied")
_SOLVER = Option("solver", "Clarabel | SCS", "Clarabel()", "which conic solver")
_RECORDS = "layer records; --data network=model.onnx gives them"

_METHODS = (
    Method(
        "Eigenvalue",
        "an interior-point method of our own for inequalities of any size",
        (_GLOBAL,),
        (
            _CONSTRAINTS,
            _CUTS,
            Option("rtol", "float", "1e-08", "relative gap at which it stops"),
        ),
    ),
    Method(
        "LipSDP",
        "the semidefinite program by Clarabel or SCS, repaired into a proof",
        (_GLOBAL,),
        (_CONSTRAINTS, _SOLVER, _CUTS),
    ),
    Method(
        "NormProduct",
        "product of the layers' norms",
        (_GLOBAL,),
        baseline=True,
    ),
    Method(
        "BruteForce",
        "the largest norm over all patterns of the activations",
        (_GLOBAL,),
        baseline=True,
    ),
    Method(
        "ImplicitSDP",
        "the same program for a layer given by an equation",
        (_IMPLICIT,),
        (_SOLVER,),
    ),
)

_PARTS = (
    Method("Eliminated", "preserved coordinates are substituted: the tightest", ()),
    Method("Reduced", "the paper's S = P = 0: lambda and gamma per group", ()),
    Method("AllMultipliers", "all multipliers of the paper", ()),
    Method("DiagonalOnly", "lambda alone", ()),
    Method("CompositeReLU", "MaxMin written with ReLUs", ()),
    Method(
        "Clarabel",
        "interior points, for orders up to about 150",
        (),
        (
            Option("tol", "float", "1e-09", "of gap and feasibility"),
            Option("max_iterations", "int", "200", "of the solver"),
        ),
    ),
    Method(
        "SCS",
        "first-order splittings, for larger orders",
        (),
        (
            Option("tol", "float", "1e-06", "of gap and feasibility"),
            Option("max_iterations", "int", "20000", "of the solver"),
        ),
    ),
)

_ENTRY = Entry(
    slug="certify-lipsdp",
    title="Global Lipschitz constants of networks",
    question="How fast can this network's outputs change, anywhere?",
    paper=Paper(
        key="pauli2024novel",
        title="Novel Quadratic Constraints for Extending LipSDP beyond "
        "Slope-Restricted Activations",
        authors="P. Pauli, A. Havens, A. Araujo, S. Garg, F. Khorrami, "
        "F. Allgöwer, B. Hu",
        venue="ICLR 2024",
        arxiv="2401.14033",
    ),
    problems=(
        Problem(
            "GlobalLipschitz",
            _GLOBAL,
            "bound the change of the outputs per unit of the inputs' l_2 or l_inf norm",
            (
                Data(
                    "network",
                    "an ONNX file, or the arrays of the records in --option",
                    False,
                ),
            ),
            (
                Option("network", "dict | str", "", _RECORDS),
                Option("norm", "'l2' | 'linf'", "'l2'", "norm of the inputs"),
                Option(
                    "output",
                    "int | 'all' | 'sum' | None",
                    "None",
                    "one output; None: all (l2), or the only one",
                ),
            ),
        ),
        Problem(
            "ImplicitLipschitz",
            _IMPLICIT,
            "the same for z = phi(W z + U x), y = C z + D x, in l_2",
            (
                Data("weight", "W, (n, n)"),
                Data("input_weight", "U, (n, d)"),
                Data("output", "C, (k, n)"),
                Data("direct", "D, (k, d)", False),
            ),
            (
                Option(
                    "activation",
                    "dict | str | None",
                    "None",
                    "records of one activation of n entries; None is ReLU",
                ),
            ),
        ),
    ),
    methods=_METHODS,
    parts=_PARTS,
    claims=(
        ClaimEntry(
            "certify.global_lipschitz_l2/1",
            "outputs never change faster than stated, in l_2",
        ),
        ClaimEntry(
            "certify.global_lipschitz_linf/1",
            "outputs never change faster than stated, from l_inf to l_1",
        ),
        ClaimEntry(
            "certify.global_lipschitz_lower/1",
            "at the stated pair of inputs they do change so fast",
            "no pair was looked for",
        ),
        ClaimEntry(
            "certify.global_lipschitz_improves/1",
            "the bound is at most this share of the product of norms",
            "a layer's norm cannot be bounded, or is 0",
        ),
        ClaimEntry(
            "certify.implicit_lipschitz_l2/1",
            "outputs of solutions never change faster than stated",
        ),
        ClaimEntry(
            "certify.well_posed/1",
            "the layer's equation has exactly one solution for every input",
            "the inequality is not strict",
        ),
    ),
    example="lemmata.certify._example_lipsdp:global_lipschitz",
    study="lemmata.studies.certify_lipsdp",
    benchmark="certify_lipsdp.py",
)

ENTRIES = (_ENTRY,)
