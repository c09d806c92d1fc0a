"""What a run of the thermodynamic board does: inputs, noise, sampling, capture, projections, trigger."""

from collections.abc import Callable
from typing import Any

import numpy as np

from sim_devices.instruments.board_acquisition import Order, Timing
from sim_devices.instruments.board_model import BoardModel
from sim_devices.instruments.board_programs import SLOTS, within
from sim_devices.instruments.board_rails import SETTLING
from sim_devices.instruments.board_tests import noise_covariance
from sim_devices.instruments.board_units import ObservationTime, UnitReal, suffix, unit_setting
from sim_devices.scpi import (
    Boolean,
    ChannelList,
    Choice,
    Integer,
    Numbers,
    Operation,
    Real,
    ScpiError,
    Session,
    command,
    query,
    setting,
)
from twin.models.program import MAXIMUM_SHOTS
from twin.models.thermodynamic_board import FULL_SCALE, RAIL, Schedule

TABLE_ROWS = 65536
TABLE_VALUES = 2**24
LONGEST_CAPTURE = 67108864
SLOWEST_CAPTURE = 2.0**-20
"""Lowest rate of a capture, in units of the sampling clock."""
NOISE_SETTLING = 1e-4
"""Time from changing the noise temperature until it is reached, s."""
PROJECTIONS = 16
MOMENTS = ("MEAN", "VAR", "COV")

_CELLS = ChannelList(1, lambda board: board.cells)
_CELL = Integer(1, lambda board: board.cells)


def _every_cell(board: BoardModel) -> tuple[int, ...]:
    return tuple(range(1, board.cells + 1))


