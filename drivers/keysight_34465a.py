"""Driver of the Keysight 34465A multimeter: direct voltage and current, one at a time or a series on triggers."""

from __future__ import annotations

from typing import Any

from pymeasure.adapters import Adapter
from pymeasure.instruments.validators import strict_discrete_set

from drivers.errors import MissingReadingsError, OverloadError
from drivers.keysight_readings import NOT_A_READING, SOURCES, KeysightReadings, is_reading
from drivers.properties import boolean, choice, control, integer, measurement, real, strict_integer, strict_real
from drivers.replies import meant, unquoted

FUNCTIONS = {"voltage": "VOLT", "current": "CURR"}
LARGEST_RANGE = {"voltage": 1000.0, "current": 10.0}
"""V and A."""
SPARE_TIME = 10e-6
"""What is left between the end of a reading and the next trigger, s."""


class Keysight34465A(KeysightReadings):
    """A digital multimeter of 6 1/2 digits.

    Parameters
    ----------
    adapter : str, int or pymeasure Adapter
        VISA resource name, or an adapter.
    name : str
        Name for messages.
    **kwargs
        Passed to `pymeasure.adapters.VISAAdapter`: `visa_library`, `timeout` in ms and the like.
    """

    def __init__(self, adapter: Adapter | str | int, name: str = "Keysight 34465A", **kwargs: Any) -> None:
        super().__init__(adapter, name, **kwargs)

    # function

    function = control(
        "FUNC?",
        'FUNC "%s"',
        """Control what is measured (str, "voltage" or "current").""",
        validator=strict_discrete_set,
        values=FUNCTIONS,
        map_values=True,
        cast=str,
        maxsplit=0,
        preprocess_reply=lambda reply: meant(unquoted(reply).upper().removesuffix(":DC"), FUNCTIONS.values()),
    )
    configuration = measurement(
        "CONF?",
        """Get function, range and resolution, as in VOLT +1.0E+01,+1.0E-06 (str).""",
        cast=str,
        maxsplit=0,
        preprocess_reply=unquoted,
    )
    voltage_range = real(
        "VOLT:RANG",
        """Control the range in V (float from 0 to 1000); the smallest that holds the value is taken.""",
        0,
        1000,
    )
    voltage_autorange = boolean("VOLT:RANG:AUTO", """Control whether the range follows the voltage (bool).""")
    voltage_nplc = real(
        "VOLT:NPLC",
        """Control the aperture in power line cycles (0.02, 0.06, 0.2, 1, 10, 100; 0.001 to 0.006 with option DIG).""",
        0.001,
        100,
    )
    voltage_aperture = real(
        "VOLT:APER", """Control the aperture in s (float from 20e-6 to 1) in place of power line cycles.""", 20e-6, 1
    )
    shortest_aperture = measurement(
        "VOLT:APER? MIN", """Get the least aperture of voltages in s (float): 20e-6 with option DIG, 200e-6 without."""
    )
    voltage_autozero = boolean(
        "VOLT:ZERO:AUTO", """Control whether every reading is followed by one of zero, subtracted from it (bool)."""
    )
    current_range = real(
        "CURR:RANG",
        """Control the range in A (float from 0 to 10); the smallest that holds the value is taken.""",
        0,
        10,
    )
    current_autorange = boolean("CURR:RANG:AUTO", """Control whether the range follows the current (bool).""")
    current_nplc = real(
        "CURR:NPLC",
        """Control the aperture in power line cycles (0.02, 0.06, 0.2, 1, 10, 100; 0.001 to 0.006 with option DIG).""",
        0.001,
        100,
    )
    current_aperture = real(
        "CURR:APER", """Control the aperture in s (float from 20e-6 to 1) in place of power line cycles.""", 20e-6, 1
    )
    current_autozero = boolean(
        "CURR:ZERO:AUTO", """Control whether every reading is followed by one of zero, subtracted from it (bool)."""
    )
    automatic_impedance = boolean(
        "INP:IMP:AUTO", """Control whether the input has more than 10 GOhm on ranges up to 10 V, not 10 MOhm (bool)."""
    )
    line_frequency = measurement("SYST:LFR?", """Get the frequency of the mains in Hz (float).""")

    # sampling

    sample_count = integer(
        "SAMP:COUN", """Control the readings per trigger (int from 1 to 1000000000).""", 1, 1_000_000_000
    )
    sample_source = choice(
        "SAMP:SOUR",
        """Control when the next reading of a trigger begins (str, "immediate" or "timer").""",
        {"immediate": "IMM", "timer": "TIM"},
    )
    sample_interval = real(
        "SAMP:TIM", """Control the time between readings of the timer in s (float up to 3600).""", 0, 3600
    )
    shortest_interval = measurement(
        "SAMP:TIM? MIN", """Get the least time between readings with the settings in force in s (float)."""
    )
    automatic_delay = boolean(
        "TRIG:DEL:AUTO", """Control whether the meter chooses the delay after a trigger itself (bool)."""
    )

    # measurements

    def configure(self, function: str = "voltage", full_scale: float | None = None) -> None:
        """Choose what to measure; apertures and triggers get their reset values.

        Parameters
        ----------
        function : str
            "voltage" or "current".
        full_scale : float, optional
            Range, V or A; by default the meter follows the signal.
        """
        self.execute(_configuration(function, full_scale))

    def measure(self, timeout: float = 60.0) -> float:
        """Take one reading with function, range and aperture in force, V or A.

        Parameters
        ----------
        timeout : float
            Longest time to wait for it, s.

        Raises
        ------
        OverloadError
            If the input is beyond the range.
        """
        with self.lock:
            self.execute("ABOR;:TRIG:SOUR IMM;:TRIG:COUN 1;:SAMP:COUN 1")
            self.initiate()
            (value,) = self._collect(1, timeout)
        if is_reading(value):
            return float(value)
        if abs(value) >= NOT_A_READING:
            raise MissingReadingsError(f"{self.name}: the meter took no reading")
        raise OverloadError(f"{self.name}: the input is beyond the range; choose a larger one")

    def arm(
        self,
        *,
        readings: int,
        range: float,  # noqa: A002 -- the meter's own word
        aperture: float | None = None,
        nplc: float | None = None,
        delay: float = 0.0,
        source: str = "immediate",
        function: str = "voltage",
        autozero: bool = False,
    ) -> float:
        """Begin a series of readings on one range, for `readings` to take.

        Parameters
        ----------
        readings : int
            How many: one for each trigger with "external" and "bus", all at once with "immediate".
        range : float
            Largest magnitude to be measured, V or A; the meter takes the smallest range that holds it.
        aperture : float, optional
            Time over which each is averaged, s; rounded to steps of the meter, 2 us.
        nplc : float, optional
            The same in power line cycles; exactly one of the two is given.
        delay : float
            Time from a trigger to its reading, s.
        source : str
            What triggers: "external", "bus" or "immediate".
        function : str
            "voltage" or "current".
        autozero : bool
            Whether every reading takes twice as long, to be corrected for a drift of the zero.

        Returns
        -------
        float
            Time after the delay until the meter takes the next trigger, s.

        Raises
        ------
        ValueError
            If an argument is not allowed; nothing has been sent then.
        InstrumentError
            If the meter refuses one; no measurement has begun then.
        """
        node = FUNCTIONS[strict_discrete_set(function, FUNCTIONS)]
        commands = [
            "ABOR",
            _configuration(function, range),
            f"{node}:ZERO:AUTO {int(autozero)}",
            f"{node}:{_integration(aperture, nplc)}",
            f"TRIG:DEL {strict_real(delay, (0, 3600)):.9g}",
            *_series(readings, source),
        ]
        with self.lock:
            self.execute(";:".join(commands))
            interval = float(self.shortest_interval)
            self.initiate()
            return interval + SPARE_TIME


