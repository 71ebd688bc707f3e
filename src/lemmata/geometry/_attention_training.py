"""Training one attention layer: the model, its loss, and a gradient that never stalls.

Source: Ataee Tarzanagh, Li, Thrampoulidis and Oymak, Transformers as Support Vector
Machines (arXiv 2308.16898), sections 2 to 5.
"""

from typing import Any, NamedTuple, Self, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float64, Int64

from lemmata_checker import Packed

from ..core import (
    AbstractProblem,
    AnyArray,
    Claim,
    InvalidArgument,
    InvalidProblem,
    Withheld,
    array64,
    require,
)
from ._attention_checks import check_real, check_sequences, index64
from ._attention_heads import (
    LOSSES,
    AbstractHead,
    CallableHead,
    LinearHead,
    QuadraticHead,
    ReluHead,
    loss,
    loss_slope,
    unpack_head,
)
from ._attention_value import TrainedAttention

Real = float | AnyArray
_HEADS = (LinearHead, ReluHead, QuadraticHead, CallableHead)


class Attended(NamedTuple):
    """The softmax of each input, by differences to its top token.

    `top` (n,), `log_probability` (n, T) (minus infinity at padding), `differences`
    x_it - x_i,top (n, T, d).
    """

    top: Array
    log_probability: Array
    differences: Array


@final
class AttentionTraining(AbstractProblem):
    """Train W in h(X_i' softmax(X_i W z_i)) on labelled inputs.

    The loss is the mean of l(y_i f_i). There is no minimum: training makes W grow, and
    the question is in which direction.

    **Fields:**

    - `tokens`, `queries`, `lengths`: as in `AttentionSVM`.
    - `labels`: y_i in {-1, 1}, shape (n,).
    - `head`: h; a `LinearHead` (or its vector), `ReluHead`, `QuadraticHead`, or any
      function of a token, such as an Equinox module (`CallableHead`).
    - `loss`: "logistic", "exponential" or "correlation" (-y f).
    - `alignment`: the least cosine between W and the SVM's direction that is promised.
    - `margin_share`: the least share of the largest possible margin that is promised.

    **Raises:** `InvalidProblem`.
    """

    tokens: Float64[AnyArray, "n t d"]
    queries: Float64[AnyArray, "n d"]
    labels: Float64[AnyArray, " n"]
    head: AbstractHead
    lengths: Int64[AnyArray, " n"]
    loss: str = eqx.field(static=True)
    alignment: Real
    margin_share: Real

    def __init__(
        self,
        tokens: Any,
        queries: Any,
        labels: Any,
        head: Any,
        loss: str = "logistic",
        *,
        lengths: Any = None,
        alignment: Real = 0.98,
        margin_share: Real = 0.9,
    ):
        self.tokens, self.queries = array64(tokens), array64(queries)
        self.labels = array64(labels)
        shape = np.shape(self.tokens)
        if lengths is None and len(shape) == 3:
            lengths = np.full(shape[0], shape[1])
        self.lengths = index64(lengths)
        if not isinstance(head, AbstractHead):
            head = CallableHead(head) if callable(head) else LinearHead(head)
        self.head = head
        self.loss, self.alignment, self.margin_share = loss, alignment, margin_share

    def validate(self) -> None:
        check_sequences(self)
        n, _, d = self.tokens.shape
        check_real(self, "labels", self.labels)
        fits = self.labels.shape == (n,)
        require(self, "labels", fits, expected=f"shape ({n},)", got=self.labels.shape)
        bad = np.flatnonzero(np.abs(self.labels) != 1)
        got = f"{self.labels[bad[0]]} for input {bad[0]}" if bad.size else ""
        require(self, "labels", not bad.size, expected="1 or -1 each", got=got)
        known = isinstance(self.head, _HEADS)
        expected = "a head, such as LinearHead(v), or a vector"
        got = type(self.head).__name__
        require(self, "head", known, expected=expected, got=got)
        expected, fits = self.head.expects(d)
        shapes = {k: v.shape for k, v in self.head.pack().items()}
        require(self, "head", fits, expected=expected, got=shapes)
        for array in self.head.pack().values():
            good = np.all(np.isfinite(array))
            require(self, "head", good, expected="finite numbers", got="others")
        names = ", ".join(LOSSES)
        expected = f"a smooth decreasing loss among {names}"
        require(self, "loss", self.loss in LOSSES, expected=expected, got=self.loss)
        for field in ("alignment", "margin_share"):
            figure = getattr(self, field)
            good = (figure > 0) & (figure < 1)
            require(self, field, good, expected="in (0, 1)", got=figure)

    def pack(self) -> Packed:
        arrays = {
            "tokens": np.ascontiguousarray(self.tokens, dtype="<f8"),
            "queries": np.ascontiguousarray(self.queries, dtype="<f8"),
            "labels": np.ascontiguousarray(self.labels, dtype="<f8"),
            "lengths": np.ascontiguousarray(self.lengths, dtype="<i8"),
        }
        fields = {
            "head": self.head.name,
            "loss": self.loss,
            "alignment": float(self.alignment),
            "margin_share": float(self.margin_share),
        }
        return Packed(
            "geometry.attention_training/1", fields, arrays | self.head.pack()
        )

    @classmethod
    def unpack(cls, parameters: dict[str, Any], arrays: dict[str, Any]) -> Self:
        parameters, arrays = dict(parameters), dict(arrays)
        head = unpack_head(parameters.pop("head", "linear"), arrays)
        try:
            return cls(**arrays, head=head, **parameters)
        except TypeError as error:
            raise InvalidProblem("AttentionTraining", "its fields", error) from error

    @property
    def scores(self) -> Any:
        """gamma_it = y_i v'x_it of a linear head, shape (n, T); None for others."""
        if not isinstance(self.head, LinearHead):
            return None
        return self.labels[:, None] * (self.tokens @ self.head.vector)

    def claims(self, value: TrainedAttention) -> tuple[Claim | Withheld, ...]:
        from ._attention_training_claims import training_claims

        return training_claims(self, value)

    def candidate(
        self, *, weights: Any = None, key_weights: Any = None, query_weights: Any = None
    ) -> TrainedAttention:
        """Weights from elsewhere: W (d, d), or K and Q (d, m). `InvalidArgument`."""
        d = self.tokens.shape[2]
        given = [None if a is None else array64(a) for a in (weights, key_weights)]
        other = None if query_weights is None else array64(query_weights)
        joint, keys = given
        if (joint is None) == (keys is None) or (keys is None) != (other is None):
            expected = "either weights, or key_weights and query_weights"
            raise InvalidArgument("candidate", expected, "another combination")
        if joint is not None and np.shape(joint) != (d, d):
            got = np.shape(joint)
            raise InvalidArgument("candidate.weights", f"shape ({d}, {d})", got)
        if keys is not None and other is not None:
            fits = np.ndim(keys) == 2 and np.shape(keys) == np.shape(other)
            if not fits or np.shape(keys)[0] != d:
                got = (np.shape(keys), np.shape(other))
                raise InvalidArgument("candidate.key_weights", f"two ({d}, m)", got)
        return TrainedAttention(joint, keys, other)

    def value_from(self, arrays: dict[str, np.ndarray]) -> TrainedAttention:
        return self.candidate(**arrays)

    def default_method(self) -> Any:
        from ._attention_descent import NormalizedGradient

        return NormalizedGradient()

    def attend(self, weights: Any) -> Attended:
        """The softmax under W; differences are taken before products, not after."""
        images = self.queries @ weights.T
        raw = (self.tokens * images[:, None, :]).sum(-1)
        t = self.tokens.shape[1]
        inside = jnp.arange(t)[None, :] < jnp.asarray(self.lengths)[:, None]
        top = jnp.argmax(jnp.where(inside, raw, -jnp.inf), axis=1)
        winners = jnp.take_along_axis(self.tokens, top[:, None, None], axis=1)
        differences = self.tokens - winners
        behind = (differences * images[:, None, :]).sum(-1)
        behind = jnp.where(inside, behind, -jnp.inf)
        spread = jax.scipy.special.logsumexp(behind, axis=1)
        return Attended(top, behind - spread[:, None], jnp.asarray(differences))

    def outputs(self, found: Attended) -> Array:
        """f_i, shape (n,)."""
        probability = jnp.exp(found.log_probability)
        attended = (probability[:, :, None] * self.tokens).sum(1)
        return jax.vmap(self.head)(attended)

    def objective(self, weights: Any) -> Array:
        """The mean loss at W."""
        outputs = self.outputs(self.attend(weights))
        return jnp.mean(loss(self.loss, self.labels * outputs))


