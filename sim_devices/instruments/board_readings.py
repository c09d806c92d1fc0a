"""What a run of the thermodynamic board left: samples, statistics, histogram."""

from collections.abc import Callable
from typing import Any

import numpy as np

from sim_devices.instruments.board_acquisition import COVARIANCE, MEAN, MEMORY, VARIANCE, Acquisition
from sim_devices.instruments.board_rails import AMBIENT, DATA_READY, POWER_ON
from sim_devices.instruments.board_sampling import BoardSampling
from sim_devices.instruments.board_units import UnitReal, unit_setting
from sim_devices.scpi import Block, Choice, Integer, Quoted, ScpiError, Session, command, query, setting
from twin.models.thermodynamic_board import RAIL

CODE_BITS = 16
"""Bits of a sample in FORMat INTeger,16 where the converter is ideal."""

_CELL = Integer(1, lambda board: board.cells)


class BoardReadings(BoardSampling):
    """Readings of the last run, in the units in force."""

    acquisition: Acquisition | None = None
    """The finished run in memory."""

    def after_run(self, reply: Callable[[], Any]) -> Any:
        """Return a reply at once, or as soon as an active run has ended."""
        raise NotImplementedError

    def shots_measured(self) -> int:
        """Return the shots that an active run has made so far, over all slots and rows; 0 while none is active."""
        raise NotImplementedError

    def data(self) -> Acquisition:
        """Return the run in memory; 241 where there is none."""
        if self.acquisition is None:
            raise ScpiError(241, "no run has ended")
        return self.acquisition

    def update_data_ready(self) -> None:
        """Show in OPERation whether enough shots are in memory."""
        threshold = self.data_threshold
        self.set_condition("operation", DATA_READY, 0 < threshold <= self._shots_ready())

    def _shots_ready(self) -> int:
        return 0 if self.acquisition is None else self.acquisition.shots - self.acquisition.taken

    def reset(self) -> None:
        """Switch off, empty all slots, the input table and the memory."""
        super().reset()
        self.acquisition = None
        self.update_data_ready()

    def resized(self) -> None:
        """Give everything that counts cells or inputs its reset value."""
        super().resized()
        self.histogram_cell = 1

    # ---- samples ---------------------------------------------------------------------------------------------------

    data_threshold = setting("DATA:POINts:EVENt:THReshold", Integer(0, MEMORY), reset=0)

    @data_threshold.changed
    def _data_threshold_changed(self, _: int) -> None:
        self.update_data_ready()

    @query("FETCh?")
    def _fetch(self, session: Session) -> Any:
        """Return all readings of SENSe:FUNCtion: the samples, or mean and variance where only moments were kept."""
        return self.after_run(lambda: self.readings(session))

    def readings(self, session: Session) -> Any:
        """Return what FETCh? answers."""
        acquisition = self.data()
        if not acquisition.order.keep_samples:
            factor = self.factor("signal")
            return np.stack([self._moment(MEAN, "mean") * factor, self._moment(VARIANCE, "variance") * factor**2])
        return self._samples(session, acquisition.taken, self._shots_ready())

    @query("DATA:POINts?")
    def _ask_points_ready(self, _: Session) -> int:
        """Return the shots in memory, or while a run is active those it has made."""
        return self._shots_ready() + self.shots_measured()

    @query("DATA:REMove?", Integer(1, MEMORY), Choice("WAIT", optional=True))
    def _remove(self, session: Session, count: int, wait: str | None) -> Any:
        if wait:
            return self.after_run(lambda: self._take_samples(session, count))
        return self._take_samples(session, count)

    def _take_samples(self, session: Session, count: int) -> Any:
        acquisition = self.data()
        samples = self._samples(session, acquisition.taken, count)
        acquisition.taken += count
        self.update_data_ready()
        return samples

    @query("DATA:ROW?", Integer(1, MEMORY), Integer(1, MEMORY))
    def _ask_rows(self, session: Session, first: int, count: int) -> Any:
        return self._samples(session, first - 1, count)

    @query("DATA:TIMestamp?", Integer(1, MEMORY), Integer(1, MEMORY))
    def _ask_timestamps(self, _: Session, first: int, count: int) -> Block:
        acquisition = self.data()
        acquisition.samples(first - 1, count)
        return Block(acquisition.order.timing.stamps(first - 1, count))

    @command("DATA:CLEar", guards=("idle",))
    def _clear_data(self, _: Session) -> None:
        self.acquisition = None
        self.update_data_ready()

    def _samples(self, session: Session, first: int, count: int) -> Any:
        """Return shots as volts or model units, as converter codes, or as one bit per cell."""
        acquisition = self.data()
        samples = acquisition.samples(first, count)
        threshold = acquisition.order.threshold
        if threshold is not None:
            bits = samples > threshold
            if session.data_format.name == "ASC":
                return bits
            return Block(np.packbits(bits, axis=1, bitorder="little"))
        if session.data_format.name == "INT,16":
            return np.clip(np.rint(samples / self._lsb()), -(2**15), 2**15 - 1).astype(np.int16)
        factor = np.float32(self.factor("signal"))
        return samples if factor == 1.0 else samples * factor

    def _lsb(self) -> float:
        """Return the step of the converter in model units."""
        imperfections = self.model.imperfections
        if not imperfections.adc_bits:
            return RAIL / 2.0 ** (CODE_BITS - 1)
        return imperfections.adc_range / 2.0 ** (min(imperfections.adc_bits, CODE_BITS) - 1)

    @query("CALibration:DATA?", Choice("LSB"))
    def _ask_calibration(self, _: Session, __: str) -> Block:
        """Return step and offset of the codes of FORMat INTeger,16."""
        return Block(np.array([self._lsb() * self.factor("signal"), 0.0]))

    @query("CALibration:DATE?")
    def _ask_calibration_date(self, _: Session) -> Quoted:
        """Return when the board was calibrated: before its clock was first started."""
        return Quoted(POWER_ON.date().isoformat())

    @query("CALibration:TEMPerature?")
    def _ask_calibration_temperature(self, _: Session) -> float:
        return AMBIENT

    @query("CALibration:VALid?")
    def _ask_calibration_valid(self, _: Session) -> bool:
        return True

    # ---- statistics ------------------------------------------------------------------------------------------------

    @command("CALCulate:CLEar")
    def _clear_statistics(self, _: Session) -> None:
        if self.acquisition is not None:
            self.acquisition.moments = 0

    @query("CALCulate:COUNt?")
    def _ask_count(self, _: Session) -> int:
        """Return the shots per slot and row that the statistics hold."""
        if self.acquisition is None or not self.acquisition.moments:
            return 0
        return self.acquisition.order.schedule.shots

    @query("CALCulate:MEAN?")
    def _ask_mean(self, _: Session) -> np.ndarray:
        return self._moment(MEAN, "mean") * self.factor("signal")

    @query("CALCulate:VARiance?")
    def _ask_variance(self, _: Session) -> np.ndarray:
        return self._moment(VARIANCE, "variance") * self.factor("signal") ** 2

    @query("CALCulate:COVariance?")
    def _ask_covariance(self, _: Session) -> np.ndarray:
        covariance = self._moment(COVARIANCE, "covariance")
        first, second = np.triu_indices(covariance.shape[-1])
        return covariance[..., first, second] * self.factor("signal") ** 2

    @query("CALCulate:CORRelation?", _CELL, _CELL)
    def _ask_correlation(self, _: Session, first: int, second: int) -> np.ndarray:
        covariance = self._moment(COVARIANCE, "covariance")
        i, j = self.data().column(first - 1), self.data().column(second - 1)
        return covariance[..., i, j] / np.sqrt(covariance[..., i, i] * covariance[..., j, j])

    @query("CALCulate:SERRor?")
    def _ask_standard_error(self, _: Session) -> np.ndarray:
        return self._moment(MEAN, "standard_error") * self.factor("signal")

    @query("CALCulate:PROJection:MEAN?")
    def _ask_projection_mean(self, _: Session) -> np.ndarray:
        return self._moment(MEAN, "projection_mean") * self.factor("signal")

    @query("CALCulate:PROJection:CORRelation?")
    def _ask_projection_covariance(self, _: Session) -> np.ndarray:
        """Return the covariance of every projection with every cell that was read."""
        return self._moment(MEAN, "projection_covariance") * self.factor("signal") ** 2

    def _moment(self, order: int, name: str) -> np.ndarray:
        acquisition = self.data()
        values = getattr(acquisition.record, name)
        if acquisition.moments < order or values is None:
            raise ScpiError(241, f"{name.replace('_', ' ')} was not kept")
        return values

    # ---- histogram -------------------------------------------------------------------------------------------------

    histogram_cell = setting("CALCulate:HISTogram:CELL", _CELL, reset=1)
    histogram_range = unit_setting(
        "CALCulate:HISTogram:RANGe",
        "signal",
        UnitReal("signal", -RAIL, RAIL, default=-1.0),
        UnitReal("signal", -RAIL, RAIL, default=1.0),
        reset=(-1.0, 1.0),
        guards=("idle",),
    )
    histogram_bins = setting("CALCulate:HISTogram:BINS", Integer(2, 4096), reset=64, guards=("idle",))

    @histogram_range.check
    def _check_histogram_range(self, edges: tuple[float, float]) -> tuple[float, float]:
        if not edges[0] < edges[1]:
            raise ScpiError(-222, "the lower edge comes first")
        return edges

    @query("CALCulate:HISTogram:DATA?")
    def _ask_histogram(self, _: Session) -> Block:
        return Block(self.data().histogram(self.histogram_cell - 1, self.histogram_range, self.histogram_bins))
