"""What a Newton run records after each step, and why it stopped."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array

from ..core import CONVERGED, Outcome
from ._constrained_method import AbstractConstrainedMethod
from ._newton_state import (
    DEGENERATE,
    FROZEN,
    SATURATED,
    SEARCH,
    SINGULAR,
    SPENT,
    NewtonState,
)


def _observed(state: NewtonState) -> dict[str, Array]:
    """What is recorded after each step; counts are totals so far."""
    counts, work = state.counts, state.work
    return {
        "residual": state.at.residual,
        "objective": state.at.objective,
        "infeasibility": jnp.linalg.norm(state.at.constraint),
        "alpha": state.alpha,
        "theta": state.theta,
        "delta": state.delta,
        "eta1": state.eta1,
        "eta2": state.eta2,
        "curvature": state.curvature,
        "modified": state.modified,
        "objective_evaluations": counts.objective,
        "constraint_evaluations": counts.constraint,
        "gradient_evaluations": counts.gradient,
        "jacobian_evaluations": counts.jacobian,
        "hessian_evaluations": counts.hessian,
        "sketch_steps": work.sketch_steps,
        "sketched_products": work.sketched_products,
        "residual_products": work.residual_products,
        "estimate_products": work.estimates,
        "factorisations": work.factorisations,
        "inner_saturated": work.inner_saturated,
    }


def _outcome(state: NewtonState, tolerance: Any) -> Outcome:
    """Why the run stopped, and what to do next."""
    work = state.work
    at = f"||(grad_x L, c)|| = {float(state.at.residual):.1e}, step {int(state.steps)}"
    if bool(state.at.residual <= tolerance):
        remark = ""
        if int(work.inner_saturated):
            remark = f" {int(work.inner_saturated)} inner solves ended at their cap."
        return Outcome(CONVERGED.name, CONVERGED.sentence + remark)
    sigma = float(jnp.sqrt(jnp.maximum(state.rank, 0.0)))
    sentences = {
        DEGENERATE: (
            "degenerate_constraints",
            f"the least singular value of the constraints' Jacobian is {sigma:.1e}; "
            "the constraints may contradict or repeat each other here: remove "
            "repeated ones, or start elsewhere",
        ),
        FROZEN: (
            "frozen_penalty",
            f"eta1 = {float(state.eta1):.1e}, eta2 = {float(state.eta2):.1e} reached "
            "the end of their range and no direction descends; the Jacobian of c has "
            f"least singular value {sigma:.1e}: rescale f and c, or start nearer to "
            "the constraints",
        ),
        SATURATED: (
            "inner_saturated",
            "the sketching solver ended at its cap without a descent direction; raise "
            "max_inner, use a wider sketch such as RowBlock(columns=...), or "
            "equilibrate",
        ),
        SEARCH: (
            "line_search_failed",
            "no step length decreased the merit function; f or c may be rough or "
            "undefined nearby, or rounding leaves no decrease to be seen",
        ),
        SPENT: ("max_outer", "the limit on outer steps came first; raise max_outer"),
        SINGULAR: (
            "not_finite",
            "the Newton system or its direction is not finite; f or c may be undefined "
            "near this point",
        ),
    }
    unknown = ("not_finite", "f, c or a derivative is not finite")
    name, sentence = sentences.get(int(state.status), unknown)
    return Outcome(name, f"{at}: {sentence}.")


class AbstractMeritNewton(AbstractConstrainedMethod):
    """Newton steps on the augmented Lagrangian: their record, and why they stopped."""

    def observe(self, problem: Any, state: NewtonState) -> dict[str, Array]:
        del problem
        return _observed(state)

    def outcome(self, problem: Any, state: NewtonState) -> Outcome:
        return _outcome(state, self.stopping(problem))
