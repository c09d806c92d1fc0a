"""The persona of the thermodynamic board TB256: its commands on one side, the physics of the twin on the other.

The command tree is spread over the subsystems that the class is built from: rails (`board_rails`), program slots
(`board_model`), what a run does (`board_sampling`) and what it left (`board_readings`). Runs and self tests are here.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from threading import Event
from typing import Any

from sim_devices.instruments.board_acquisition import MEMORY, Acquisition, Order
from sim_devices.instruments.board_programs import SLOTS
from sim_devices.instruments.board_rails import CAPTURING, MEASURING, SATURATED, SWEEPING, WAITING
from sim_devices.instruments.board_readings import BoardReadings
from sim_devices.instruments.board_tests import MEASUREMENTS
from sim_devices.scpi import Integer, Operation, Quoted, ScpiError, Session, command, query

SELF_TESTS = tuple(MEASUREMENTS)


@dataclass(eq=False)
class Run:
    """An accepted INITiate until it ends; `future` is done when it has ended, however it did."""

    order: Order
    session: Session
    future: "Future[None]" = field(default_factory=Future)
    cancelled: Event = field(default_factory=Event)
    triggers: int = 0
    """Triggers still to come before it begins."""
    measured: int = 0

    def count(self, shots: int) -> None:
        """Take note of how many shots are done."""
        self.measured = shots


class ThermodynamicBoard(BoardReadings):
    """The board as its clients see it.

    One run is active at a time, on the bench's worker thread; settings that would change it are refused meanwhile
    (-221). A run whose fraction of clipped samples exceeds OUTPut:PROTection:SATuration ends with error 233 and keeps
    its data. The outputs go off, and an active run ends, when the interlock opens or the board overheats.

    Parameters
    ----------
    model : twin.models.thermodynamic_board.ThermodynamicBoard
        The physics.
    clock : twin.clock.Clock
        Clock of the bench, which runs and settling advance by their board time.
    worker : concurrent.futures.Executor
        The bench's single worker thread.
    name : str
        Name of the board on its bench.
    """

    _run: Run | None = None
    _test_results: Sequence[str] = ()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.reset()

    # ---- runs ------------------------------------------------------------------------------------------------------

    def idle(self) -> None:
        """Raise -221 while a run is active."""
        if self._run is not None:
            raise ScpiError(-221, "a run is active, ABORt ends it")

    @command("INITiate[:IMMediate]")
    def _initiate(self, session: Session) -> Operation:
        return Operation(self.begin_run(session).future)

    @query("READ?", owner=True)
    def _read(self, session: Session) -> Operation:
        run = self.begin_run(session)
        return Operation(run.future, reply=lambda: self.readings(session))

    def begin_run(self, session: Session) -> Run:
        """Accept a run and start it, or make it wait for its trigger.

        Raises
        ------
        ScpiError
            -213 while a run is active, 101, 104 or -221 without rails, and what `order` raises.
        """
        if self._run is not None:
            raise ScpiError(-213, "a run is active")
        self.require_rails()
        order = self.order()
        self.acquisition = None
        self.acquisitions = order.acquisition
        self.update_data_ready()
        self._run = run = Run(order, session)
        if self.trigger_source == "BUS":
            run.triggers = self.trigger_count
            self.set_condition("operation", WAITING, True)
        else:
            self._launch(run)
        return run

    def trigger(self, _: Session) -> None:
        """Give the run that waits one of its triggers, the last of which starts it; -211 where none waits."""
        run = self._run
        if run is None or not run.triggers:
            raise ScpiError(-211, "no run waits for a trigger")
        run.triggers -= 1
        if not run.triggers:
            self.set_condition("operation", WAITING, False)
            self._launch(run)

    def _launch(self, run: Run) -> None:
        self.set_condition("questionable", SATURATED, False)
        self.set_condition("operation", MEASURING, True)
        self.set_condition("operation", SWEEPING, self.input_mode == "SWE")
        self.set_condition("operation", CAPTURING, self.function == "CAPT")
        self.worker.submit(self._execute, run, self.clock.now())

    def _execute(self, run: Run, asked: float) -> None:
        """Carry out a run asked for at a time, on the worker thread."""
        if run.cancelled.is_set():
            return
        try:
            begun = self.begins(asked)
            acquisition = run.order.run(self.model, begun, run.cancelled.is_set, run.count)
            self.ends(begun, run.order.timing.total)
        except Exception as error:  # noqa: BLE001 -- the session that began the run is told
            if self._leave(run):
                run.future.set_exception(error)
            return
        with self.lock:
            ended = self._leave(run)
            if ended:
                self._publish(run, acquisition)
        if ended:
            run.future.set_result(None)

    def _leave(self, run: Run) -> bool:
        """End a run if it is still the active one; return whether it was."""
        with self.lock:
            if self._run is not run:
                return False
            self._run = None
            for bit in (MEASURING, SWEEPING, CAPTURING, WAITING):
                self.set_condition("operation", bit, False)
            return True

    def _publish(self, run: Run, acquisition: Acquisition) -> None:
        self.acquisition = acquisition
        self.update_data_ready()
        if self.input_mode == "STEP":
            self.input_row = self.input_row % len(self.table) + 1
            self._load_row(self.input_row)
        clipped = float(acquisition.record.saturated_fraction)
        if clipped > self.saturation_limit:
            self.set_condition("questionable", SATURATED, True)
            run.session.report(ScpiError(233, f"fraction {clipped:.3g}, limit {self.saturation_limit:.3g}"))

    @command("ABORt")
    def _abort(self, _: Session) -> None:
        self.abort()

    def abort(self) -> None:
        """End an active run; nothing of it is kept, and what waits for it goes on."""
        run = self._run
        if run is not None and self._leave(run):
            run.cancelled.set()
            run.future.set_result(None)

    def after_run(self, reply: Callable[[], Any]) -> Any:
        """Return a reply at once, or as soon as the active run has ended."""
        return reply() if self._run is None else Operation(self._run.future, reply=reply)

    def shots_measured(self) -> int:
        """Return the shots that the active run has made so far; 0 while none is active."""
        return 0 if self._run is None else self._run.measured

    def warm_up(self) -> None:
        """Compile the physics, so that the first run takes no longer than the next ones."""
        self.model.warm_up()

    def close(self) -> None:
        """End the active run and every session."""
        with self.lock:
            self.abort()
        super().close()

    # ---- reset, save and recall ------------------------------------------------------------------------------------

    def reset(self) -> None:
        """Take the rest of the state that ``*RST`` asks for: no run, outputs off, empty slots and memories."""
        self.outputs_off()
        super().reset()

    @command("SYSTem:PRESet", guards=("idle",))
    def _preset(self, _: Session) -> None:
        self.reset_settings()
        self.reset()

    def check_recall(self) -> None:
        """Refuse ``*SAV`` and ``*RCL`` while a run is active."""
        self.idle()

    def save_state(self) -> Any:
        """Return programs, inputs and projections; nothing of them is live after ``*RCL``."""
        programs = self.programs
        slots = [replace(slot, live=None, program=None) for slot in programs.slots]
        return slots, programs.layers, self.table, self.vector, self.start, self.projections

    def recall_state(self, state: Any) -> None:
        """Take what `save_state` returned."""
        slots, layers, self.table, self.vector, self.start, self.projections = state
        programs = self.programs
        programs.resize(self.cells, self.inputs)
        programs.slots = [replace(slot) for slot in slots]
        programs.selected, programs.topology, programs.layers = self.slot, self.topology, layers
        self.noise_on = self.noise_on and self.outputs_on
        self.acquisitions = 0
        self.update_live()
        self.update_data_ready()

    # ---- capability and self test ----------------------------------------------------------------------------------

    @query("SYSTem:CAPability?")
    def _ask_capability(self, _: Session) -> Quoted:
        circuit = self.model.circuit
        facts = {
            "cells": self.model.cells,
            "inputs": self.model.inputs,
            "slots": SLOTS,
            "memory": MEMORY,
            "clock": f"{circuit.clock_frequency:g}",
            "tau": f"{circuit.time_constant:g}",
        }
        return Quoted(";".join(f"{key}={value}" for key, value in facts.items()))

    def self_test(self) -> Operation:
        """Run every self test; the result is 0, or the number of the first that failed."""
        self.idle()
        return Operation(self.worker.submit(self._run_tests, SELF_TESTS))

    @query("TEST:RUN?", Integer(1, 9, also=("ALL",), optional=True), guards=("idle",), owner=True)
    def _run_test(self, session: Session, number: int | str | None) -> Operation:
        numbers = tuple(test for test in SELF_TESTS if number in (test, None, "ALL"))
        if not numbers:
            raise ScpiError(-224, f"{number} is none of {', '.join(map(str, SELF_TESTS))}")
        future = self.worker.submit(self._run_tests, numbers)
        return Operation(future, reply=lambda: self._test_verdict(future, session))

    @query("TEST:RESult?")
    def _ask_test_result(self, _: Session) -> tuple[Quoted, ...]:
        return tuple(Quoted(result) for result in self._test_results) or (Quoted(""),)

    def _run_tests(self, numbers: Sequence[int]) -> int:
        outcomes = {number: MEASUREMENTS[number](self.model) for number in numbers}
        with self.lock:
            self._test_results = tuple(
                f"{number}:{'PASS' if passed else 'FAIL'}:{text}" for number, (passed, text) in outcomes.items()
            )
        return next((number for number, (passed, _) in outcomes.items() if not passed), 0)

    @staticmethod
    def _test_verdict(future: "Future[int]", session: Session) -> int:
        failed = future.result()
        if failed:
            session.report(ScpiError(261, f"test {failed}"))
        return failed

    @command("DIAGnostic:INJect", Integer(-499, 999))
    def _inject(self, session: Session, number: int) -> None:
        """Queue an error as if it had occurred."""
        if number == 0:
            raise ScpiError(-224, "0 is no error")
        session.report(ScpiError(number, "injected"))
