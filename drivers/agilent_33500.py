"""Driver of the waveform generators Agilent 33500 (now Keysight): pymeasure's class with errors, limits and blocks.

Every property of pymeasure's class is here under its name. None is dynamic: what a model cannot do it refuses itself.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from typing import Any, ClassVar

from numpy.typing import ArrayLike
from pymeasure.adapters import Adapter
from pymeasure.instruments import Instrument
from pymeasure.instruments.agilent import agilent33500

from drivers.agilent_33500_channel import Agilent33500Channel
from drivers.agilent_33500_limits import may_move
from drivers.errors import InstrumentTimeoutError, OutputLimitError
from drivers.guarded import GuardedInstrument
from drivers.properties import boolean, measurement

OPERATION_COMPLETE = 1
POLL_INTERVAL = 5e-3
"""s."""


def _of_first_channel(name: str) -> property:
    """Return a property of channel 1 as one of the instrument."""
    docs = getattr(Agilent33500Channel, name).__doc__

    def fget(self: Agilent33500) -> Any:
        return getattr(self.ch_1, name)

    def fset(self: Agilent33500, value: Any) -> None:
        setattr(self.ch_1, name, value)

    return property(fget, fset, doc=docs)


class Agilent33500(GuardedInstrument, agilent33500.Agilent33500):
    """A generator with two outputs, `ch_1` and `ch_2`; properties of an output asked of the instrument are of `ch_1`.

    Parameters
    ----------
    adapter : str, int or pymeasure Adapter
        VISA resource name, or an adapter.
    name : str
        Name for messages.
    **kwargs
        Passed to `pymeasure.adapters.VISAAdapter`: `visa_library`, `timeout` in ms and the like.
    """

    ch_1: Agilent33500Channel = Instrument.ChannelCreator(Agilent33500Channel, 1)
    ch_2: Agilent33500Channel = Instrument.ChannelCreator(Agilent33500Channel, 2)
    channels: ClassVar[dict[int, Agilent33500Channel]]

    def __init__(self, adapter: Adapter | str | int, name: str = "Waveform generator", **kwargs: Any) -> None:
        super().__init__(adapter, name, **kwargs)

    def refuse_moves(self, message: str) -> None:
        """Raise OutputLimitError if a message could move an output while one has limits."""
        limited = any(channel.limits is not None for channel in self.channels.values())
        if limited and may_move(message.partition("#")[0]):
            raise OutputLimitError(f"{self.name}: {message[:60]!r} passes the limits of outputs; set properties")

    shape = _of_first_channel("shape")
    frequency = _of_first_channel("frequency")
    amplitude = _of_first_channel("amplitude")
    amplitude_unit = _of_first_channel("amplitude_unit")
    offset = _of_first_channel("offset")
    voltage_high = _of_first_channel("voltage_high")
    voltage_low = _of_first_channel("voltage_low")
    phase = _of_first_channel("phase")
    square_dutycycle = _of_first_channel("square_dutycycle")
    ramp_symmetry = _of_first_channel("ramp_symmetry")
    pulse_period = _of_first_channel("pulse_period")
    pulse_hold = _of_first_channel("pulse_hold")
    pulse_width = _of_first_channel("pulse_width")
    pulse_dutycycle = _of_first_channel("pulse_dutycycle")
    pulse_transition = _of_first_channel("pulse_transition")
    output = _of_first_channel("output")
    output_load = _of_first_channel("output_load")
    burst_state = _of_first_channel("burst_state")
    burst_mode = _of_first_channel("burst_mode")
    burst_period = _of_first_channel("burst_period")
    burst_ncycles = _of_first_channel("burst_ncycles")
    trigger_source = _of_first_channel("trigger_source")
    arb_file = _of_first_channel("arb_file")
    arb_advance = _of_first_channel("arb_advance")
    arb_filter = _of_first_channel("arb_filter")
    arb_srate = _of_first_channel("arb_srate")

    ext_trig_out = boolean("OUTP:TRIG", """Control whether a burst sends an edge from the trigger output (bool).""")
    sync_output = boolean("OUTP:SYNC", """Control whether a burst sends an edge from the sync output (bool).""")
    event_status = measurement("*ESR?", """Get the standard event register and clear it (int).""", cast=int)

    display = Instrument.setting("DISP:TEXT '%s'", """Set the text on the display (str).""", check_set_errors=True)

    def beep(self) -> None:
        """Beep."""
        self.execute("SYST:BEEP")

    def clear_display(self) -> None:
        """Remove the text from the display."""
        self.execute("DISP:TEXT:CLE")

    # arbitrary waveforms

    def upload(self, channel: int, name: str, values: ArrayLike, data_format: str = "DAC") -> None:
        """Put an arbitrary waveform into the memory of a channel; see `Agilent33500Channel.upload`."""
        self.channels[channel].upload(name, values, data_format)

    def arbitrary(self, channel: int, name: str) -> None:
        """Select an arbitrary waveform in memory and make it the waveform of a channel."""
        self.channels[channel].play(name)

    def data_arb(self, arb_name: str, data_points: ArrayLike, data_format: str = "DAC") -> None:
        """Put an arbitrary waveform into the memory of channel 1; see `Agilent33500Channel.data_arb`."""
        self.ch_1.data_arb(arb_name, data_points, data_format)

    def data_volatile_clear(self) -> None:
        """Remove all arbitrary waveforms from the memory of channel 1."""
        self.ch_1.data_volatile_clear()

    # running

    def phase_sync(self) -> None:
        """Begin the waveforms of both channels at the same time."""
        self.execute("PHAS:SYNC")

    def trigger(self) -> None:
        """Start the bursts that wait for `BUS`; see `wait_for_trigger` for their end."""
        self.execute("*TRG")

    def wait_for_trigger(self, timeout: float = 3600.0, should_stop: Callable[[], bool] = lambda: False) -> None:
        """Wait until the bursts that were triggered have ended.

        The lock is given up between questions, so that another thread may end an infinite burst.

        Parameters
        ----------
        timeout : float
            Longest time to wait, s; 0 for an hour.
        should_stop : callable, optional
            Asked between questions whether to stop waiting.

        Raises
        ------
        InstrumentTimeoutError
            If they do not end in time.
        """
        deadline = time.monotonic() + (timeout or 3600.0)
        with self.lock:
            _ = self.event_status
            self.execute("*OPC")
        pause = threading.Event()
        while not self.event_status & OPERATION_COMPLETE:
            if should_stop():
                return
            if time.monotonic() > deadline:
                raise InstrumentTimeoutError(f"{self.name}: the burst did not end within {timeout:g} s")
            pause.wait(POLL_INTERVAL)

    def shutdown(self) -> None:
        """Switch both outputs off, the second one also where the first one raises."""
        with contextlib.ExitStack() as steps:
            steps.callback(super().shutdown)
            for channel in reversed(self.channels.values()):
                steps.callback(setattr, channel, "output", False)
