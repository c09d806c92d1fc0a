"""The persona of the SR830 lock-in amplifier: its commands on one side, what is connected to it on the other.

The lock-in itself is in `srs_sr830_amplifier`, the status bytes in `srs_sr830_status`. The data buffers, reset and
stored set-ups are here. The fast mode, which talks without being asked, is not simulated beyond its setting.
"""

import copy
import math
from typing import Any

import numpy as np

from sim_devices.instruments.cabling import Values
from sim_devices.instruments.srs_sr830_amplifier import SR830Amplifier
from sim_devices.instruments.srs_sr830_status import TRIGGERED, Binary
from sim_devices.scpi import Boolean, Integer, ScpiError, Session, command, query, setting
from twin.models.lock_in import DEPTH

SAMPLE_RATES = tuple(2.0**power for power in range(-4, 10))
"""Hz; one index more stands for triggers."""
BY_TRIGGER = len(SAMPLE_RATES)
MOST_POINTS = 16383
DELAYED_START = 0.5
"""Time in s from STRD to the first point."""


class SR830(SR830Amplifier):
    """A lock-in amplifier.

    Outputs follow the input with the time constant and slope set, in bench time. While data are being stored, asking
    for the number of points lets time pass to the next point, so that a client that polls does not wait for ever.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.points = np.zeros((0, 2))
        self._due: float | None = None
        self._armed = False
        super().__init__(*args, **kwargs)

    def warm_up(self) -> None:
        """Compile the output filter before the first reading."""
        self.path().output.follow(np.zeros((DEPTH, 2)), np.zeros((1, 1, 2)), 1.0)

    # ---- storing data ----------------------------------------------------------------------------------------------

    sample_rate_index = setting("SRAT", Integer(0, BY_TRIGGER), reset=4)
    loop = setting("SEND", Integer(0, 1), reset=1)
    triggered_start = setting("TSTR", Boolean(), reset=False)
    fast = setting("FAST", Integer(0, 2), reset=0)

    @sample_rate_index.check
    def _check_sample_rate(self, value: int) -> int:
        self.catch_up()
        if self._due is not None:
            self._due = max(self._due, self.clock.now())
        return value

    @property
    def scanning(self) -> bool:
        """Whether data are being stored."""
        return self._due is not None

    @property
    def sample_interval(self) -> float:
        """Time between two points in s; endless where triggers store them."""
        return math.inf if self.sample_rate_index == BY_TRIGGER else 1 / SAMPLE_RATES[self.sample_rate_index]

    def catch_up(self) -> None:
        """Store the points that are due, bring the filters up to now and look for overloads."""
        now = self.clock.now()
        if self._due is not None and self._due <= now and math.isfinite(self.sample_interval):
            self._store_due(now)
        self.look_for_overload(self.detector.advance(now)[None, :])

    def _store_due(self, now: float) -> None:
        first, interval = self._due or 0.0, self.sample_interval
        count = math.floor((now - first) / interval + 1e-9) + 1
        if self.loop:
            skipped = max(0, count - MOST_POINTS)
            first, count = first + skipped * interval, count - skipped
        else:
            count = min(count, MOST_POINTS - len(self.points))
        if count:
            self._store(first, count)
        full = not self.loop and len(self.points) >= MOST_POINTS
        self._due = None if full else first + count * interval

    def _store(self, first: float, count: int) -> None:
        """Store points from a time in s on."""
        times = first + (self.sample_interval if count > 1 else 0.0) * np.arange(count, dtype=np.float64)
        xy = np.concatenate([self.detector.advance(first)[None, :], self._following(count - 1)])
        self.look_for_overload(xy)
        shown = np.stack([self.display(channel, xy, times) for channel in (1, 2)], axis=1)
        self.points = np.concatenate([self.points, shown])[-MOST_POINTS:]

    def _following(self, count: int) -> Values:
        return self.detector.run(self.sample_interval, count) if count else np.zeros((0, 2))

    @command("STRT")
    def _start(self, _: Session) -> None:
        self._begin(0.0)

    @command("STRD")
    def _start_delayed(self, _: Session) -> None:
        self._begin(DELAYED_START)

    def _begin(self, delay: float) -> None:
        if self.scanning or (not self.loop and len(self.points) >= MOST_POINTS):
            return
        self._armed = self.triggered_start
        if not self._armed:
            self._due = self.clock.now() + delay

    @command("PAUS")
    def _pause(self, _: Session) -> None:
        self.catch_up()
        self._due, self._armed = None, False

    @command("REST")
    def _forget(self, _: Session) -> None:
        self._due, self._armed = None, False
        self.points = np.zeros((0, 2))

    @command("TRIG")
    def _trigger(self, _: Session) -> None:
        """Start the storing that is armed, or store a point where triggers do."""
        self.catch_up()
        if self._armed:
            self._armed = False
            self._due = self.clock.now()
            self.note(TRIGGERED)
        elif self.scanning and self.sample_rate_index == BY_TRIGGER:
            self._store(self.clock.now(), 1)
            self.note(TRIGGERED)

    @query("SPTS?")
    def _ask_points(self, _: Session) -> int:
        self.catch_up()
        if self._due is not None and math.isfinite(self.sample_interval):
            self.clock.sleep_until(self._due)
            self.catch_up()
        return len(self.points)

    def _chosen(self, channel: int, first: int, count: int) -> Values:
        self.catch_up()
        if first + count > len(self.points):
            raise ScpiError(-222, f"points {first} to {first + count - 1}: {len(self.points)} are stored")
        return self.points[first : first + count, channel - 1]

    _PLACE = (Integer(1, 2), Integer(0, MOST_POINTS - 1), Integer(1, MOST_POINTS))

    @query("TRCA?", *_PLACE)
    def _read_text(self, _: Session, channel: int, first: int, count: int) -> str:
        return "".join(f"{value:.6e}," for value in self._chosen(channel, first, count))

    @query("TRCB?", *_PLACE)
    def _read_floats(self, _: Session, channel: int, first: int, count: int) -> Binary:
        return Binary(self._chosen(channel, first, count).astype("<f4").tobytes())

    @query("TRCL?", *_PLACE)
    def _read_fast_floats(self, _: Session, channel: int, first: int, count: int) -> Binary:
        """Answer 16 bits of mantissa and 16 of exponent a point: mantissa * 2^(exponent - 124)."""
        mantissa, exponent = np.frexp(self._chosen(channel, first, count))
        pairs = np.stack([np.clip(np.rint(mantissa * 2**15), -32768, 32767), exponent + 124 - 15], axis=1)
        return Binary(pairs.astype("<i2").tobytes())

    # ---- reset and set-ups -----------------------------------------------------------------------------------------

    def reset(self) -> None:
        """Take the standard settings, with no data stored."""
        self._due, self._armed = None, False
        self.points = np.zeros((0, 2))
        self.displays = (0, 0)
        self.offsets, self.expansions = {1: 0.0, 2: 0.0, 3: 0.0}, {1: 0, 2: 0, 3: 0}
        now = self.clock.now()
        for terminal in self.aux_outputs.values():
            terminal.record = terminal.record.then(now, 0.0)
        self.retune()

    @command("SSET", Integer(1, 9))
    def _save_setup(self, _: Session, number: int) -> None:
        self.memories[number] = (
            copy.deepcopy(self.settings),
            (self.displays, dict(self.offsets), dict(self.expansions)),
        )

    @command("RSET", Integer(1, 9))
    def _recall_setup(self, _: Session, number: int) -> None:
        if number not in self.memories:
            raise ScpiError(-221, f"nothing was saved in memory {number}")
        settings, (self.displays, offsets, expansions) = self.memories[number]
        self.offsets, self.expansions = dict(offsets), dict(expansions)
        self.settings.update(copy.deepcopy(settings))
        self.retune()

    # ---- interface -------------------------------------------------------------------------------------------------

    interface = setting("OUTX", Integer(0, 1), reset=lambda self: self.settings.get("interface", 1))
    override = setting("OVRM", Integer(0, 1), reset=0)
    local = setting("LOCL", Integer(0, 2), reset=1)
    key_click = setting("KCLK", Integer(0, 1), reset=1)
    alarm = setting("ALRM", Integer(0, 1), reset=1)
