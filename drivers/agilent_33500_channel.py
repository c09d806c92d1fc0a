"""One output of an Agilent 33500: one property per command, limits on every path, arbitrary waveforms as blocks.

Voltages are those at a load of `output_load` ohm: on any other one the output gives more or less.
"""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pymeasure.instruments.agilent import agilent33500
from pymeasure.instruments.validators import strict_discrete_set

from drivers.agilent_33500_limits import (
    LimitedOutput,
    guarded,
    levels_of_amplitude,
    levels_of_high,
    levels_of_load,
    levels_of_low,
    levels_of_offset,
    levels_of_output,
    levels_of_unit,
    levels_unchanged,
    strict_load,
)
from drivers.arrays import block
from drivers.properties import boolean, choice, control, measurement, real, strict_integer, strict_real
from drivers.replies import names, on_or_off, unquoted

FULL_SCALE = 32767
"""Code of the converter that stands for +1."""
FEWEST_POINTS = 8
LARGEST_NUMBER = 9.9e37
"""What the instrument answers for infinity."""

_NAME = re.compile(r"[A-Za-z]\w{0,11}", re.ASCII)


def _strict_cycles(value: Any, _: Any) -> float:
    infinite = value == math.inf or (isinstance(value, str) and value.upper() in ("INF", "INFINITY"))
    return math.inf if infinite else strict_integer(value, (1, 100_000_000))


def _or_infinity(value: float) -> str:
    return "INF" if math.isinf(value) else f"{value:.9g}"


def _finite_or_infinite(value: float) -> float:
    return math.inf if value >= LARGEST_NUMBER else value


def _words(*words: str, **long_forms: str) -> dict[str, str]:
    """Return the options of a choice: words that stand for themselves, and long forms for their short ones."""
    return {word: word for word in words} | long_forms


