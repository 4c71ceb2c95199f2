"""Work shared between cells: how many operations, and that their schedule steps boards."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bnncli.circuit import FIRST_INPUT, Builder, Circuit, rebuild, truth_tables
from bnncli.circuit.translation import Constant, Shared, schedule, shared_operations, transpose
from bnncli.data.rules import rule_table, step_board
from bnncli.errors import BnnError
from bnncli.gates import AND, INVERT_A, INVERT_B, OR, SWAP, XOR
from tests.circuits import brute_step, circuits, life_circuit, local_rules, random_board


def run_schedule(shared: Shared, board: np.ndarray) -> np.ndarray:
    """Step a torus as the schedule says; a read of an earlier row is a roll downwards."""
    values = list(board.astype(bool))

    def at(read):
        return np.roll(values[read.source], (-read.row, -read.column), (-2, -1))

    for op, a, b in shared.operations:
        values.append((op >> (at(a) + 2 * at(b).astype(int)) & 1).astype(bool))
    given = []
    for end in shared.outputs:
        constant = isinstance(end, Constant)
        given.append(np.full(board.shape[1:], end.value) if constant else at(end))
    return np.stack(given).astype(np.uint8)


@given(local_rules(), st.integers(1, 5), st.integers(1, 5), st.integers(0, 99))
def test_the_schedule_steps_boards_as_the_circuit_does(circuit, height, width, seed):
    board = random_board((circuit.n_outputs, height, width), seed)
    expected = brute_step(circuit, board)
    for across in (True, False):
        shared = schedule(circuit, across=across)
        np.testing.assert_array_equal(run_schedule(shared, board), expected)


@given(local_rules())
def test_a_sweep_can_compute_them(circuit):
    shared = schedule(circuit)
    for i, operation in enumerate(shared.operations):
        for read in operation[1:]:
            own = read.source < shared.channels
            assert -1 <= read.column <= 1 if own else -2 <= read.column <= 0
            assert -1 <= read.row <= 1 if own else -2 <= read.row <= 0
            assert own or read.source < shared.channels + i
    for end in shared.outputs:
        assert isinstance(end, Constant) or max(end[1:]) <= (end.source < shared.channels)
    assert max(shared.warm_up) <= 2


@given(local_rules())
def test_sharing_down_columns_only_reads_no_other_column(circuit):
    shared = schedule(circuit, across=False)
    assert shared_operations(circuit) <= shared.size <= rebuild(circuit).size
    assert shared.warm_up[1] == 0
    assert all(columns == 0 for _, columns in shared.kept)


@given(local_rules(), st.integers(0, 99))
def test_rows_and_columns_can_change_places(circuit, seed):
    board = random_board((circuit.n_outputs, 4, 5), seed)
    turned = brute_step(transpose(circuit), board.swapaxes(1, 2))
    np.testing.assert_array_equal(turned.swapaxes(1, 2), brute_step(circuit, board))
    assert shared_operations(transpose(circuit)) == shared_operations(circuit)


def expressions(circuit: Circuit) -> list:
    """Write each signal out down to the cells, complements on top."""
    signals = [("constant",), ("constant",)]
    signals += [
        ("cell", channel, row, column)
        for channel in range(circuit.n_inputs // 9)
        for row in range(3)
        for column in range(3)
    ]
    turned = [False] * len(signals)
    for op, a, b in zip(circuit.op.tolist(), circuit.a.tolist(), circuit.b.tolist(), strict=True):
        table = INVERT_A[op] if turned[a] else op
        table = INVERT_B[table] if turned[b] else table
        turned.append(table & 1 == 1)
        table = table ^ 15 if table & 1 else table
        x, y = signals[a], signals[b]
        orders = ("gate", table, x, y), ("gate", SWAP[table], y, x)
        signals.append(min(orders))
    return signals


def moved_to_corner(expression):
    """Shift an expression so that its topmost row and leftmost column are 0."""

    def cells(e):
        return [e] if e[0] == "cell" else [c for part in e[2:] for c in cells(part)]

    row, column = (min(c[i] for c in cells(expression)) for i in (2, 3))

    def shifted(e):
        if e[0] == "cell":
            return ("cell", e[1], e[2] - row, e[3] - column)
        return (*e[:2], *map(shifted, e[2:]))

    return shifted(expression)


@given(local_rules(max_gates=14))
def test_the_count_is_that_of_expressions_that_no_shift_makes_equal(circuit):
    clean = rebuild(circuit)
    gates = expressions(clean)[clean.first_gate :]
    inverters = [a == b for a, b in zip(clean.a, clean.b, strict=True)]
    proper = [g for g, inverter in zip(gates, inverters, strict=True) if not inverter]
    classes = {moved_to_corner(g) for g in proper}
    assert len(classes) <= shared_operations(circuit) <= len(classes) + sum(inverters)
    assert shared_operations(circuit) <= clean.size


def three_by_three(op: int, *, by_rows: bool) -> Circuit:
    """Combine the nine cells by one operation, first those of a row or of a column."""
    build = Builder(9)
    cells = np.array(build.inputs()).reshape(3, 3)
    parts = []
    for x, y, z in cells if by_rows else cells.T:
        parts.append(build.gate(op, build.gate(op, x, y), z))
    return build.build([build.gate(op, build.gate(op, parts[0], parts[1]), parts[2])])


@pytest.mark.parametrize("op", [AND, OR, XOR])
@pytest.mark.parametrize("by_rows", [True, False])
def test_rows_and_columns_are_combined_once(op, by_rows):
    circuit = three_by_three(op, by_rows=by_rows)
    shared = schedule(circuit)
    assert (circuit.size, shared.size) == (8, 4)
    assert shared.row_operations == (2 if by_rows else 0)
    assert sorted(shared.kept) == [(0, 0)] * 3 + [(2, 0) if by_rows else (0, 2)]
    assert shared.warm_up == ((2, 0) if by_rows else (0, 2))


def test_complements_are_shared_too():
    """A row's nor is another row's or with its complement, and an output may be turned."""
    build = Builder(9)
    cells = build.inputs()
    nor = build.not_(build.or_(cells[0], cells[1]))
    circuit = build.build([build.not_(build.and_(nor, build.or_(cells[3], cells[4])))])
    assert (circuit.size, shared_operations(circuit)) == (3, 2)


@pytest.mark.parametrize("op", range(16))
def test_outputs_that_need_no_gate(op):
    """A constant, a cell and its complement."""
    middle = FIRST_INPUT + 4
    circuit = Circuit.of_gates(9, [(op, middle, middle)], [11])
    board = random_board((1, 4, 5))
    shared = schedule(circuit)
    table = truth_tables(circuit)[0]
    assert shared.size == (1 if (table[0], table[16]) == (True, False) else 0)
    np.testing.assert_array_equal(run_schedule(shared, board)[0], table[board[0] * 16])


def test_a_signal_and_its_complement_as_outputs_cost_an_inverter():
    build = Builder(18)
    cells = build.inputs()
    above, below = build.and_(cells[0], cells[9]), build.and_(cells[3], cells[12])
    circuit = build.build([above, build.not_(below)])
    shared = schedule(circuit)
    assert shared.size == 2
    board = random_board((2, 6, 7))
    np.testing.assert_array_equal(run_schedule(shared, board), brute_step(circuit, board))


def test_life_of_like_rows():
    shared = schedule(life_circuit())
    assert (life_circuit().size, shared.size, shared.row_operations) == (28, 21, 5)
    board = random_board((1, 7, 9))
    given = run_schedule(shared, board)
    np.testing.assert_array_equal(given[0], step_board(board[0], rule_table("B3/S23")))


@given(circuits(max_inputs=8, max_outputs=2))
def test_other_circuits_are_refused(circuit):
    with pytest.raises(BnnError, match="the rule of a cell has 9 inputs for each output"):
        shared_operations(circuit)


@pytest.mark.parametrize("swapped", [False, True])
def test_what_reads_a_turned_operation_takes_its_complement(swapped):
    build = Builder(18)
    x, y, z, *_ = build.inputs()
    both = build.and_(x, y)
    read = build.gate(0x4, z, both) if swapped else build.gate(0x4, both, build.xor(x, z))
    # One channel becomes the complement of a gate, which the other one reads as it is.
    circuit = build.build([both ^ 1, read])
    board = random_board((2, 4, 5), 3)
    np.testing.assert_array_equal(
        run_schedule(schedule(circuit), board), brute_step(circuit, board)
    )
