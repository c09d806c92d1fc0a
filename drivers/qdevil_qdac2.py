"""Driver of the QDAC-II, a gate DAC of 24 channels; see `drivers.qdevil_qdac2_channel` for one of them.

Commands are in lower case, as those of the maker's own programs.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import ArrayLike
from pymeasure.adapters import Adapter

from drivers.channel import InstrumentChannel
from drivers.errors import InstrumentTimeoutError, OutputLimitError
from drivers.guarded import GuardedInstrument
from drivers.properties import choice, measurement, real, strict_integer
from drivers.qdevil_qdac2_channel import Qdac2Channel, values_argument, voltages
from drivers.qdevil_qdac2_generators import HIGHEST, SOURCES, switch
from drivers.qdevil_qdac2_registers import overload
from drivers.replies import names

CHANNELS = 24
START, STEP = 14, 13
"""Internal triggers that `Qdac2.load_lists` takes for itself: the common start, and the steps."""
STEP_WIDTH = 10e-6
"""Width of the pulse that leaves at each step, s."""
RESET_TIME = 5.0
"""How long a reset takes, s."""
AT_REST = 1e-6
"""Voltage that counts as none, V."""

_HARMLESS = re.compile(
    r"[:\s]*(?:"
    r"\S*\?(?=\s|$)|"
    r"\*(?:cls|ese|sre|opc|wai)\b|"
    r"(?:sens|outp|stat|disp)[a-z]*\d*(?::|\s|$)|"
    r"syst[a-z]*:(?:cloc|comm|lock|beep)|"
    r"abor[a-z]*\s*$)",
    re.IGNORECASE,
)
"""Headers that move no output: questions, and whole subsystems."""


class TriggerOutput(InstrumentChannel):
    """A trigger output: 1 to 3 on the front, 5 V isolated; 4 and 5 on the rear, 3.3 V."""

    source = choice(
        "outp:trig{ch}:sour",
        """Control what it repeats (str: bus, hold, int1 to int14, ext1 to ext4).""",
        {name: word for name, word in SOURCES.items() if name != "immediate"},
    )
    width = real("outp:trig{ch}:widt", """Control the width of a pulse in s (float from 1e-6).""", 1e-6, 1)
    delay = real("outp:trig{ch}:del", """Control the delay in s (float from 0).""", 0, 3600)
    polarity = choice(
        "outp:trig{ch}:pol",
        """Control the polarity (str, "normal" or "inverted").""",
        {"normal": "norm", "inverted": "inv"},
    )

    def signal(self) -> None:
        """Send one pulse."""
        self.execute("outp:trig{ch}:sign")


class Qdac2(GuardedInstrument):
    """A QDAC-II.

    Outputs are moved through `channel` and the methods here, which keep the limits of every channel that has some.
    `write` and `write_bytes` refuse what could move an output, so that nothing gets round them.

    Parameters
    ----------
    adapter : str, int or pymeasure Adapter
        VISA resource name, or an adapter.
    name : str
        Name for messages.
    **kwargs
        Passed to `pymeasure.adapters.VISAAdapter`: `visa_library`, `timeout` in ms and the like.

    Attributes
    ----------
    traces : dict of str to tuple of float
        Lowest and highest voltage of the traces that this driver has defined, V.
    """

    def __init__(self, adapter: Adapter | str | int, name: str = "QDAC-II", **kwargs: Any) -> None:
        super().__init__(adapter, name, **kwargs)
        self._channels: dict[int, Qdac2Channel] = {}
        self.traces: dict[str, tuple[float, float]] = {}
        self._loaded: dict[int, tuple[float, float]] = {}
        self._step_output: int | None = None

    def channel(self, number: int) -> Qdac2Channel:
        """Return a channel, 1 to 24.

        Raises
        ------
        ValueError
            If there is none of this number.
        """
        number = strict_integer(number, (1, CHANNELS))
        with self.lock:
            if number not in self._channels:
                self._channels[number] = Qdac2Channel(self, number)
            return self._channels[number]

    def trigger_output(self, number: int) -> TriggerOutput:
        """Return a trigger output, 1 to 5."""
        return TriggerOutput(self, strict_integer(number, (1, 5)))

    @property
    def _protected(self) -> list[Qdac2Channel]:
        return [channel for channel in self._channels.values() if channel.protected]

    # ---- the wire --------------------------------------------------------------------------------------------------

    def write(self, command: str, **kwargs: Any) -> None:
        """Write one message, in lower case unless it has a name in quotes.

        Raises
        ------
        OutputLimitError
            If it could move an output.
        """
        super().write(command if '"' in command else command.lower(), **kwargs)

    def refuse_moves(self, message: str) -> None:
        """Raise OutputLimitError if a message could move an output."""
        for unit in re.split(r"[;\n]", message):
            if unit.strip() and not _HARMLESS.match(unit):
                raise OutputLimitError(
                    f"{self.name}: {unit.strip()[:60]!r} could move an output; the properties and methods here may"
                )

    def execute_values(self, header: str, values: ArrayLike, *, binary: bool = True) -> None:
        """Write a command with an array and raise what it leaves in the error queue."""
        with self.lock:
            separator = b"," if header.endswith('"') else b" "
            self.execute(header.encode() + separator + values_argument(voltages(values), binary=binary) + b"\n")

    def _execute_all(self, *commands: str) -> None:
        """Write commands one after the other, then raise what they leave in the error queue."""
        with self.permitted():
            for command in commands:
                self.write(command)
            self.check_errors()

    # ---- triggers --------------------------------------------------------------------------------------------------

    def fire(self, number: int) -> None:
        """Fire an internal trigger, 1 to 14.

        Raises
        ------
        OutputLimitError
            If what waits for a trigger could take an output beyond its limits.
        """
        number = strict_integer(number, (1, 14))
        self._trigger(f"tint {number}")

    def bus_trigger(self) -> None:
        """Fire what waits for the bus (`*TRG`); see `fire`."""
        self._trigger("*trg")

    def _trigger(self, command: str) -> None:
        with self.permitted():
            for channel in self._protected:
                channel.admit_trigger()
            self.execute(command)

    # ---- lists that run together -----------------------------------------------------------------------------------

    def load_lists(
        self, lists: Mapping[int, ArrayLike], dwell: float, step_output: int | None = None, *, settled: bool = True
    ) -> None:
        """Load lists of one length into channels, to be started together.

        Parameters
        ----------
        lists : mapping of int to array_like, shape (n,)
            For every channel its voltages, V.
        dwell : float
            Time of each step, s.
        step_output : int, optional
            Trigger output, 1 to 5, from which a pulse leaves at the beginning of each step.
        settled : bool
            Whether a list is refused that its slew does not let arrive, from where the output is, at every value within
            the dwell.

        Raises
        ------
        OutputLimitError
            If a value could leave the limits of its channel, or its slew is too slow; nothing has been sent to the
            sources then.
        ValueError
            If the lists have different lengths.
        """
        arrays = {number: voltages(values) for number, values in lists.items()}
        if not arrays or len({array.size for array in arrays.values()}) != 1:
            raise ValueError(f"lists of {[array.size for array in arrays.values()]} values; one length is allowed")
        with self.permitted():
            for number, array in arrays.items():
                self.channel(number).admit_list(array, dwell if settled else None)
            self._loaded, self._step_output = {}, None
            for number, array in arrays.items():
                self._load(self.channel(number), array, dwell)
            if step_output is not None:
                self._connect_steps(next(iter(arrays)), step_output)
            self._loaded = {number: (array.min(), array.max()) for number, array in arrays.items()}

    def _load(self, channel: Qdac2Channel, values: ArrayLike, dwell: float) -> None:
        source = f"sour{channel.id}"
        channel.mode = "list"
        channel.set_list(values)
        self._execute_all(
            f"{source}:list:dwel {dwell:.9g}",
            f"{source}:list:tmod auto",
            f"{source}:list:dir up",
            f"{source}:list:coun 1",
            f"{source}:dc:del 0",
            f"{source}:dc:init:cont off",
            f"{source}:dc:mark:sst 0",
            f"{source}:dc:trig:sour int{START}",
        )

    def _connect_steps(self, number: int, step_output: int) -> None:
        output = f"outp:trig{self.trigger_output(step_output).id}"
        self._execute_all(
            f"sour{number}:dc:mark:sst {STEP}",
            f"{output}:widt {STEP_WIDTH:.9g}",
            f"{output}:del 0",
            f"{output}:pol norm",
            f"{output}:sour int{STEP}",
        )
        self._step_output = step_output

    def start_lists(self) -> None:
        """Start the loaded lists together, without waiting for their end.

        Raises
        ------
        OutputLimitError
            If limits have changed since they were loaded and would not hold.
        RuntimeError
            If none are loaded.
        """
        if not self._loaded:
            raise RuntimeError(f"{self.name}: no lists are loaded; load_lists comes first")
        with self.permitted():
            for number, (low, high) in self._loaded.items():
                self.channel(number).admit_list([low, high], None)
            self._execute_all(*(f"sour{number}:dc:init" for number in self._loaded), f"tint {START}")

    def finish_lists(self) -> None:
        """End the loaded lists; their channels stay where they are, in fixed mode."""
        with self.permitted():
            if self._step_output is not None:
                self._execute_all(f"outp:trig{self._step_output}:sour hold")
            for number in self._loaded:
                self.channel(number).hold()
                self._execute_all(f"sour{number}:dc:trig:sour imm", f"sour{number}:dc:mark:sst 0")
            self._loaded, self._step_output = {}, None

    def stop_all(self) -> None:
        """Abort everything at once: lists, sweeps and ramps stay where they are, waveforms go to nothing."""
        with self.permitted():
            self.execute("abor")
            for number in range(1, CHANNELS + 1):
                self.channel(number).stopped()
            self._loaded, self._step_output = {}, None

    # ---- traces of the arbitrary waveforms -------------------------------------------------------------------------

    def define_trace(self, name: str, values: ArrayLike, *, binary: bool = True) -> None:
        """Define a trace, one voltage, V, a microsecond.

        Raises
        ------
        OutputLimitError
            If a waveform that may be running on a protected channel uses it.
        ValueError
            If the name is not of 1 to 32 printable characters without quotes.
        """
        array = voltages(values)
        if not 1 <= len(name) <= 32 or '"' in name or not (name.isascii() and name.isprintable()):
            raise ValueError(f"{name!r} is no name of a trace; 1 to 32 printable ASCII characters without quotes are")
        with self.permitted():
            self._require_unused(name)
            self.traces.pop(name, None)
            self.execute(f'trac:def "{name}",{array.size}')
            self.execute_values(f'trac:data "{name}"', array, binary=binary)
            self.traces[name] = (float(array.min()), float(array.max()))

    def _require_unused(self, name: str | None) -> None:
        for channel in self._protected:
            if channel.awg.kind in channel.motions():
                channel.drop_finished()
            if channel.awg.kind in channel.motions() and name in (None, channel.awg.trace):
                raise OutputLimitError(
                    f"{channel.name}: the waveform of trace {name or 'any'} may be running; abort it first"
                )

    trace_names = measurement(
        "trac:cat?",
        """Get the names of the traces (tuple of str).""",
        cast=str,
        maxsplit=0,
        get_process=names,
    )

    def remove_traces(self) -> None:
        """Remove all traces; see `define_trace`."""
        with self.permitted():
            self._require_unused(None)
            self.execute("trac:rem:all")
            self.traces.clear()

    # ---- currents, clock, errors -----------------------------------------------------------------------------------

    def currents(self, channels: Sequence[int]) -> list[float]:
        """Measure the currents out of some channels at the same time, A; infinite beyond the range."""
        numbers = [self.channel(number).id for number in channels]
        return self.read_currents(f"read? (@{','.join(map(str, numbers))})")

    def read_currents(self, query: str) -> list[float]:
        """Ask for readings, A, infinite beyond the range, and raise errors that came with them."""
        with self.lock:
            values = self.values(query)
            self.check_errors()
            return [overload(value) for value in values]

    clock_source = choice(
        "syst:cloc:sour",
        """Control the clock (str, "internal" or "external").""",
        {"internal": "int", "external": "ext"},
    )
    clock_output = switch("syst:cloc:send", """Control whether the clock is sent to other units (bool).""")

    def synchronise(self) -> None:
        """Bring the units of a common clock into step."""
        self.execute("syst:cloc:sync")

    error_count = measurement(
        "syst:err:coun?", """Get the number of entries in the error queue (int).""", cast=float, get_process=int
    )

    # ---- reset and end ---------------------------------------------------------------------------------------------

    def reset(self) -> None:
        """Set everything to its reset value, which puts every output to 0 V at once; it takes some seconds.

        Raises
        ------
        OutputLimitError
            If an output with limits is not at rest at 0 V; nothing has been reset then.
        """
        with self.permitted():
            for channel in self._protected:
                self._require_rest(channel)
            for channel in self._channels.values():
                channel.forget()
            self._loaded, self._step_output = {}, None
            self.forget_encoding()
            self.write("*rst")
            self._wait_for_reset()
            self.check_errors()

    def _require_rest(self, channel: Qdac2Channel) -> None:
        channel.drop_finished()
        low, high = channel.limits
        volts = channel.actual_voltage
        if channel.motions() or abs(volts) > AT_REST or not low <= 0 <= high:
            raise OutputLimitError(
                f"{channel.name} is at {volts:.6g} V; a reset is allowed at rest at 0 V, within the limits"
            )

    def _wait_for_reset(self) -> None:
        """Wait until the instrument answers again."""
        deadline = time.monotonic() + 2 * RESET_TIME
        while True:
            try:
                self.ask("*opc?")
            except InstrumentTimeoutError:
                if time.monotonic() > deadline:
                    raise
            else:
                return

    def shutdown(self) -> None:
        """Stop everything where it is, and close the session."""
        self.stop_all()
        super().shutdown()


__all__ = ["CHANNELS", "HIGHEST", "Qdac2", "TriggerOutput"]