def _configuration(function: str, full_scale: float | None) -> str:
    node = FUNCTIONS[strict_discrete_set(function, FUNCTIONS)]
    if full_scale is None:
        return f"CONF:{node}:DC"
    return f"CONF:{node}:DC {strict_real(full_scale, (0, LARGEST_RANGE[function])):.9g}"


def _integration(aperture: float | None, nplc: float | None) -> str:
    """Return the end of the command that sets an aperture."""
    if aperture is not None and nplc is None:
        return f"APER {strict_real(aperture, (20e-6, 1)):.9g}"
    if nplc is not None and aperture is None:
        return f"NPLC {strict_real(nplc, (0.001, 100)):.9g}"
    raise ValueError(f"aperture={aperture} and nplc={nplc} were given; exactly one of them is needed")


def _series(readings: int, source: str) -> list[str]:
    """Return the commands for a series of readings, one a trigger where there are triggers."""
    short = SOURCES[strict_discrete_set(source, SOURCES)]
    if source == "immediate":
        samples, triggers = strict_integer(readings, (1, 1_000_000_000)), 1
    else:
        samples, triggers = 1, strict_integer(readings, (1, 1_000_000))
    return [f"SAMP:COUN {samples}", f"TRIG:COUN {triggers}", f"TRIG:SOUR {short}"]
