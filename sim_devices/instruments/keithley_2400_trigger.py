"""The trigger model of the Keithley 2400: arm and trigger layers, one cycle of readings after the other."""

from collections.abc import Generator
from concurrent.futures import Future

import numpy as np

from sim_devices.instruments.cabling import Times
from sim_devices.instruments.keithley_2400_sense import Reading, Sense
from sim_devices.scpi import Choice, Integer, Operation, Real, ScpiError, Session, command, setting

MOST_READINGS = 2500
EVENTS = {"BUS", "TLIN", "MAN"}
"""Sources whose events come from outside the instrument; nobody presses the key of MANual."""


class TriggerModel(Sense):
    """Commands of ARM, TRIGger and INITiate."""

    arm_count = setting("ARM[:SEQuence][:LAYer]:COUNt", Integer(1, MOST_READINGS), reset=1)
    arm_source = setting(
        "ARM[:SEQuence][:LAYer]:SOURce", Choice("IMMediate", "TIMer", "BUS", "TLINk", "MANual"), reset="IMM"
    )
    arm_timer = setting("ARM[:SEQuence][:LAYer]:TIMer", Real(0.001, 99999.99, "s"), reset=0.1)
    arm_output = setting("ARM[:SEQuence][:LAYer]:OUTPut", Choice("TENTer", "TEXit", "NONE"), reset="NONE")
    arm_input_line = setting("ARM[:SEQuence][:LAYer]:ILINe", Integer(1, 4), reset=1)
    arm_output_line = setting("ARM[:SEQuence][:LAYer]:OLINe", Integer(1, 4), reset=2)
    trigger_count = setting("TRIGger[:SEQuence]:COUNt", Integer(1, MOST_READINGS), reset=1)
    trigger_source = setting("TRIGger[:SEQuence]:SOURce", Choice("IMMediate", "TLINk"), reset="IMM")
    trigger_delay = setting("TRIGger[:SEQuence]:DELay", Real(0, 999.9999, "s"), reset=0.0)
    trigger_output = setting("TRIGger[:SEQuence]:OUTPut", Choice("SOURce", "DELay", "SENSe", "NONE"), reset="NONE")
    trigger_input_line = setting("TRIGger[:SEQuence]:ILINe", Integer(1, 4), reset=1)
    trigger_output_line = setting("TRIGger[:SEQuence]:OLINe", Integer(1, 4), reset=2)

    readings: tuple[Reading, ...] = ()
    """Readings of the last cycle, complete or not."""
    _cycle: Generator[str, None, None] | None = None
    _awaited = ""
    _done: "Future[None] | None" = None

    @arm_count.check
    def _check_arm_count(self, value: int) -> int:
        return self._check_count(value, self.trigger_count)

    @trigger_count.check
    def _check_trigger_count(self, value: int) -> int:
        return self._check_count(value, self.arm_count)

    @staticmethod
    def _check_count(value: int, other: int) -> int:
        if value * other > MOST_READINGS:
            raise ScpiError(-221, f"{value} times {other} readings: {MOST_READINGS} are allowed")
        return value

    @command("INITiate[:IMMediate]")
    def _initiate(self, _: Session) -> Operation:
        return Operation(self.begin_cycle())

    @command("ABORt", owner=False)
    def _abort(self, _: Session) -> None:
        self.end_cycle()

    @command("TRIGger[:SEQuence]:CLEar")
    def _clear_triggers(self, _: Session) -> None:
        """Forget input triggers that wait; none ever does, since edges are taken as they come."""

    def trigger(self, _: Session) -> None:
        """Carry out ``*TRG``.

        Raises
        ------
        ScpiError
            -211 if no cycle waits for it.
        """
        if not self._continue("BUS"):
            raise ScpiError(-211, "the arm layer does not wait for BUS")

    def take_edges(self, times: Times) -> None:
        """Go on at edges of the trigger link, one after the other."""
        with self.lock:
            for time in times.tolist():
                if self._awaited == "TLIN":
                    self.clock.sleep_until(time)
                    self._continue("TLIN")

    def begin_cycle(self) -> "Future[None]":
        """Leave idle and take readings until an event from outside is needed; the future is done at the end.

        Raises
        ------
        ScpiError
            -213 while a cycle goes on, 803 while the output is off and does not go on by itself.
        """
        if self._cycle is not None:
            raise ScpiError(-213, "a cycle goes on, ABORt ends it")
        if not (self.output_on or self.auto_off):
            raise ScpiError(803, "OUTPut ON comes first")
        self.readings = ()
        done: Future[None] = Future()
        self._done = done
        self._cycle = self._layers()
        self._advance()
        return done

    def end_cycle(self) -> None:
        """Go back to idle; readings that have been taken stay."""
        done, self._done = self._done, None
        self._cycle, self._awaited = None, ""
        if done is not None:
            done.set_result(None)

    def _continue(self, event: str) -> bool:
        if self._awaited != event:
            return False
        self._advance()
        return True

    def _advance(self) -> None:
        cycle, self._awaited = self._cycle, ""
        if cycle is None:
            return
        try:
            self._awaited = next(cycle)
        except StopIteration:
            self.end_cycle()
        except BaseException:
            self.end_cycle()
            raise

    def _layers(self) -> Generator[str, None, None]:
        """Take the readings of a cycle; yield the event that is waited for."""
        due = self.clock.now()
        for _ in range(self.arm_count):
            if self.arm_source in EVENTS:
                yield self.arm_source
            elif self.arm_source == "TIM":
                self.clock.sleep_until(due)
                due = self.clock.now() + self.arm_timer
            self._send("TENT", self.arm_output)
            for _ in range(self.trigger_count):
                if self.trigger_source in EVENTS:
                    yield self.trigger_source
                self._source_delay_measure()
            self._send("TEX", self.arm_output)

    def _source_delay_measure(self) -> None:
        self.clock.sleep(self.trigger_delay)
        if self.auto_off:
            self.output_on = True
            self.update()
        self._send("SOUR", self.trigger_output)
        reading = self.measure()
        self._send("SENS", self.trigger_output)
        if self.auto_off:
            self.output_on = False
            self.update()
        self.readings = (*self.readings, reading)
        self.store(reading)

    def _send(self, event: str, wanted: str) -> None:
        if event == wanted:
            self.trigger_out.send(np.array([self.clock.now()]))

    def store(self, reading: Reading) -> None:
        """Take note of a reading."""
        raise NotImplementedError
