"""Driver of the thermodynamic board.

Quantities are in the units the board is set to (`unit`): model units by default, in which a stiffness of 1 relaxes with
a time constant of 1/2 and times count in units of tau; volts and seconds in "physical". Cells, input columns and table
rows are numbered from 1, program slots from 0.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pymeasure.adapters import Adapter

from drivers.arrays import reshaped, short_list, symmetric, upper_triangle
from drivers.errors import ConnectionLostError, InstrumentTimeoutError, ReplyError
from drivers.properties import strict_integer
from drivers.thermodynamic_board_limits import LimitedBoard, parameter_header
from drivers.thermodynamic_board_registers import SLOTS

MEASURING = 1 << 4
SHORTEST_POLL, LONGEST_POLL = 1e-4, 2e-2
START_UP = 600.0
"""Time, s, that a board may keep an operation waiting; one that has just started may still be preparing itself."""


class RunShape(NamedTuple):
    """How the results of a run are ordered."""

    slots: int
    rows: int
    shots: int
    cells: int


class ThermodynamicBoard(LimitedBoard):
    """A board of up to 256 noisy electrical cells that sample from a programmable energy.

    The energy of a state x under inputs u is U = sum(J2 x^2 + J3 x^3 + J4 x^4 - b x) + sum_{i<j} J_ij x_i x_j
    + sum_{a,i} W_ia u_a x_i. A program slot holds J, b, W, J2, J3, J4; what is written goes to a shadow copy until
    `commit`.

    Parameters
    ----------
    adapter : str, int or pymeasure Adapter
        VISA resource name, or an adapter.
    name : str
        Name for messages.
    **kwargs
        Passed to `pymeasure.adapters.VISAAdapter`: `visa_library`, `timeout` in ms and the like.
    """

    def __init__(self, adapter: Adapter | str | int, name: str = "Thermodynamic board", **kwargs: Any) -> None:
        super().__init__(adapter, name, **kwargs)
        self._turn = threading.Condition(self.lock)
        self._operator: int | None = None
        self._run_shape: RunShape | None = None
        self._claimed = False

    def claim(self) -> bool:
        """Ask for the lock, now and whenever a new session replaces a lost one; return whether it was granted."""
        self._claimed = self.lock_granted
        return self._claimed

    def release_lock(self) -> None:
        """Give the lock back."""
        self._claimed = False
        self.execute("SYST:LOCK:REL")

    def reconnected(self) -> None:
        """Take the lock again, if it was claimed.

        Raises
        ------
        ConnectionLostError
            If another session holds it now.
        """
        super().reconnected()
        if self._claimed and not self.lock_granted:
            raise ConnectionLostError(f"{self.name}: held by {self.lock_owner} since the connection was lost")

    def clear_interlock(self) -> None:
        """Clear a latched interlock that is closed again."""
        self.execute("INT:CLE")

    def clear_protection(self) -> None:
        """Clear a tripped protection."""
        self.execute("OUTP:PROT:CLE")

    def switch_outputs(self, on: bool) -> None:
        """Switch the analog rails and wait until they have settled."""
        self.complete_operation(f"OUTP {int(on)}")

    # the program store

    def select(self, slot: int) -> None:
        """Select a program slot, if it is not selected already."""
        with self.lock:
            if self.slot != slot:
                self.slot = slot

    def program(self, slot: int | None = None, **parameters: ArrayLike) -> None:
        """Write parameters of one program in one message; they come into force with `commit`.

        Parameters
        ----------
        slot : int, optional
            Slot 0..63 to select first; default the selected one.
        **parameters : array_like
            Any of `couplings` (n, n) symmetric or the n(n-1)/2 values of its upper triangle row by row, `bias` (n,),
            `weights` (n, k), `quadratic`, `cubic`, `quartic` (n,).

        Raises
        ------
        ValueError
            If a parameter is unknown, not finite or of the wrong shape; nothing has been sent then.
        InstrumentError
            If the board refuses it.
        """
        with self.lock:
            self.execute(self._program_message(slot, parameters) + b"\n")

    def load(self, programs: Mapping[int, Mapping[str, ArrayLike]]) -> None:
        """Write programs, one message each, then commit all of them at once and wait until they are in force.

        Parameters
        ----------
        programs : mapping of int to mapping of str to array_like
            For every slot the parameters, as of `program`.

        Raises
        ------
        InstrumentError
            If the board refuses one of them; none is committed then.
        """
        with self._operation(), self.lock:
            messages = [self._program_message(slot, parameters) for slot, parameters in programs.items()]
            for message in messages:
                self.write_bytes(message + b"\n")
            self.check_errors()
            self.complete_operation(f"MOD:COMM {short_list(tuple(programs))}")

    def _program_message(self, slot: int | None, parameters: Mapping[str, ArrayLike]) -> bytes:
        units: list[Any] = [] if slot is None else [f"MOD:SEL {strict_integer(slot, (0, SLOTS - 1))}"]
        for name, values in parameters.items():
            header = parameter_header(name)
            array = upper_triangle(values) if name == "couplings" else np.asarray(values, dtype=float)
            if array.size:
                self.admit(name, array)
                units.append((header, array))
        if not units:
            raise ValueError("nothing to write: neither a slot nor a parameter is given")
        return self.message(*units)

    def parameter(self, name: str) -> NDArray[np.float64]:
        """Return a parameter of the selected slot, couplings as the full matrix (n, n), weights as (n, k)."""
        values = self.read_array(f"{parameter_header(name)}?")
        return self._shaped(name, values.astype(float))

    def actual_couplings(self) -> NDArray[np.float64]:
        """Return the couplings the converters have put into force, shape (n, n)."""
        return self._shaped("couplings", self.read_array("MOD:COUP:ACT?").astype(float))

    def _shaped(self, name: str, values: NDArray[np.float64]) -> NDArray[np.float64]:
        if name == "couplings":
            return symmetric(values)
        return values.reshape(self.cells, -1) if name == "weights" else values

    def bias_element(self, cell: int) -> float:
        """Return the bias of one cell of the selected slot."""
        return self.values(f"MOD:BIAS:ELEM? {cell:d}")[0]

    def set_bias_element(self, cell: int, value: float) -> None:
        """Set the bias of one cell in the selected slot's shadow."""
        self.admit("bias", value)
        self.execute(f"MOD:BIAS:ELEM {cell:d},{float(value):.9g}")

    def set_coupling_element(self, first: int, second: int, value: float) -> None:
        """Set the coupling of two cells in the selected slot's shadow."""
        self.admit("couplings", value)
        self.execute(f"MOD:COUP:ELEM {first:d},{second:d},{float(value):.9g}")

    def clear_program(self) -> None:
        """Empty the selected slot."""
        self.execute("MOD:CLE")

    def commit(self) -> None:
        """Put the selected slot's shadow on the switches and wait until they have settled."""
        self.complete_operation("MOD:COMM")

    def commit_slots(self, slots: Sequence[int]) -> None:
        """Commit those of `slots` that are not in force as written; the slot selected before stays so."""
        with self._operation(), self.lock:
            selected = self.slot
            for slot in slots:
                self.select(slot)
                if self.model_state != "LIVE":
                    self.commit()
            self.select(selected)

    # inputs and projections

    def set_input_table(self, table: ArrayLike) -> None:
        """Define and fill the input table in one message.

        Parameters
        ----------
        table : array_like, shape (rows, k)
            One input vector a row, values -1..1.
        """
        array = np.asarray(table, dtype=float)
        if array.ndim != 2 or not array.size:
            raise ValueError(f"an input table has shape {array.shape}; (rows, inputs) is needed")
        self.write_arrays(f"INP:TABL:DEF {array.shape[0]},{array.shape[1]}", ("INP:TABL", array))

    def input_table(self) -> NDArray[np.float64]:
        """Return the input table, shape (rows, k); (0, 0) where none is defined."""
        with self.lock:
            rows, columns = self.input_table_shape
            if rows * columns == 0:
                return np.zeros((rows, columns))
            return self.read_array("INP:TABL?").astype(float).reshape(rows, columns)

    def set_input_vector(self, values: ArrayLike) -> None:
        """Set the input vector of fixed inputs, values -1..1."""
        self.execute("INP:VECT " + ",".join(f"{value:.9g}" for value in np.asarray(values, dtype=float).ravel()))

    def set_projections(self, projections: ArrayLike | None) -> None:
        """Set the linear combinations of cells whose mean and covariances a run computes.

        Parameters
        ----------
        projections : array_like, shape (k, n) or (rows, k, n), or None
            The same for every row, or one set per row; None for none.
        """
        if projections is None:
            self.projection_count = 0
            return
        array = np.asarray(projections, dtype=float)
        if array.ndim not in (2, 3) or not array.size:
            raise ValueError(f"projections have shape {array.shape}; (k, cells) or (rows, k, cells) is needed")
        self.write_arrays(f"CALC:PROJ:DEF {array.shape[-2]}", ("CALC:PROJ", array))

    def reset_values(self) -> NDArray[np.float64]:
        """Return where a reset puts the cells, shape (1,) for all alike or (n,)."""
        return self.read_array("SAMP:RES:VAL?").astype(float)

    def set_reset_values(self, values: ArrayLike) -> None:
        """Set where a reset puts the cells: one value for all, or one for each."""
        self.write_arrays(("SAMP:RES:VAL", np.atleast_1d(values)))

    # runs

    def run_shape(self) -> RunShape:
        """Return the shape that a run begun now will have."""
        with self.lock:
            sweep = self.input_mode == "sweep"
            rows = self.rows[1] if sweep else 1
            shots = (self.dwell if sweep else None) or self.shots
            return RunShape(len(self.slots), rows, self.trigger_count * shots, len(self.read_cells))

    def run(
        self,
        *,
        deadline: float = 3600.0,
        progress: Callable[[int, int], None] | None = None,
        permit: Callable[[], None] | None = None,
    ) -> RunShape:
        """Run all slots and rows, and wait until the board has finished.

        Parameters
        ----------
        deadline : float
            Time allowed beyond the predicted board time, in seconds; the run is aborted then.
        progress : callable, optional
            Called now and then with the shots ready and the shots of the whole run.
        permit : callable, optional
            Called when nothing can come between it and the beginning of the run; what it raises keeps the run from
            beginning.

        Returns
        -------
        RunShape
            Slots, rows, shots and cells of the results.

        Raises
        ------
        InstrumentError
            If the board refuses the run or reports an error at its end.
        InstrumentTimeoutError
            If the run does not end in time.
        """
        with self.lock:
            self._run_shape = shape = self.run_shape()
            allowed = deadline + self.run_time
        self.complete_operation("INIT", deadline=allowed, progress=_shots_of(progress, self, shape), permit=permit)
        return shape

    def abort(self) -> None:
        """End a run; what it has measured so far is dropped."""
        self.execute("ABOR")

    def complete_operation(
        self,
        command: str | None = None,
        *,
        deadline: float = START_UP,
        progress: Callable[[], None] | None = None,
        permit: Callable[[], None] | None = None,
    ) -> None:
        """Write an overlapped command, if one is given, and poll until all are complete, ever less often.

        The lock is given up between polls, however often this thread holds it, so that another thread may abort; its
        own operations wait for the end of this one, since reading the event register that tells the end also clears
        it. What keeps the end from being seen aborts the operation.
        """
        with self._operation():
            with self.lock:
                sent = command or self._command
                if command:
                    self.note_errors()
                if permit is not None:
                    permit()
                self.write(f"*CLS;:{command};*OPC" if command else "*OPC")
            try:
                self._poll(sent, deadline, progress)
            except BaseException:
                with contextlib.suppress(Exception):
                    self.abort()
                raise
            self.raise_errors_of(sent)

    @contextlib.contextmanager
    def _operation(self) -> Iterator[None]:
        """Wait, without the lock, until no other thread's operation goes on, and keep others waiting."""
        thread = threading.get_ident()
        with self._turn:
            self._turn.wait_for(lambda: self._operator in (None, thread))
            outer, self._operator = self._operator, thread
        try:
            yield
        finally:
            with self._turn:
                self._operator = outer
                self._turn.notify_all()

    def _poll(self, sent: str, deadline: float, progress: Callable[[], None] | None) -> None:
        end = time.monotonic() + deadline
        interval = SHORTEST_POLL
        while not self._complete():
            if time.monotonic() > end:
                raise InstrumentTimeoutError(f"{self.name}: {sent!r} was not complete after {deadline:g} s; aborted")
            with self._turn:
                self._turn.wait(interval)
            if progress is not None:
                progress()
            interval = min(1.25 * interval, LONGEST_POLL)

    def _complete(self) -> bool:
        """Ask whether all operations are complete; a lost answer, which has cleared the event, is asked for again."""
        with self.lock:
            try:
                return bool(self.event_status & 1)
            except (InstrumentTimeoutError, ReplyError):
                self.write("*OPC")
                return False

    # results, shaped by the run

    def _shape(self) -> RunShape:
        if self._run_shape is None:
            self._run_shape = self.run_shape()
        return self._run_shape

    def samples(self) -> NDArray[Any]:
        """Return the raw samples of the last run, shape (slots, rows, shots, cells)."""
        return reshaped(self.read_array("FETC?"), tuple(self._shape()), "samples")

    def timestamps(self) -> NDArray[np.float64]:
        """Return when each sample of the last run was converted, s since its start, shape (slots, rows, shots)."""
        shape = self._shape()
        count = shape.slots * shape.rows * shape.shots
        stamps = self.read_array(f"DATA:TIM? 1,{count}", dtype="f8")
        return reshaped(stamps, (shape.slots, shape.rows, shape.shots), "time stamps")

    def moments(self) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Return mean, variance and standard error of the mean, shape (slots, rows, cells) each."""
        shape = self._shape()
        arrays = self.read_arrays("CALC:MEAN?", "CALC:VAR?", "CALC:SERR?")
        mean, variance, error = (reshaped(a, (shape.slots, shape.rows, shape.cells), "moments") for a in arrays)
        return mean, variance, error

    def mean(self) -> NDArray[Any]:
        """Return the mean of each cell, shape (slots, rows, cells)."""
        shape = self._shape()
        return reshaped(self.read_array("CALC:MEAN?"), (shape.slots, shape.rows, shape.cells), "mean")

    def covariance(self) -> NDArray[Any]:
        """Return the covariance of the cells, shape (slots, rows, cells, cells)."""
        shape = self._shape()
        i, j = np.triu_indices(shape.cells)
        upper = reshaped(self.read_array("CALC:COV?"), (shape.slots, shape.rows, len(i)), "covariance")
        full = np.empty((shape.slots, shape.rows, shape.cells, shape.cells), upper.dtype)
        full[..., i, j] = upper
        full[..., j, i] = upper
        return full

    def projections(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the mean of each projection, (slots, rows, k), and its covariance with every cell, (..., k, cells)."""
        with self.lock:
            shape, k = self._shape(), self.projection_count
            mean, covariance = self.read_arrays("CALC:PROJ:MEAN?", "CALC:PROJ:CORR?")
        return (
            reshaped(mean, (shape.slots, shape.rows, k), "projection means"),
            reshaped(covariance, (shape.slots, shape.rows, k, shape.cells), "projection covariances"),
        )

    def histogram(self) -> NDArray[np.uint32]:
        """Return the counts below the range, in each bin and above, shape (slots, rows, bins + 2)."""
        shape = self._shape()
        counts = self.read_array("CALC:HIST:DATA?", dtype="u4")
        return reshaped(counts, (shape.slots, shape.rows, self.histogram_bins + 2), "the histogram")

    def shutdown(self) -> None:
        """Bring the board to a safe state, whatever fails on the way: no run, no noise, no outputs."""
        with contextlib.ExitStack() as steps:
            steps.callback(super().shutdown)
            steps.callback(self.switch_outputs, False)
            steps.callback(setattr, self, "noise_enabled", False)
            steps.callback(self.abort)


def _shots_of(
    progress: Callable[[int, int], None] | None, board: ThermodynamicBoard, shape: RunShape
) -> Callable[[], None] | None:
    if progress is None:
        return None
    total = shape.slots * shape.rows * shape.shots
    begun = time.monotonic()
    reported = begun

    def report() -> None:
        nonlocal reported
        now = time.monotonic()
        if now - begun > 1.0 and now - reported > 0.25:
            reported = now
            progress(min(board.points, total), total)

    return report
