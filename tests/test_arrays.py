"""What is read of a changed array means the same when it is spelt out."""

from hypothesis import given
from hypothesis import strategies as st

from engine.arrays import spelt_out
from engine.smt import Arithmetic, script
from engine.solvers import Answer, ask
from engine.terms import Array, If, Sort, constant, evaluate, symbol

INDICES = [symbol(name, Sort.NUMBER) for name in "ijk"]
NUMBERS = st.sampled_from([*INDICES, *(constant(value) for value in range(3))])
CHANGES = st.lists(st.tuples(st.sampled_from(["put", "fill", "choose"]), NUMBERS, NUMBERS))
VALUES = st.fixed_dictionaries(
    {
        **{name: st.integers(0, 2) for name in "ijk"},
        "a": st.lists(st.integers(0, 2), min_size=3, max_size=3),
    }
).map(lambda values: {**values, "N": 4})


def changed(changes):
    """The array `a` after some changes."""
    array = Array(symbol("a", Sort.NUMBER_ARRAY))
    for kind, one, two in changes:
        if kind == "put":
            array[one] = two
        elif kind == "fill":
            array.fill(one)
        else:
            array.choose_fill(one == two, one)
    return array


def operations(term):
    return {term.operation}.union(*(operations(item) for item in term.arguments))


@given(CHANGES, NUMBERS, VALUES)
def test_a_read_that_is_spelt_out_gives_what_the_read_gives(changes, index, values):
    array = changed(changes)
    read = If(array[index] < index, array[index], array[array[index]])
    spelt = spelt_out(read)
    assert evaluate(spelt, values) == evaluate(read, values)
    assert operations(spelt).isdisjoint({"store", "fill"})


@given(CHANGES, NUMBERS)
def test_no_read_of_a_changed_array_is_another_to_a_solver(changes, index):
    array = changed([*changes, ("put", index, INDICES[0])])
    for place in INDICES:
        wrong = (place == index) & (array[place] != INDICES[0])
        assert ask("z3", script(Arithmetic.INTEGER, [wrong])) is Answer.UNSATISFIABLE
