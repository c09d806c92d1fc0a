"""The persona of the QDAC-II: 24 channels, of which each adds up a DC voltage and four waveforms.

The command tree is spread over the classes that it is built from: triggers (`qdac2_triggers`), DC voltages
(`qdac2_dc`), waveforms (`qdac2_generators`) and current sensors (`qdac2_current`). What an output carries is computed
by `qdac2_waveforms`.
"""

import math
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor

from sim_devices.instruments.cabling import SignalInput, TriggerLine
from sim_devices.instruments.qdac2_current import Qdac2Current
from sim_devices.instruments.qdac2_outputs import CHANNELS, FASTEST, GENERATORS, Switch, Word
from sim_devices.instruments.qdac2_triggers import Unit
from sim_devices.scpi import Session, command, query, setting
from sim_devices.scpi.operation import Suspension
from twin.clock import Clock

IDENTITY = "QDevil, QDAC-II, {serial}, 3-1.70"
RESET_TIME = 5.0
"""How long ``*RST`` takes, s."""


class Qdac2(Qdac2Current):
    """A QDAC-II as its clients see it.

    Nothing that an output does moves the clock; a question about its end does: ``*opc?`` and the like let time go on
    until everything with an end has come to rest, ``ncl?`` until the end of a cycle.

    Parameters
    ----------
    clock : twin.clock.Clock
        Clock of the bench.
    worker : concurrent.futures.Executor
        The bench's worker thread, which is not needed: nothing here takes long.
    name : str
        Name on the bench.
    loads : mapping of int to SignalInput
        What the current sensor of a channel sees, A, by its number; nothing where there is none.
    trigger_inputs : sequence of TriggerLine
        The cables of trigger inputs 1 to 4.
    serial : str
        Serial number.
    """

    def __init__(
        self,
        clock: Clock,
        worker: Executor,
        name: str = "qdac",
        *,
        loads: Mapping[int, SignalInput] | None = None,
        trigger_inputs: Sequence[TriggerLine] = (),
        serial: str = "1",
    ) -> None:
        self.worker = worker
        self.name = name
        super().__init__(IDENTITY.format(serial=serial), clock, trigger_inputs, loads=loads)

    # what a QDAC-II does not have
    _common_save = None
    _common_recall = None
    _common_set_format = None
    _common_format = None
    _common_set_byte_order = None
    _common_byte_order = None

    def reset(self) -> None:
        """Take the rest of the state that ``*RST`` asks for: outputs at 0 V at once, nothing armed, empty lists."""
        now = self.clock.now()
        for output in self.outputs.values():
            output.configure("HIGH", "HIGH")
            for generator in GENERATORS:
                output.ramp(generator, now, 0.0, FASTEST)
        self.armed.clear()
        self.runs.clear()
        self.lists.clear()
        self.readings.clear()
        self._positions.clear()
        self.clock.sleep_until(now + RESET_TIME)

    @command("ABORt")
    def _abort_all(self, _: Session) -> None:
        for channel in range(1, CHANNELS + 1):
            self._abort_channel(channel)

    @command(f"SOURce<1:{CHANNELS}>:ALL:ABORt")
    def _abort_source(self, _: Session, channel: int) -> None:
        self._abort_channel(channel)

    def _abort_channel(self, channel: int) -> None:
        for kind in (*GENERATORS, "sens"):
            self.abort(Unit(kind, channel))

    # ---- completion ------------------------------------------------------------------------------------------------

    def come_to_rest(self) -> None:
        """Let time go on until everything with an end has come to rest."""
        ends = [track.end for output in self.outputs.values() for track in output.tracks.values()]
        self.clock.sleep_until(max([self.clock.now(), *filter(math.isfinite, ends)]))

    @command("*OPC", owner=False)
    def _common_operation_complete(self, session: Session) -> None:
        self.come_to_rest()
        session.arm_completion()

    @query("*OPC?")
    def _common_completed(self, _: Session) -> int | Suspension:
        self.come_to_rest()
        return 1

    @command("*WAI", owner=False)
    def _common_wait(self, _: Session) -> None:
        self.come_to_rest()

    # ---- system ----------------------------------------------------------------------------------------------------

    clock_source = setting("SYSTem:CLOCk:SOURce", Word("INTernal", "EXTernal"), reset="INT")
    clock_output = setting("SYSTem:CLOCk:SEND", Switch(), reset=False)

    @command("SYSTem:CLOCk:SYNChronize")
    def _synchronise(self, _: Session) -> None:
        """Let several units begin together; there is nothing to bring into step here."""

    @query("SYSTem:ERRor[:NEXT]?")
    def _common_next_error(self, session: Session) -> str:
        return _entry(*session.errors.pop())

    @query("SYSTem:ERRor:ALL?")
    def _common_all_errors(self, session: Session) -> str:
        return ", ".join(_entry(*session.errors.pop()) for _ in range(max(1, len(session.errors))))


def _entry(number: int, text: str) -> str:
    return f'{number}, "{text}"'
