"""Which device a table of a station file makes."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from drivers.errors import ReplyError
from lab.clock import Clock
from lab.station_file import StationDefinition
from lab.station_tables import (
    BoardCellTable,
    BoardModelTable,
    BoardTable,
    DotSwitchTable,
    PhotonKernelTable,
    PhotonSwitchTable,
    QuantumDotTable,
)

if TYPE_CHECKING:
    from ophyd import Device


Instruments = Mapping[str, Any]
Devices = Mapping[str, Any]


def make_device(
    definition: StationDefinition, name: str, instruments: Instruments, devices: Devices, clock: Clock
) -> "Device":
    """Make one device of a station; what it stands on is there already.

    Parameters
    ----------
    definition : StationDefinition
        The station.
    name : str
        Name of the device.
    instruments, devices : mapping of str to object
        Drivers and devices that are open, by name.
    clock : Clock
        The clock of the station, on which a device waits for ramps and settling.

    Raises
    ------
    StationError
        If its table does not fit what it stands on.
    """
    match definition.tables.devices[name]:
        case BoardTable() as table:
            return _board(definition, name, table, instruments)
        case QuantumDotTable() as table:
            return _quantum_dot(definition, name, table, instruments, clock)
        case PhotonKernelTable() as table:
            return _photon_kernel(definition, name, table, instruments)
        case BoardCellTable() as table:
            return _board_cell(definition, name, table, devices)
        case BoardModelTable() as table:
            return _board_model(name, table, devices)
        case DotSwitchTable() as table:
            return _dot_charge(definition, name, table, devices)
        case PhotonSwitchTable() as table:
            return _photon_detection(definition, name, table, devices)
    raise LookupError(f"no device of the role of {name!r}")


def _board(definition: StationDefinition, name: str, table: BoardTable, instruments: Instruments) -> "Device":
    from lab.devices.thermodynamic_board import ThermodynamicBoard

    try:
        limits = {key: (low, high) for key, (low, high) in table.limits.items()}
        return ThermodynamicBoard(instruments[table.instrument], name=name, limits=limits)
    except ReplyError:
        raise
    except ValueError as error:
        raise definition.error(f"devices.{name}.limits", str(error)) from error


def _board_cell(definition: StationDefinition, name: str, table: BoardCellTable, devices: Devices) -> "Device":
    from lab.devices.board_cell import BoardCellSwitch

    board = devices[table.instrument]
    if table.cell > (most := board.cells.limits[1]):
        raise definition.error(f"devices.{name}.cell", f"{table.cell} is not allowed; from 1 to {most:g}")
    return BoardCellSwitch(
        board,
        name=name,
        cell=table.cell,
        temperature=table.temperature,
        observation_time=table.observation_time,
        span=None if table.span is None else (table.span[0], table.span[1]),
    )


def _board_model(name: str, table: BoardModelTable, devices: Devices) -> "Device":
    from lab.devices.board_model import BoardModel

    return BoardModel(devices[table.instrument], name=name)


def _quantum_dot(
    definition: StationDefinition, name: str, table: QuantumDotTable, instruments: Instruments, clock: Clock
) -> "Device":
    from lab.devices.dot_wiring import DotInstruments, DotWiring, Gate, VirtualGate, WiringError
    from lab.devices.quantum_dot import make_quantum_dot

    try:
        wiring = DotWiring(
            gates={
                gate: Gate(entry.channel, (entry.limits[0], entry.limits[1]), entry.slew, entry.safe)
                for gate, entry in table.gates.items()
            },
            virtual_gates={
                gate: VirtualGate(entry.of, dict(entry.cross_talk)) for gate, entry in table.virtual_gates.items()
            },
            step_output=table.step_output,
            digitizer_channel=table.digitizer_channel,
            current_gain=table.current_gain,
            current_range=table.current_range,
            sensor_gain=table.sensor_gain,
            sensor_range=table.sensor_range,
            trace_range=table.trace_range,
            sensor_bandwidth=table.sensor_bandwidth,
            bias_attenuation=table.bias_attenuation,
            bias_limits=(table.bias_limits[0], table.bias_limits[1]),
            excitation_attenuation=table.excitation_attenuation,
            excitation_limit=table.excitation_limit,
        )
    except WiringError as error:
        raise definition.error(f"devices.{name}.{error.key}", error.problem) from error
    chosen = {key: instruments[instrument] for key, instrument in table.instruments()}
    return make_quantum_dot(DotInstruments(**chosen), wiring, name=name, clock=clock)


def _photon_kernel(
    definition: StationDefinition, name: str, table: PhotonKernelTable, instruments: Instruments
) -> "Device":
    from lab.devices.photon_kernel import PhotonInstruments, PhotonKernel, PulseTiming, TimingError

    try:
        timing = PulseTiming(
            modes=table.modes,
            bin_time=table.bin_time,
            period=table.period,
            amplitude=table.amplitude,
            gate_time=table.gate_time,
        )
    except TimingError as error:
        raise definition.error(f"devices.{name}.{error.key}", error.problem) from error
    chosen = PhotonInstruments(instruments[table.awg], instruments[table.counter])
    return PhotonKernel(chosen, timing, name=name, counter_channel=table.counter_channel, threshold=table.threshold)


def _dot_charge(definition: StationDefinition, name: str, table: DotSwitchTable, devices: Devices) -> "Device":
    from lab.devices.dot_charge import DotChargeSwitch

    dot = devices[table.instrument]
    for key, gate in (("gate", table.gate), *((f"operating_point.{gate}", gate) for gate in table.operating_point)):
        if gate not in dot.gate_names:
            raise definition.error(
                f"devices.{name}.{key}", f"there is no gate {gate!r}; allowed: {', '.join(dot.gate_names)}"
            )
    return DotChargeSwitch(
        dot,
        name=name,
        gate=table.gate,
        span=(table.span[0], table.span[1]),
        operating_point=table.operating_point,
        readout=table.readout,
        integration_time=table.integration_time,
        shot_interval=table.shot_interval,
        tunnel_rate=table.tunnel_rate,
        memory=table.memory,
    )


def _photon_detection(definition: StationDefinition, name: str, table: PhotonSwitchTable, devices: Devices) -> "Device":
    from lab.devices.photon_detection import PhotonSwitch

    if table.least_clicks > table.pulses:
        allowed = f"from 1 to {table.pulses}, its pulses"
        raise definition.error(f"devices.{name}.least_clicks", f"{table.least_clicks} is not allowed; {allowed}")
    try:
        return PhotonSwitch(
            devices[table.instrument],
            name=name,
            pulses=table.pulses,
            least_clicks=table.least_clicks,
            efficiency=table.efficiency,
            memory=table.memory,
        )
    except ValueError as error:
        raise definition.error(f"devices.{name}.least_clicks", str(error)) from error
