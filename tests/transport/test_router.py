"""Routers: loads within the buffers, coverage, bad input."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lemmata.core import InvalidArgument, InvalidProblem, certify, solve
from lemmata.transport import (
    AssignmentRouter,
    ExpertChoiceRouter,
    Route,
    Routing,
    SinkhornRouter,
    SparseMatchingRouter,
    TokenChoiceRouter,
    buffer_size,
)

TOKENS, EXPERTS, SIZE, FACTOR = 512, 16, 32, 1.05
CAP = 36
KEY = jax.random.key(0)
ROUTERS = (
    SparseMatchingRouter,
    TokenChoiceRouter,
    ExpertChoiceRouter,
    SinkhornRouter,
    AssignmentRouter,
)


@pytest.fixture(scope="module")
def logits():
    """2 X W + bias: experts of very different popularity."""
    rng = np.random.default_rng(0)
    tokens = rng.normal(size=(TOKENS, SIZE))
    weight = rng.normal(size=(EXPERTS, SIZE)) / np.sqrt(SIZE)
    return 2 * tokens @ weight.T + rng.normal(size=EXPERTS)


@pytest.fixture(scope="module")
def routed(logits):
    """What each router does in float32, as it would in a network."""
    small = jnp.asarray(logits, jnp.float32)
    found = {}
    for kind in ROUTERS:
        router = kind(SIZE, EXPERTS, FACTOR, key=KEY)
        found[kind] = eqx.filter_jit(router.route)(small, CAP)
    return found


def test_buffer_size_is_rounded_up_to_a_multiple_of_four():
    assert buffer_size(TOKENS, EXPERTS, 1.05) == CAP
    assert buffer_size(TOKENS, EXPERTS, 1.0) == 32
    assert buffer_size(100, 10, 1.2) == 12  # 1.2 is a little above 6/5
    assert buffer_size(3, 2, 2.0) == 3  # never more than there are tokens


@pytest.mark.parametrize("kind", ROUTERS)
def test_no_expert_gets_more_than_its_buffer(routed, kind):
    done = routed[kind]
    assert int(done.load().max()) <= CAP
    assert done.combine.dtype == jnp.float32
    assert not np.any(np.asarray(done.combine)[~np.asarray(done.dispatch)])


def test_coverage_at_the_figures_of_the_spec(routed):
    ours, choice = routed[SparseMatchingRouter], routed[TokenChoiceRouter]
    assert float(ours.uncovered()) <= 0.04
    assert float(ours.dropped()) == 0
    assert float(choice.dropped()) >= 0.35
    assert float(choice.uncovered()) == pytest.approx(float(choice.dropped()), abs=1e-6)
    assert float(routed[ExpertChoiceRouter].uncovered()) > float(ours.uncovered())
    assert float(routed[AssignmentRouter].uncovered()) == 0


def test_token_choice_serves_first_choices_in_order():
    logits = jnp.asarray([[3.0, 1.0], [2.0, 1.0], [0.0, 1.0]])
    router = TokenChoiceRouter(1, 2, num_selected=2, key=KEY)
    done = router.route(logits, 2)
    # Expert 0: tokens 0 and 1 first; expert 1: token 2 first, then token 0.
    assert done.dispatch.tolist() == [[True, True], [True, False], [False, True]]
    assert bool(done.requested.all())


def test_the_buffer_claim_holds_for_matching_and_fails_for_token_choice(logits):
    problem = Routing(logits, CAP)
    ours = solve(problem, Route(SparseMatchingRouter(SIZE, EXPERTS, key=KEY)))
    assert ours.certified
    assert ours.certificate["buffer"].measured <= CAP
    choice = Route(TokenChoiceRouter(SIZE, EXPERTS, key=KEY))
    dropped = solve(problem, choice, throw=False)
    assert not dropped.certificate["buffer"].holds
    mask = np.asarray(ours.value.dispatch).copy()
    mask[:, 0] = True  # one expert takes everything
    assert not certify(problem, problem.candidate(dispatch=mask)).certified
    again = problem.value_from(ours.value.pack())
    np.testing.assert_array_equal(again.dispatch, ours.value.dispatch)


def test_at_most_so_many_experts_per_token(logits):
    router = SparseMatchingRouter(SIZE, EXPERTS, num_selected=2, key=KEY)
    done = eqx.filter_jit(router.route)(jnp.asarray(logits[:64], jnp.float32), 64)
    assert int(done.dispatch.sum(axis=1).max()) <= 2
    assert bool(done.dispatch.any(axis=1).all())


def test_groups_are_routed_each_by_itself_and_gradients_reach_the_map():
    router = SparseMatchingRouter(4, 3, 1.0, combine="plan", steps=5, key=KEY)
    tokens = jax.random.normal(jax.random.key(1), (2, 12, 4))
    groups = eqx.filter_jit(router.route_groups)(tokens)
    single = eqx.filter_jit(router)(tokens[1])
    np.testing.assert_array_equal(groups.dispatch[1], single.dispatch)

    def loss(router):
        return jnp.sum(router.route_groups(tokens).combine[..., 0] ** 2)

    gradient = eqx.filter_jit(eqx.filter_grad(loss))(router).weight
    assert bool(jnp.all(jnp.isfinite(gradient)))
    assert bool(jnp.any(gradient != 0))


def test_bad_input_names_the_argument():
    with pytest.raises(InvalidArgument, match="capacity_factor: expected >= 1 with"):
        SparseMatchingRouter(4, 3, 0.9, combine="plan", key=KEY)
    with pytest.raises(InvalidArgument, match="combine: expected one of"):
        SparseMatchingRouter(4, 3, combine="sum", key=KEY)  # pyright: ignore
    with pytest.raises(InvalidArgument, match="num_selected"):
        SparseMatchingRouter(4, 3, num_selected=4, key=KEY)
    with pytest.raises(InvalidArgument, match="num_selected"):
        TokenChoiceRouter(4, 3, num_selected=0, key=KEY)
    with pytest.raises(InvalidArgument, match="num_experts"):
        ExpertChoiceRouter(4, 0, key=KEY)
    with pytest.raises(InvalidArgument, match="SinkhornRouter.epsilon"):
        SinkhornRouter(4, 3, epsilon=0.0, key=KEY)
    with pytest.raises(InvalidArgument, match="capacity_factor: expected finite"):
        AssignmentRouter(4, 3, float("nan"), key=KEY)
    with pytest.raises(InvalidProblem, match=r"Routing.cap: expected an integer"):
        Routing(np.ones((4, 2)), 5)
    with pytest.raises(InvalidProblem, match="Routing.logits: expected finite"):
        Routing(np.full((4, 2), np.nan), 2)
    with pytest.raises(InvalidArgument, match="candidate.dispatch"):
        Routing(np.ones((4, 2)), 2).candidate(dispatch=np.ones((2, 2), bool))
