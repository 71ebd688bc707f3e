"""A study of the toy system: one answer that holds, one that fails as expected."""

from tests.toys import Diagonal


def study(size, desk):
    problem = Diagonal([1.0, 2.0], [1.0, 1.0])
    desk.solve("right", "The right answer", problem)
    expected = "fails" if size == "tour" else "holds"
    wrong = problem.candidate(x=[1.0, 1.0])
    desk.certify("wrong", "A wrong one", problem, wrong, expect={ID: expected})
    desk.say("Two answers.")


ID = "toy.residual/1"
