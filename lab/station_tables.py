"""What may stand in a station file: its tables, their keys, and quantities with units."""

import math
import re
from collections.abc import Iterator
from functools import cache
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pyvisa import rname

QUANTITY = re.compile(r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*((?:1/)?[A-Za-zµμΩ°%][\w/*^.\-µμΩ°%]*)\s*")

DRIVERS = {
    "thermodynamic_board": "ThermodynamicBoard",
    "qdevil_qdac2": "Qdac2",
    "keysight_34465a": "Keysight34465A",
    "keysight_53220a": "Keysight53220A",
    "rigol_ds1000z": "RigolDS1000Z",
    "agilent_33500": "Agilent33500",
    "keithley_2400": "Keithley2400",
    "srs_sr830": "SR830",
}
"""The class of each driver, by its module in `drivers`."""


@cache
def _units() -> Any:
    import pint

    return pint.UnitRegistry(autoconvert_offset_to_baseunit=True)


def quantity(text: object, unit: str) -> float:
    """Return the magnitude of a quantity in a unit.

    Parameters
    ----------
    text : str
        A number and its unit, such as ``"20 ms"``.
    unit : str
        The unit of the result, such as ``"s"``.

    Raises
    ------
    ValueError
        If it is no finite number with a unit of that dimension.
    """
    import pint

    match = QUANTITY.fullmatch(text) if isinstance(text, str) and len(text) < 100 else None
    if match is None:
        raise ValueError(f'{text!r} is no quantity; write a number and its unit in quotes, such as "5 {unit}"')
    try:
        magnitude = float(_units().Quantity(float(match[1]), match[2]).to(unit).magnitude)
    except pint.DimensionalityError as error:
        raise ValueError(f"{text!r} is not a quantity in {unit}") from error
    except (pint.PintError, ValueError, TypeError, ArithmeticError) as error:
        raise ValueError(f"{text!r} has an unknown unit {match[2]!r}; allowed: {unit} and its multiples") from error
    if not math.isfinite(magnitude):
        raise ValueError(f"{text!r} is not finite")
    return magnitude


def _within(unit: str, low: float, high: float, allowed: str) -> BeforeValidator:
    """Return what reads a quantity in a unit between two bounds."""

    def read(value: object) -> float:
        number = quantity(value, unit)
        if not low <= number <= high:
            raise ValueError(f"{value!r} is out of range; allowed: {allowed}")
        return number

    return BeforeValidator(read)


def _pair(unit: str) -> BeforeValidator:
    """Return what reads a lower and an upper quantity in a unit."""

    def read(value: object) -> list[float]:
        if not isinstance(value, list) or len(value) != 2:
            raise ValueError(f'{value!r} are no limits; write two quantities, such as ["0 {unit}", "1 {unit}"]')
        low, high = (quantity(edge, unit) for edge in value)
        if low > high:
            raise ValueError(f"{value!r} are no limits; the lower one comes first")
        return [low, high]

    return BeforeValidator(read)


def _resource(value: object) -> object:
    if isinstance(value, str):
        try:
            rname.parse_resource_name(value)
        except (rname.InvalidResourceName, ValueError) as error:
            example = "TCPIP0::192.168.0.5::5025::SOCKET or GPIB0::24::INSTR"
            raise ValueError(f"{value!r} is no VISA resource name such as {example}") from error
    return value


def _limits(value: object) -> object:
    numbers = isinstance(value, list) and all(isinstance(x, int | float) and not isinstance(x, bool) for x in value)
    if not isinstance(value, list) or not numbers or len(value) != 2 or not -math.inf < value[0] <= value[1] < math.inf:
        raise ValueError(f"{value!r} are no limits; write two numbers, the lower first, such as [0.0, 1.0]")
    return [float(x) for x in value]


Timeout = Annotated[float, _within("s", 1e-3, 3600, "1 ms to 1 h")]
Patience = Annotated[float, _within("s", 0, 86400, "0 s to 1 day")]
Volts = Annotated[float, _within("V", -1000, 1000, "-1 kV to 1 kV")]
VoltRange = Annotated[list[float], _pair("V")]
Slew = Annotated[float, _within("V/s", 1e-6, 1e6, "1 uV/s to 1 MV/s")]
Gain = Annotated[float, _within("V/A", 1.0, 1e13, "1 V/A to 10 TV/A")]
Duration = Annotated[float, _within("s", 1e-9, 1e5, "1 ns to 100000 s")]
Frequency = Annotated[float, _within("Hz", 1e-3, 1e12, "1 mHz to 1 THz")]
Amperes = Annotated[float, _within("A", 1e-15, 1e3, "1 fA to 1 kA")]


class Table(BaseModel):
    """A table of a station file: its keys are these fields and no others."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class StationTable(Table):
    """``[station]``: how the instruments are reached."""

    description: str = ""
    library: str = Field(description='"twin", "py", "sim", "" for the vendor\'s VISA, or the path of a VISA library')
    bench: str | None = None


class InstrumentTable(Table):
    """``[instruments.NAME]``: one instrument and its driver."""

    resource: Annotated[str, BeforeValidator(_resource)]
    driver: Literal[tuple(DRIVERS)]  # type: ignore[valid-type]
    identity: str = ""
    timeout: Timeout = 5.0
    patience: Patience = Field(default=60.0, description="how long it may be away during a run before the run fails")


class DeviceTable(Table):
    """``[devices.NAME]``.

    Attributes
    ----------
    port : str
        Name of the port in `protocols.ports` that a device of this role keeps.
    instrument_keys : tuple of str
        Keys that name instruments.
    """

    port: ClassVar[str]
    instrument_keys: ClassVar[tuple[str, ...]] = ("instrument",)

    role: str

    def instruments(self) -> Iterator[tuple[str, str]]:
        """Yield the keys that name instruments, with the names."""
        for key in self.instrument_keys:
            if (name := getattr(self, key)) is not None:
                yield key, name

    @property
    def body(self) -> str | None:
        """Name of the device that this one stands on; None where it stands on instruments."""
        return None


class BoardTable(DeviceTable):
    """``[devices.NAME]`` of a thermodynamic board."""

    port = "Board"

    role: Literal["thermodynamic_board"]
    instrument: str
    limits: dict[str, Annotated[list[float], BeforeValidator(_limits)]] = {}


class GateTable(Table):
    """``[devices.NAME.gates.GATE]``: which channel of the DAC it hangs on, and what the sample bears."""

    channel: int = Field(ge=1, le=24)
    limits: VoltRange
    slew: Slew
    safe: Volts = 0.0


class VirtualGateTable(Table):
    """``[devices.NAME.virtual_gates.GATE]``: the gate it moves, and the cross-talk it makes up for.

    Its voltage is that of the gate `of` plus the sum of `cross_talk` times the voltages of other gates; moving it
    leaves the other virtual gates where they are.
    """

    of: str
    cross_talk: dict[str, float] = {}


class QuantumDotTable(DeviceTable):
    """``[devices.NAME]`` of gate-defined dots: its instruments, and how they are cabled to the sample."""

    port = "QuantumDot"
    instrument_keys = ("dac", "ammeter", "sensor_meter", "digitizer", "bias_source", "lock_in")

    role: Literal["quantum_dot"]
    dac: str
    ammeter: str
    sensor_meter: str
    digitizer: str
    bias_source: str
    lock_in: str | None = None
    gates: dict[str, GateTable] = Field(min_length=1)
    virtual_gates: dict[str, VirtualGateTable] = {}
    step_output: int = Field(default=1, ge=1, le=5, description="trigger output of the DAC that the meters listen to")
    digitizer_channel: int = Field(default=1, ge=1, le=4)
    current_gain: Gain
    current_range: Amperes = Field(description="largest current through the dot, either sign")
    sensor_gain: Gain
    sensor_range: Amperes = Field(description="largest current through the point contact")
    trace_range: Amperes = Field(description="span of a trace, from its lowest to its highest current")
    sensor_bandwidth: Frequency
    bias_attenuation: float = Field(gt=0, le=1)
    bias_limits: VoltRange = Field(description="of the voltage at the sample")
    excitation_attenuation: float = Field(default=1e-5, gt=0, le=1)
    excitation_limit: Volts | None = Field(default=None, description="rms, at the sample")


class PhotonKernelTable(DeviceTable):
    """``[devices.NAME]`` of a photon kernel: its instruments and the timing of its pulses."""

    port = "PhotonKernel"
    instrument_keys = ("awg", "counter")

    role: Literal["photon_kernel"]
    awg: str
    counter: str
    counter_channel: int = Field(default=1, ge=1, le=2)
    modes: int = Field(default=8, ge=1, le=1024)
    bin_time: Duration = Field(description="duration of one temporal mode")
    period: Duration = Field(description="time from one attempt to the next")
    amplitude: Volts = Field(description="peak of the pulses")
    gate_time: Duration = Field(description="width of the counter's gate as the AWG's trigger opens it")
    threshold: Volts = Field(description="level of the discriminator")


class StandingTable(DeviceTable):
    """``[devices.NAME]`` of what stands on another device.

    Attributes
    ----------
    stands_on : str
        Role of that device.
    """

    instrument_keys = ()
    stands_on: ClassVar[str]

    instrument: str = Field(description="name of the device it stands on")

    @property
    def body(self) -> str:
        """Name of the device that it stands on."""
        return self.instrument


class BoardModelTable(StandingTable):
    """``[devices.NAME]`` of a model of a board, which has the size of the board and is computed here."""

    port = "BoardModel"
    stands_on = "thermodynamic_board"

    role: Literal["board_model"]


class SwitchTable(StandingTable):
    """``[devices.NAME]`` of an activation switch."""

    port = "ActivationSwitch"


class BoardCellTable(SwitchTable):
    """``[devices.NAME]`` of an activation switch that is one bistable cell of a board."""

    stands_on = "thermodynamic_board"

    role: Literal["board_cell"]
    cell: int = Field(default=1, ge=1)
    temperature: float | None = Field(default=None, gt=0, le=4, description="model unit; the board's own if not given")
    observation_time: float | None = Field(default=None, gt=0, le=1e6, description="1/mu; the board's own if not given")
    span: Annotated[list[float], BeforeValidator(_limits)] | None = None


class DotSwitchTable(SwitchTable):
    """``[devices.NAME]`` of an activation switch that is the charge of a dot, read by its point contact."""

    stands_on = "quantum_dot"

    role: Literal["dot_charge"]
    gate: str = Field(description="the gate that drives it, physical or virtual")
    span: VoltRange
    operating_point: dict[str, Volts] = {}
    readout: Literal["threshold", "bayes"] = "threshold"
    integration_time: Duration
    shot_interval: Duration
    tunnel_rate: Frequency = Field(description="sum of the rates in and out")
    memory: float = Field(ge=0, le=1)


class PhotonSwitchTable(SwitchTable):
    """``[devices.NAME]`` of an activation switch that is a detector: on if enough of its pulses click."""

    stands_on = "photon_kernel"

    role: Literal["photon_detection"]
    pulses: int = Field(ge=1, le=10000, description="attempts per shot")
    least_clicks: int = Field(ge=1, le=10000)
    efficiency: float = Field(gt=0, le=1, description="clicks per photon at full overlap, as far as it is known")
    memory: float = Field(default=0.0, ge=0, le=1)


AnyDevice = Annotated[
    BoardTable
    | BoardModelTable
    | QuantumDotTable
    | PhotonKernelTable
    | BoardCellTable
    | DotSwitchTable
    | PhotonSwitchTable,
    Field(discriminator="role"),
]
ROLES: dict[str, type[DeviceTable]] = {
    "thermodynamic_board": BoardTable,
    "board_cell": BoardCellTable,
    "board_model": BoardModelTable,
    "quantum_dot": QuantumDotTable,
    "dot_charge": DotSwitchTable,
    "photon_kernel": PhotonKernelTable,
    "photon_detection": PhotonSwitchTable,
}


def _allowed(value: object) -> object:
    if value is False:
        raise ValueError("false is not allowed; write true, or two numbers such as [10.0, 45.0]")
    return value if value is True else _limits(value)


class SuspenderTable(Table):
    """``[suspenders.NAME]``: a plan waits while a signal is not as it must be."""

    signal: str = Field(pattern=r"^\w+\.\w+$", description="DEVICE.SIGNAL, as `lab devices` lists them")
    allowed: Annotated[Literal[True] | list[float], BeforeValidator(_allowed)] = Field(
        description="true, or the lowest and highest value in the unit of the signal"
    )
    poll: Annotated[float, _within("s", 1e-3, 3600, "1 ms to 1 h")] = 1.0
    resume_after: Annotated[float, _within("s", 0, 86400, "0 s to 1 d")] = 0.0
    clear: bool = Field(default=False, description="clear what has latched on the instrument once it may be cleared")


def _fault_rate(value: object) -> float | None:
    if value is not True and type(value) not in (int, float):
        raise ValueError(f"{value!r} is no rate; write a number, or true for the default")
    return None if value is True else float(value)  # type: ignore[arg-type]


FaultRate = Annotated[float | None, BeforeValidator(_fault_rate)]
"""How often a fault strikes; None for the default."""


class CatalogTable(Table):
    """``[catalog]``: the Tiled server that gets a copy of every run."""

    uri: str = Field(pattern=r"^https?://[^\s@?]+$", description="address of the server, without its key")
    key_file: str | None = Field(default=None, description="file with the key; $TILED_API_KEY if not given")


class StationFile(Table):
    """A whole station file."""

    station: StationTable
    bench: dict[str, Any] = {}
    instruments: dict[str, InstrumentTable] = Field(min_length=1)
    devices: dict[str, AnyDevice] = {}
    suspenders: dict[str, SuspenderTable] = {}
    catalog: CatalogTable | None = None
    faults: dict[str, FaultRate] = {}