def strict_name(name: str) -> str:
    """Return the name of an arbitrary waveform if it is one.

    Raises
    ------
    ValueError
        If it is not a letter and up to 11 letters, digits or underscores.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name of a waveform: a letter, then up to 11 letters, digits or underscores")
    return name


class Agilent33500Channel(LimitedOutput, agilent33500.Agilent33500Channel):
    """An output of the generator, with every property of pymeasure's class of that name."""

    # waveform

    shape = guarded(
        choice(
            "SOUR{ch}:FUNC",
            """Control the waveform (str: SIN, SQU, TRI, RAMP, PULS, PRBS, NOIS, ARB or DC).""",
            _words("SIN", "SQU", "TRI", "RAMP", "PULS", "PRBS", "NOIS", "ARB", "DC"),
        ),
        levels_unchanged,
        adjusts_levels=True,
    )
    frequency = real("SOUR{ch}:FREQ", """Control the frequency in Hz (float from 1e-6 to 120e6).""", 1e-6, 120e6)
    amplitude = guarded(
        real("SOUR{ch}:VOLT", """Control the amplitude in `amplitude_unit` (float, Vpp from 1e-3 to 20).""", -40, 40),
        levels_of_amplitude,
        adjusts_levels=True,
    )
    amplitude_unit = guarded(
        choice(
            "SOUR{ch}:VOLT:UNIT",
            """Control the unit of the amplitude (str: VPP, VRMS or DBM).""",
            _words("VPP", "VRMS", "DBM"),
        ),
        levels_of_unit,
    )
    offset = guarded(
        real("SOUR{ch}:VOLT:OFFS", """Control the offset in V (float from -10 to 10).""", -10, 10),
        levels_of_offset,
        adjusts_levels=True,
    )
    voltage_high = guarded(
        real("SOUR{ch}:VOLT:HIGH", """Control the high level in V (float from -10 to 10).""", -10, 10), levels_of_high
    )
    voltage_low = guarded(
        real("SOUR{ch}:VOLT:LOW", """Control the low level in V (float from -10 to 10).""", -10, 10), levels_of_low
    )
    phase = real("SOUR{ch}:PHAS", """Control the phase in degrees (float from -360 to 360).""", -360, 360)
    square_dutycycle = real(
        "SOUR{ch}:FUNC:SQU:DCYC", """Control the duty cycle of a square in percent (float).""", 0.01, 99.99
    )
    ramp_symmetry = real(
        "SOUR{ch}:FUNC:RAMP:SYMM", """Control the rising part of a ramp in percent (float from 0 to 100).""", 0, 100
    )
    pulse_period = real(
        "SOUR{ch}:FUNC:PULS:PER", """Control the period of pulses in s (float from 33e-9 to 1e6).""", 33e-9, 1e6
    )
    pulse_hold = choice(
        "SOUR{ch}:FUNC:PULS:HOLD",
        """Control what a change of the period leaves alone (str: WIDT or DCYC).""",
        _words("WIDT", "DCYC", WIDTH="WIDT", DCYCLE="DCYC"),
    )
    pulse_width = real(
        "SOUR{ch}:FUNC:PULS:WIDT", """Control the width of pulses in s (float from 16e-9 to 1e6).""", 16e-9, 1e6
    )
    pulse_dutycycle = real(
        "SOUR{ch}:FUNC:PULS:DCYC", """Control the duty cycle of pulses in percent (float from 0 to 100).""", 0, 100
    )
    pulse_transition = control(
        "SOUR{ch}:FUNC:PULS:TRAN?",
        "SOUR{ch}:FUNC:PULS:TRAN:BOTH %.9g",
        """Control the time of both edges of pulses in s (float from 8.4e-9 to 1e-6).""",
        validator=strict_real,
        values=(8.4e-9, 1e-6),
    )

    # output

    output = guarded(
        control(
            "OUTP{ch}?",
            "OUTP{ch} %d",
            """Control whether the output is on (bool).""",
            validator=strict_discrete_set,
            values={True: 1, False: 0, "on": 1, "ON": 1, "off": 0, "OFF": 0},
            map_values=True,
            cast=on_or_off,
        ),
        levels_of_output,
    )
    output_load = guarded(
        control(
            "OUTP{ch}:LOAD?",
            "OUTP{ch}:LOAD %s",
            """Control the load in ohm that voltages are meant at (float from 1 to 10000, or math.inf).

            The output itself does not change: levels read afterwards are those at the new load.""",
            validator=strict_load,
            set_process=_or_infinity,
            get_process=_finite_or_infinite,
        ),
        levels_of_load,
        adjusts_levels=True,
    )

    # bursts

    burst_state = boolean("SOUR{ch}:BURS:STAT", """Control whether the output gives bursts (bool).""")
    burst_mode = choice(
        "SOUR{ch}:BURS:MODE",
        """Control what a burst follows (str): TRIG, a trigger, or GAT, the level at the trigger input.""",
        _words("TRIG", "GAT", TRIGGERED="TRIG", GATED="GAT"),
    )
    burst_period = real(
        "SOUR{ch}:BURS:INT:PER",
        """Control the time from burst to burst with an immediate trigger in s (float from 1e-6 to 8000).""",
        1e-6,
        8000,
    )
    burst_ncycles = control(
        "SOUR{ch}:BURS:NCYC?",
        "SOUR{ch}:BURS:NCYC %s",
        """Control the cycles of a burst (int from 1 to 100000000, or math.inf: until it is stopped).""",
        validator=_strict_cycles,
        set_process=_or_infinity,
        get_process=lambda value: math.inf if value >= LARGEST_NUMBER else round(value),
    )
    trigger_source = choice(
        "TRIG{ch}:SOUR",
        """Control what starts a burst (str: IMM, the internal timer; EXT, the trigger input; BUS, `trigger`).""",
        _words("IMM", "EXT", "BUS", IMMEDIATE="IMM", EXTERNAL="EXT"),
    )

    # arbitrary waveforms

    arb_file = guarded(
        control(
            "SOUR{ch}:FUNC:ARB?",
            'SOUR{ch}:FUNC:ARB "%s"',
            """Control which arbitrary waveform is selected (str, the name of one in memory).""",
            set_process=lambda name: name.strip('"'),
            cast=str,
            maxsplit=0,
            get_process=unquoted,
        ),
        levels_unchanged,
        adjusts_levels=True,
    )
    arb_advance = choice(
        "SOUR{ch}:FUNC:ARB:ADV",
        """Control what moves on to the next point (str): SRAT, the sample rate, or TRIG, a trigger.""",
        _words("SRAT", "TRIG", SRATE="SRAT", TRIGGER="TRIG"),
    )
    arb_filter = choice(
        "SOUR{ch}:FUNC:ARB:FILT",
        """Control the filter of arbitrary waveforms (str: NORM, STEP or OFF).""",
        _words("NORM", "STEP", "OFF", NORMAL="NORM"),
    )
    arb_srate = real(
        "SOUR{ch}:FUNC:ARB:SRAT",
        """Control the sample rate of arbitrary waveforms in Sa/s (float from 1e-6 to 250e6).""",
        1e-6,
        250e6,
    )
    catalog = measurement(
        "SOUR{ch}:DATA:VOL:CAT?",
        """Get the names of the waveforms in volatile memory (tuple of str).""",
        cast=str,
        maxsplit=0,
        get_process=names,
    )
    free_memory = measurement(
        "SOUR{ch}:DATA:VOL:FREE?",
        """Get how many points fit into volatile memory (int).""",
        cast=lambda reply: int(float(reply)),
    )

    def upload(self, name: str, values: ArrayLike, data_format: str = "DAC") -> None:
        """Put an arbitrary waveform into volatile memory, in one message with a binary block.

        Parameters
        ----------
        name : str
            A letter, then up to 11 letters, digits or underscores, that no waveform in memory has.
        values : array_like, shape (n,)
            The points from -1 to 1, n at least 8: 1 is half the amplitude above the offset.
        data_format : str
            "DAC" for 16-bit codes, "float" for single precision.

        Raises
        ------
        ValueError
            If name, values or format are not as said; nothing has been sent then.
        InstrumentError
            If the instrument refuses it.
        """
        points = _points(values)
        if data_format == "DAC":
            self._send("DATA:ARB:DAC", name, np.rint(points * FULL_SCALE).astype("<i2"))
        elif data_format == "float":
            self._send("DATA:ARB", name, points.astype("<f4"))
        else:
            raise ValueError(f"{data_format!r} is no format of a waveform; DAC and float are")

    def data_arb(self, arb_name: str, data_points: ArrayLike, data_format: str = "DAC") -> None:
        """Put an arbitrary waveform into volatile memory, with its points as pymeasure takes them.

        Parameters
        ----------
        arb_name : str
            As of `upload`.
        data_points : array_like, shape (n,)
            For "DAC" whole numbers from -32767 to 32767, for "float" numbers from -1 to 1, for "binary" the codes of
            "DAC" as bytes, least significant byte first.
        data_format : str
            "DAC", "float" or "binary".
        """
        if data_format == "binary":
            data_format, data_points = "DAC", np.frombuffer(bytes(data_points), "<i2")  # type: ignore[arg-type]
        points = np.asarray(data_points, dtype=float)
        self.upload(arb_name, points / FULL_SCALE if data_format == "DAC" else points, data_format)

    def _send(self, header: str, name: str, points: NDArray[Any]) -> None:
        command = f"FORM:BORD SWAP;:SOUR{self.id}:{header} {strict_name(name)},"
        with self.lock:
            self.parent.forget_encoding()
            self.parent.execute(command.encode() + block(points.tobytes()) + b"\n")

    def play(self, name: str) -> None:
        """Select an arbitrary waveform in memory and make it the waveform of the output."""
        with self.lock:
            self.arb_file = name
            self.shape = "ARB"

    def data_volatile_clear(self) -> None:
        """Remove all arbitrary waveforms from volatile memory."""
        self.execute("SOUR{ch}:DATA:VOL:CLE")


def _points(values: ArrayLike) -> NDArray[np.float64]:
    points = np.asarray(values, dtype=float)
    if points.ndim != 1 or len(points) < FEWEST_POINTS:
        raise ValueError(f"a waveform of shape {points.shape}; (n,) with n at least {FEWEST_POINTS} is needed")
    outside = np.flatnonzero(~(np.abs(points) <= 1))
    if outside.size:
        raise ValueError(f"point {outside[0]} of a waveform is {points[outside[0]]:g}; -1 to 1 is allowed")
    return points