def stable_gradient(problem: AttentionTraining, weights: Any) -> tuple[Array, Array]:
    """(G, c): the gradient of the mean loss is e^c G.

    With s the softmax, gamma_t = y x_t' grad h and a the top token, an input gives
    l' sum over t != a of s_t (gamma_t - gamma's mean) (x_t - x_a) z': the top token's
    term is minus the sum of the others. c is the largest log-probability of any other
    token, so that nothing underflows together; the mean is taken of differences.
    """
    found = problem.attend(weights)
    probability = jnp.exp(found.log_probability)
    attended = (probability[:, :, None] * problem.tokens).sum(1)
    outputs, slopes = jax.vmap(jax.value_and_grad(problem.head))(attended)
    pull = problem.labels * loss_slope(problem.loss, problem.labels * outputs)
    # gamma_t - sum_tau s_tau gamma_tau, by differences to the top token
    behind = (found.differences * slopes[:, None, :]).sum(-1)
    mean = jnp.sum(probability * behind, axis=1)
    centred = behind - mean[:, None]
    others = jnp.arange(behind.shape[1])[None, :] != found.top[:, None]
    logs = jnp.where(others, found.log_probability, -jnp.inf)
    scale = jnp.max(logs)
    share = jnp.exp(logs - scale) * centred * pull[:, None]
    rows = (share[:, :, None] * found.differences).sum(1)
    return rows.T @ problem.queries / rows.shape[0], scale


def textbook_gradient(problem: AttentionTraining, weights: Any) -> tuple[Array, Array]:
    """The gradient as automatic differentiation has it, and c = 0.

    Once softmax saturates it is rounding error in some direction, and then zero.
    """

    def objective(w: Any) -> Any:
        images = problem.queries @ w.T
        raw = (problem.tokens * images[:, None, :]).sum(-1)
        t = raw.shape[1]
        inside = jnp.arange(t)[None, :] < jnp.asarray(problem.lengths)[:, None]
        probability = jax.nn.softmax(jnp.where(inside, raw, -jnp.inf), axis=1)
        attended = (probability[:, :, None] * problem.tokens).sum(1)
        outputs = jax.vmap(problem.head)(attended)
        return jnp.mean(loss(problem.loss, problem.labels * outputs))

    return jax.grad(objective)(weights), jnp.zeros(())
