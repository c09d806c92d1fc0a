import numpy as np
import pytest

from protocols.ports import BoardProgram, ProgramError


def test_a_program_of_couplings_alone_is_the_boards_reset_program():
    program = BoardProgram(np.zeros((3, 3)))
    assert (program.cells, program.inputs) == (3, 0)
    assert program.weights.shape == (3, 0)
    assert program.quadratic.tolist() == [0.5] * 3
    for name in ("bias", "cubic", "quartic"):
        assert getattr(program, name).tolist() == [0.0] * 3


def test_scalars_are_spread_over_the_cells():
    program = BoardProgram(np.zeros((2, 2)), bias=1, quadratic=-1.0, quartic=1)
    assert program.bias.tolist() == [1, 1]
    assert program.quartic.tolist() == [1, 1]


def test_a_program_is_a_copy_that_nobody_changes():
    couplings = np.zeros((2, 2))
    program = BoardProgram(couplings)
    couplings[0, 1] = 1
    assert not program.couplings.any()
    with pytest.raises(ValueError, match="read-only"):
        program.couplings[0, 1] = 1
    with pytest.raises(AttributeError):
        program.bias = np.zeros(2)


@pytest.mark.parametrize(
    ("couplings", "others", "match"),
    [
        (np.zeros((2, 3)), {}, "square"),
        (np.zeros((0, 0)), {}, "square"),
        (0.0, {}, "square"),
        ([[0, 1], [2, 0]], {}, "symmetric"),
        (np.eye(2), {}, "diagonal"),
        ([[0, np.nan], [np.nan, 0]], {}, "finite"),
        (np.zeros((2, 2)), {"bias": [1, 2, 3]}, "bias has shape"),
        (np.zeros((2, 2)), {"weights": np.zeros((3, 1))}, "weights has shape"),
        (np.zeros((2, 2)), {"weights": [1.0, 2.0]}, "weights has shape"),
        (np.zeros((2, 2)), {"quartic": np.inf}, "finite"),
    ],
)
def test_arrays_that_do_not_fit_together_are_no_program(couplings, others, match):
    with pytest.raises(ProgramError, match=match):
        BoardProgram(couplings, **others)
