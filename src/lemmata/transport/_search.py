"""Finding a support: where ties leave no top-k choice whose rows come out right.

Three moves on a plan whose capped points keep their mass and their at most k entries:
sweeps that re-choose one capped point at a time under an augmented Lagrangian, entries
added where a linear program prices them as useful, and exchanges between two points.
"""

import numpy as np

from ._support import Elastic, Entries, HostData, elastic_transport

_MOVES = 500  # exchanges in a row
_PARTNERS = 512  # entries from which exchanges start


def sparse_column(scores: np.ndarray, mass: float, cap: int, gamma: float):
    """`topk_simplex` for one point, in NumPy: positions (cap,) and masses (cap,)."""
    places = np.argsort(-scores, kind="stable")[:cap]
    drop = scores[places] - scores[places[0]]
    level = (np.cumsum(drop) - gamma * mass) / np.arange(1, cap + 1)
    tau = level[np.count_nonzero(drop > level) - 1]
    return places, np.maximum(drop - tau, 0.0) / gamma


def descend(
    data: HostData, plan: np.ndarray, alpha: np.ndarray, penalty: float, sweeps: int
) -> np.ndarray:
    """Block descent on <C, T> + gamma/2 |T|^2 + <alpha, r> + penalty/2 |r|^2.

    Here r = a - T1. Each block, one capped point, is solved exactly (`topk_simplex`
    with gamma + penalty); after a sweep alpha follows r and the penalty grows.

    **Returns:** a plan (c, f) with at most k entries per capped point.
    """
    plan, alpha = plan.copy(), alpha.copy()
    left = data.free - plan.sum(axis=0)
    for _ in range(sweeps):
        for j in range(data.capped.size):
            left += plan[j]
            scores = alpha - data.cost[j] + penalty * left
            gamma = data.gamma + penalty
            places, mass = sparse_column(scores, data.capped[j], data.cap, gamma)
            plan[j] = 0.0
            plan[j, places] = mass
            left -= plan[j]
        # Summed afresh, so that rounding does not pile up.
        left = data.free - plan.sum(axis=0)
        alpha += penalty * left
        penalty *= 1.05
        if np.sum(np.abs(left)) < 1e-12:
            break
    return plan


def as_entries(plan: np.ndarray) -> Entries:
    """The non-zeros of a dense plan (c, f)."""
    capped, free = np.nonzero(plan)
    return Entries(free, capped, plan[capped, free])


def as_dense(entries: Entries, data: HostData) -> np.ndarray:
    """The plan as (c, f)."""
    plan = np.zeros(data.cost.shape)
    np.add.at(plan, (entries.capped, entries.free), entries.mass)
    return plan


def fill(data: HostData, entries: Entries, price: float, rounds: int = 8) -> Elastic:
    """Linear programs on the support; unused places go to the best-priced entries.

    `price`: of violated rows, in units of cost; each round is at least as good.
    """
    best, worth = elastic_transport(entries, data, 1.0, price), np.inf
    current = best
    for turn in range(rounds):
        e = current.entries
        value = data.cost[e.capped, e.free] @ e.mass + price * current.violation
        if value < worth - 1e-12:
            best, worth = current, value
        elif turn > 2:
            break
        reduced = data.cost - current.free_price - current.capped_price[:, None]
        used = as_dense(e, data) > 0
        reduced[used] = np.inf
        used |= _cheapest(reduced, data.cap - used.sum(axis=1))
        capped, free = np.nonzero(used)
        current = elastic_transport(
            Entries(free, capped, np.zeros(free.size)), data, 1.0, price
        )
    return best


def _cheapest(reduced: np.ndarray, room: np.ndarray) -> np.ndarray:
    """Per row the `room` smallest entries, as far as they are negative."""
    width = min(int(room.max(initial=0)), reduced.shape[1])
    order = np.argsort(reduced, axis=1, kind="stable")[:, :width]
    good = np.arange(width) < room[:, None]
    good &= np.take_along_axis(reduced, order, axis=1) < -1e-12
    chosen = np.zeros(reduced.shape, dtype=bool)
    np.put_along_axis(chosen, order, good, axis=1)
    return chosen


def exchange(data: HostData, entries: Entries, price: float) -> Entries:
    """Moves an entry to another free point, or lets two entries trade theirs, while
    cost + price * violation falls; the best move first.
    """
    plan = as_dense(entries, data)
    for _ in range(_MOVES):
        e = as_entries(plan)
        left = data.free - plan.sum(axis=0)
        worst = np.argsort(-np.abs(left[e.free]), kind="stable")[:_PARTNERS]
        start = Entries(*(part[worst] for part in e))
        move = _best_move(data, start, left, price)
        trade = _best_trade(data, start, e, left, price)
        if min(move[0], trade[0]) > -1e-9:
            break
        if move[0] <= trade[0]:
            _, i, target = move
            _shift(plan, start, i, target)
        else:
            _, i, k = trade
            _shift(plan, start, i, e.free[k])
            _shift(plan, e, k, start.free[i])
    return as_entries(plan)


def _shift(plan: np.ndarray, e: Entries, i: int, target: int) -> None:
    plan[e.capped[i], e.free[i]] -= e.mass[i]
    plan[e.capped[i], target] += e.mass[i]


def _best_move(data: HostData, e: Entries, left: np.ndarray, price: float):
    here, mass = left[e.free][:, None], e.mass[:, None]
    change = np.abs(here + mass) + np.abs(left - mass) - np.abs(here) - np.abs(left)
    change[np.arange(mass.size), e.free] = np.inf
    costs = data.cost[e.capped] - data.cost[e.capped, e.free][:, None]
    score = price * change + mass * costs
    i, target = np.unravel_index(np.argmin(score), score.shape)
    return score[i, target], int(i), int(target)


def _best_trade(
    data: HostData, e: Entries, other: Entries, left: np.ndarray, price: float
):
    here, there = left[e.free][:, None], left[other.free][None, :]
    mass, theirs = e.mass[:, None], other.mass[None, :]
    more = mass - theirs
    change = np.abs(here + more) + np.abs(there - more) - np.abs(here) - np.abs(there)
    cost = data.cost
    away = cost[e.capped[:, None], other.free] - cost[e.capped, e.free][:, None]
    back = cost[other.capped, e.free[:, None]] - cost[other.capped, other.free]
    # Trading within one point, or one free point for itself, changes nothing.
    same = (e.capped[:, None] == other.capped) | (e.free[:, None] == other.free)
    score = np.where(same, np.inf, price * change + mass * away + theirs * back)
    i, k = np.unravel_index(np.argmin(score), score.shape)
    return score[i, k], int(i), int(k)