class BoardSampling(BoardModel):
    """Settings of a run, and the order that INITiate gives to the physics."""

    # ---- inputs ----------------------------------------------------------------------------------------------------

    input_mode = setting("INPut:MODE", Choice("OFF", "FIXed", "STEP", "SWEep"), reset="OFF", guards=("idle",))
    input_row = setting("INPut:ROW", Integer(1), reset=1)
    dwell = setting("INPut:DWELl", Integer(1, 1000000, also=("COUNt",)), reset="COUN", guards=("idle",))
    table: np.ndarray
    vector: np.ndarray

    @command("INPut:TABLe:DEFine", Integer(1, TABLE_ROWS), Integer(0, lambda b: b.model.inputs), guards=("idle",))
    def _define_table(self, _: Session, rows: int, columns: int) -> None:
        if rows * columns > TABLE_VALUES:
            raise ScpiError(-225, f"{rows * columns} values, the table holds {TABLE_VALUES}")
        self.table = np.zeros((rows, columns))
        self.input_row = 1

    @query("INPut:TABLe:DEFine?")
    def _ask_table(self, _: Session) -> tuple[int, int]:
        rows, columns = self.table.shape
        return rows, columns

    @command("INPut:TABLe[:DATA]", Numbers(), guards=("idle",))
    def _write_table(self, _: Session, values: np.ndarray) -> None:
        self._require_table()
        if values.size != self.table.size:
            number = -223 if values.size > self.table.size else -109
            raise ScpiError(number, f"the table has {self.table.size} values, {values.size} were sent")
        self.table = within(values, -1.0, 1.0, "inputs").reshape(self.table.shape)
        self._load_row(self.input_row)

    @query("INPut:TABLe[:DATA]?", Integer(1, optional=True), Integer(1, optional=True))
    def _read_table(self, _: Session, first: int | None, count: int | None) -> np.ndarray:
        self._require_table()
        start = 1 if first is None else first
        stop = len(self.table) if count is None else start + count - 1
        if start > stop or stop > len(self.table):
            raise ScpiError(212, f"rows {start}..{stop}, the table has {len(self.table)}")
        return self.table[start - 1 : stop]

    @command("INPut:TABLe:CLEar", guards=("idle",))
    def _clear_table(self, _: Session) -> None:
        self.table = np.zeros((0, 0))
        self.input_row = 1

    @query("INPut:TABLe:POINts?")
    def _ask_points(self, _: Session) -> int:
        return len(self.table)

    @input_row.check
    def _check_row(self, row: int) -> int:
        if row > max(1, len(self.table)):
            raise ScpiError(212, f"row {row}, the table has {len(self.table)}")
        return row

    @input_row.changed
    def _load_row(self, row: int) -> None:
        """Apply a row of the table: it becomes the vector of fixed inputs."""
        if len(self.table):
            self.vector = self.table[row - 1]

    @input_mode.check
    def _check_input_mode(self, mode: str) -> str:
        if mode in ("STEP", "SWE"):
            self._require_table()
        return mode

    @command("INPut:VECTor", Numbers())
    def _write_vector(self, _: Session, values: np.ndarray) -> None:
        if values.size != self.inputs:
            raise ScpiError(
                -223 if values.size > self.inputs else -109, f"{self.inputs} inputs are in use, {values.size} were sent"
            )
        self.vector = within(values, -1.0, 1.0, "inputs")

    @query("INPut:VECTor?")
    def _read_vector(self, _: Session) -> np.ndarray:
        return self.vector

    def _require_table(self) -> None:
        if not len(self.table):
            raise ScpiError(211, "INPut:TABLe:DEFine comes first")

    # ---- noise -----------------------------------------------------------------------------------------------------

    noise_on = setting("NOISe[:STATe]", Boolean(), reset=False)
    noise_source = setting("NOISe:SOURce", Choice("DIGital", "NONE"), reset="DIG", guards=("idle",))
    noise_temperature = unit_setting(
        "NOISe:TEMPerature", "temperature", UnitReal("temperature", *FULL_SCALE["temperature"], default=1.0), reset=1.0
    )
    noise_seed = setting("NOISe:SEED", Integer(0, 2**32 - 1), reset=lambda board: board.model.noise_seed)

    @query("NOISe:TEMPerature:ACTual?", ChannelList(1, lambda b: b.cells, optional=True), guards=("idle",))
    def _ask_actual_temperature(self, _: Session, cells: tuple[int, ...] | None) -> Operation:
        """Return the noise temperature of cells, estimated from their noise on test."""
        chosen = np.array(cells or _every_cell(self)) - 1
        factor = self.factor("temperature")
        return self._measure_noise(chosen, lambda noise: noise.diagonal()[chosen] * factor)

    @query("NOISe:CORRelation?", _CELL, _CELL, guards=("idle",))
    def _ask_noise_correlation(self, _: Session, first: int, second: int) -> Operation:
        """Return the correlation of the noise of two cells, estimated like the temperature; 0 without noise."""
        pair = np.array([first, second]) - 1

        def correlation(noise: np.ndarray) -> float:
            scale = float(np.sqrt(noise[pair[0], pair[0]] * noise[pair[1], pair[1]]))
            return float(noise[tuple(pair)]) / scale if scale else 0.0

        return self._measure_noise(pair, correlation)

    def _measure_noise(self, cells: np.ndarray, reply: Callable[[np.ndarray], Any]) -> Operation:
        """Put the noise to the test up to the last of `cells`; `reply` gets its covariance in units of kT."""
        measured = self.worker.submit(noise_covariance, self.model, self.temperature_in_force, int(cells.max()) + 1)
        return Operation(measured, reply=lambda: reply(measured.result()))

    @property
    def temperature_in_force(self) -> float:
        """The temperature of the noise in model units; 0 with the source off."""
        return self.noise_temperature if self.noise_on and self.noise_source != "NONE" else 0.0

    acquisitions = 0
    """Acquisitions begun since *RST or NOISe:SEED."""

    @noise_on.check
    def _check_noise(self, on: bool) -> bool:
        if on:
            self.require_rails()
        return on

    @noise_temperature.changed
    def _temperature_changed(self, _: float) -> Operation:
        return self.settle(NOISE_SETTLING, SETTLING)

    @noise_seed.changed
    def _seed_changed(self, _: int) -> None:
        self.acquisitions = 0

    def outputs_off(self) -> None:
        """Switch the rails off, and with them the noise."""
        super().outputs_off()
        self.noise_on = False

    # ---- sampling --------------------------------------------------------------------------------------------------

    function = setting(
        "SENSe:FUNCtion", Choice("SAMPle", "CAPTure", "STATistics", quoted=True), reset="SAMP", guards=("idle",)
    )
    sampling = setting("SAMPle:MODE", Choice("RESet", "SERial"), reset="RES", guards=("idle",))
    shots = setting("SAMPle:COUNt", Integer(1, 16777216), reset=1000, guards=("idle",))
    observation_time = unit_setting(
        "SAMPle:TOBServe",
        "time",
        ObservationTime("time", lambda board: 1.0 / board.ticks, 1e6, default=10.0),
        reset=10.0,
        guards=("idle",),
    )
    burn_in = unit_setting(
        "SAMPle:BURNin", "time", UnitReal("time", 0.0, 1e6, default=100.0), reset=100.0, guards=("idle",)
    )
    reset_time = unit_setting(
        "SAMPle:RESet:TIME", "time", UnitReal("time", 0.1, 1e5, default=2.0), reset=2.0, guards=("idle",)
    )
    reset_mode = setting("SAMPle:RESet:MODE", Choice("CLAMp"), reset="CLAM", guards=("idle",))
    threshold = unit_setting(
        "SAMPle:THReshold", "signal", UnitReal("signal", -RAIL, RAIL, also=("OFF",)), reset="OFF", guards=("idle",)
    )
    time_limit = setting("SAMPle:TIME:LIMit", Real(0.0, 31536000.0, "S"), reset=3600.0)
    slots = setting("SAMPle:MODels", ChannelList(0, SLOTS - 1), reset=(0,), guards=("idle",))
    rows = setting("SAMPle:ROWS", Integer(1, TABLE_ROWS), Integer(1, TABLE_ROWS), reset=(1, 1), guards=("idle",))
    read_cells = setting("SAMPle:CELLs", _CELLS, reset=_every_cell, guards=("idle",))
    start: np.ndarray

    @property
    def ticks(self) -> float:
        """Periods of the sampling clock per model unit of time."""
        return round(self.model.circuit.clock_frequency * self.model.circuit.time_constant, 6)

    @observation_time.check
    def _whole_observation(self, time: float) -> float:
        return max(1, round(time * self.ticks)) / self.ticks

    @burn_in.check
    def _whole_burn_in(self, time: float) -> float:
        return round(time * self.ticks) / self.ticks

    @reset_time.check
    def _whole_reset(self, time: float) -> float:
        return round(time * self.ticks) / self.ticks

    @command("SAMPle:RESet:VALue", Numbers(unit=suffix("signal")), guards=("idle",))
    def _set_start(self, _: Session, values: np.ndarray) -> None:
        if values.size not in (1, self.cells):
            raise ScpiError(
                -223 if values.size > self.cells else -109, f"1 or {self.cells} values are taken, not {values.size}"
            )
        self.start = within(values / self.factor("signal"), -RAIL, RAIL, "reset values")

    @query("SAMPle:RESet:VALue?")
    def _ask_start(self, _: Session) -> np.ndarray:
        return self.start * self.factor("signal")

    @query("SAMPle:TIME?")
    def _ask_run_time(self, _: Session) -> float:
        return self.timing(len(self._input_rows(checked=False))).total

    @query("SAMPle:CLOCk?")
    def _ask_clock(self, _: Session) -> float:
        return self.model.circuit.clock_frequency

    # ---- capture ---------------------------------------------------------------------------------------------------

    capture_count = setting("CAPTure:COUNt", Integer(16, LONGEST_CAPTURE), reset=4096, guards=("idle",))
    capture_rate = setting(
        "CAPTure:RATE",
        Real(
            lambda board: board.model.circuit.clock_frequency * SLOWEST_CAPTURE,
            lambda board: board.model.circuit.clock_frequency,
            "HZ",
        ),
        reset=lambda board: board.model.circuit.clock_frequency,
        guards=("idle",),
    )
    capture_cells = setting("CAPTure:CELLs", _CELLS, reset=(1,), guards=("idle",))

    @capture_rate.check
    def _divided_clock(self, rate: float) -> float:
        clock = self.model.circuit.clock_frequency
        return clock / 2.0 ** round(np.log2(clock / rate))

    # ---- statistics and projections --------------------------------------------------------------------------------

    statistics_on = setting("CALCulate[:STATe]", Boolean(), reset=True)
    moments = setting("CALCulate:MOMents", Choice("MEAN", "VARiance", "COVariance"), reset="COV", guards=("idle",))
    projection_count = setting("CALCulate:PROJection:DEFine", Integer(0, PROJECTIONS), reset=0, guards=("idle",))
    projections: np.ndarray | None
    """Shape (rows or 1, k, cells), over all cells in use."""

    @projection_count.changed
    def _projection_count_changed(self, count: int) -> None:
        self.projections = np.zeros((1, count, self.cells)) if count else None

    @command("CALCulate:PROJection[:DATA]", Numbers(), guards=("idle",))
    def _write_projections(self, _: Session, values: np.ndarray) -> None:
        if not self.projection_count:
            raise ScpiError(-221, "CALCulate:PROJection:DEFine comes first")
        set_size = self.projection_count * self.cells
        sets, rest = divmod(values.size, set_size)
        if rest or not 1 <= sets <= TABLE_ROWS:
            raise ScpiError(
                -109 if not sets else -223, f"sets of {set_size} values are taken, not {values.size} values"
            )
        self.projections = values.astype(float).reshape(sets, self.projection_count, self.cells)

    @query("CALCulate:PROJection[:DATA]?")
    def _read_projections(self, _: Session) -> np.ndarray:
        if self.projections is None:
            raise ScpiError(241, "no projection is defined")
        return self.projections

    # ---- trigger ---------------------------------------------------------------------------------------------------

    trigger_source = setting(
        "TRIGger[:SEQuence]:SOURce", Choice("IMMediate", "BUS", "TIMer"), reset="IMM", guards=("idle",)
    )
    trigger_count = setting("TRIGger[:SEQuence]:COUNt", Integer(1, 1000000), reset=1, guards=("idle",))
    trigger_delay = setting("TRIGger[:SEQuence]:DELay", Real(0.0, 1.0, "S"), reset=0.0, guards=("idle",))
    trigger_period = setting("TRIGger[:SEQuence]:TIMer", Real(1e-5, 100.0, "S"), reset=1.0, guards=("idle",))

    # ---- reset and the order of a run ------------------------------------------------------------------------------

    def resized(self) -> None:
        """Give everything that counts cells or inputs its reset value."""
        super().resized()
        self.vector = np.zeros(self.inputs)
        self.start = np.zeros(1)
        self.read_cells = _every_cell(self)
        self.capture_cells = (1,)
        self.projection_count = 0
        self.projections = None

    def reset(self) -> None:
        """Switch off, empty all slots and the input table."""
        super().reset()
        self.table = np.zeros((0, 0))
        self.acquisitions = 0
        self.resized()

    def timing(self, rows: int) -> Timing:
        """Return the durations of a run over `rows` rows of inputs."""
        unit = self.model.circuit.time_constant
        lead = self.trigger_delay + (self.trigger_period if self.trigger_source == "TIM" else 0.0)
        blocks = len(self.slots) * rows
        triggers = self.trigger_count
        if self.function == "CAPT":
            return Timing(True, self.capture_count, blocks, 1 / self.capture_rate, lead=lead, triggers=triggers)
        return Timing(
            serial=self.sampling == "SER",
            shots=self.dwell if self.input_mode == "SWE" and self.dwell != "COUN" else self.shots,
            blocks=blocks,
            observation=self.observation_time * unit,
            burn_in=self.burn_in * unit,
            reset=self.reset_time * unit,
            conversion=1 / self.model.circuit.clock_frequency,
            lead=lead,
            triggers=triggers,
        )

    def order(self) -> Order:
        """Return what a run begun now is to do.

        Raises
        ------
        ScpiError
            203 for a slot that is not live, 211 or 212 for missing inputs, 232 for too large a run, -221 for settings
            that do not fit together.
        """
        for index in self.slots:
            if self.programs.slots[index].state != "LIVE":
                raise ScpiError(203, f"slot {index}")
        inputs = self._input_rows()
        timing = self.timing(len(inputs))
        if timing.serial and timing.triggers > 1:
            raise ScpiError(-221, "TRIGger:COUNt above 1 needs independent shots, SAMPle:MODE RESet")
        if timing.triggers * timing.shots > MAXIMUM_SHOTS:
            raise ScpiError(232, f"{timing.triggers * timing.shots:.3g} shots per slot and row, limit {MAXIMUM_SHOTS}")
        cells = np.array(self.capture_cells if self.function == "CAPT" else self.read_cells) - 1
        order = Order(
            programs=tuple(self.programs.slots[index].program for index in self.slots),
            slots=self.slots,
            inputs=inputs,
            first_row=self.rows[0] - 1 if self.input_mode == "SWE" else 0,
            schedule=self._schedule(timing),
            timing=timing,
            temperature=self.temperature_in_force,
            seed=self.noise_seed,
            acquisition=self.acquisitions + 1,
            cells=cells,
            projections=self._projections_read(cells, len(inputs)),
            keep_samples=self.function != "STAT",
            threshold=None if self.threshold == "OFF" else self.threshold,
            moments=MOMENTS.index(self.moments) + 1 if self.statistics_on else 0,
        )
        order.check(self.time_limit, self.model)
        return order

    def _schedule(self, timing: Timing) -> Schedule:
        unit = self.model.circuit.time_constant
        return Schedule(
            sampling="serial" if timing.serial else "reset",
            shots=timing.triggers * timing.shots,
            observation_time=timing.observation / unit if self.function == "CAPT" else self.observation_time,
            burn_in=timing.burn_in / unit if self.function == "CAPT" else self.burn_in,
            start=np.broadcast_to(self.start, (self.cells,)) if self.start.any() else None,
        )

    def _input_rows(self, *, checked: bool = True) -> np.ndarray:
        """Return the rows of inputs of a run, of shape (rows, inputs)."""
        if self.input_mode == "OFF":
            return np.zeros((1, self.inputs))
        if self.input_mode != "SWE":
            rows = self.vector[np.newaxis]
        else:
            first, count = self.rows
            if checked and not len(self.table):
                raise ScpiError(211, "INPut:TABLe:DEFine comes first")
            if checked and first + count - 1 > len(self.table):
                raise ScpiError(212, f"rows {first}..{first + count - 1}, the table has {len(self.table)}")
            rows = self.table[first - 1 : first + count - 1] if checked else np.zeros((count, self.inputs))
        if checked and rows.shape[1] != self.inputs:
            raise ScpiError(-221, f"the table has {rows.shape[1]} columns, {self.inputs} inputs are in use")
        return rows

    def _projections_read(self, cells: np.ndarray, rows: int) -> np.ndarray | None:
        if self.projections is None:
            return None
        if len(self.projections) not in (1, rows):
            raise ScpiError(-221, f"projections for {len(self.projections)} rows, the run has {rows}")
        unread = np.delete(self.projections, cells, axis=2)
        if unread.any():
            raise ScpiError(-221, "a projection has a cell that SAMPle:CELLs does not read")
        read = self.projections[:, :, cells]
        return read if len(read) == rows else read[0]
