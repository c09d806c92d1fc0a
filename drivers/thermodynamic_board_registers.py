"""The registers of the thermodynamic board: one property per command."""

from __future__ import annotations

from typing import Any

import numpy as np

from drivers.properties import (
    boolean,
    channels,
    choice,
    control,
    integer,
    measurement,
    real,
    strict_integer,
    strict_real,
)
from drivers.replies import names, unquoted, whole
from drivers.scpi import ScpiInstrument

SLOTS = 64
SATURATED = 1 << 9
"""Bit of the questionable condition register."""


class ThermodynamicBoardRegisters(ScpiInstrument):
    """What a thermodynamic board can be asked and told one value at a time."""

    # system and status

    capability = measurement(
        "SYST:CAP?",
        """Get what the board can do, as key=value pairs (str).""",
        cast=str,
        maxsplit=0,
        preprocess_reply=unquoted,
    )
    uptime = measurement("SYST:UPT?", """Get the time since power-on in seconds (int).""", cast=int)
    board_temperature = measurement(
        "SYST:TEMP?",
        """Measure the temperature of the board in degrees Celsius (list of float).""",
        get_process=lambda value: [value],
    )
    lock_granted = measurement(
        "SYST:LOCK:REQ?", """Get the lock of the board for this session (bool: granted or not).""", cast=bool
    )
    lock_owner = measurement(
        "SYST:LOCK:OWN?",
        """Get which session holds the lock as host:port, or NONE (str).""",
        cast=str,
        maxsplit=0,
        preprocess_reply=unquoted,
    )
    error_count = measurement("SYST:ERR:COUN?", """Get the number of entries in the error queue (int).""", cast=int)
    event_enable = integer("*ESE", """Control which events set bit 5 of the status byte (int from 0 to 255).""", 0, 255)
    service_enable = integer(
        "*SRE", """Control which bits of the status byte ask for service (int from 0 to 255).""", 0, 255
    )
    event_status = measurement(
        "*ESR?", """Get the standard event register and clear it (int); bit 0: operations complete.""", cast=int
    )
    operation_condition = measurement(
        "STAT:OPER:COND?", """Get the operation condition register (int); bit 4: measuring.""", cast=int
    )
    questionable_condition = measurement(
        "STAT:QUES:COND?", """Get the questionable condition register (int); bit 9: cells saturated.""", cast=int
    )

    communication_timeout = real(
        "SYST:COMM:TIM",
        """Control after how many seconds without a word the board switches its outputs off (float from 1 to 3600).""",
        1,
        3600,
    )

    # outputs

    outputs_enabled = boolean("OUTP", """Control whether the analog rails are on (bool).""")
    protection_tripped = measurement(
        "OUTP:PROT:STAT?", """Get whether a protection has switched the outputs off (bool).""", cast=bool
    )
    protection_temperature = real(
        "OUTP:PROT:TEMP", """Control the temperature at which outputs trip in Celsius (float from 20 to 85).""", 20, 85
    )
    saturation_limit = real(
        "OUTP:PROT:SAT",
        """Control the fraction of clipped samples above which a run is an error (float from 0 to 1).""",
        0,
        1,
    )
    interlock_sources = measurement(
        "INT:SOUR?",
        """Get what holds the interlock open, of LID, TEMP and RAIL (tuple of str, empty when closed).""",
        cast=str,
        maxsplit=0,
        get_process=names,
    )
    interlock_latch = boolean("INT:LATC", """Control whether an interlock once open stays so until cleared (bool).""")
    interlock_closed = measurement("INT?", """Get whether the interlock is closed (bool).""", cast=bool)

    # program

    slot = integer("MOD:SEL", """Control the program slot that model commands act on (int from 0 to 63).""", 0, 63)
    cells = integer(
        "MOD:CELL", """Control the number of cells in use (int from 1 to 256); a change clears all slots.""", 1, 256
    )
    inputs = integer(
        "MOD:INP", """Control the number of inputs in use (int from 0 to 1024); a change clears all slots.""", 0, 1024
    )
    unit = choice(
        "MOD:UNIT", """Control the units (str, "model" or "physical").""", {"model": "MOD", "physical": "PHYS"}
    )
    topology = choice(
        "MOD:TOP",
        """Control how couplings are given (str, "all", "layered" or "sparse").""",
        {"all": "ALL", "layered": "LAY", "sparse": "SPAR"},
    )
    layers = control(
        "MOD:LAY?",
        "MOD:LAY %s",
        """Control the sizes of the layers (sequence of int whose sum is the number of cells).""",
        validator=lambda value, _: [strict_integer(size, (1, 256)) for size in value],
        set_process=lambda sizes: ",".join(str(size) for size in sizes),
        cast=int,
        get_process=lambda size: [size],
    )
    model_name = control(
        "MOD:NAME?",
        'MOD:NAME "%s"',
        """Control the name of the selected program (str of at most 32 printable characters without quotes).""",
        validator=lambda value, _: _printable(value),
        cast=str,
        maxsplit=0,
        preprocess_reply=unquoted,
    )
    model_state = measurement(
        "MOD:STAT?",
        """Get the state of the selected slot (str, EMPT, SHAD, LIVE or DIRT).""",
        cast=str,
        preprocess_reply=lambda reply: unquoted(reply).upper()[:4],
    )
    checksum = measurement(
        "MOD:CRC?", """Get the CRC of the program in force (int).""", cast=lambda reply: int(reply.lstrip("#Hh"), 16)
    )
    resolution = measurement(
        "MOD:RES?", """Get the bits of coupling, bias and weight converters, 0 for ideal (list of int).""", cast=int
    )

    # inputs

    input_mode = choice(
        "INP:MODE",
        """Control which inputs a run applies (str, "off", "fixed", "step" or "sweep").""",
        {"off": "OFF", "fixed": "FIX", "step": "STEP", "sweep": "SWE"},
    )
    input_row = integer("INP:ROW", """Control the table row of fixed inputs (int from 1 to 65536).""", 1, 65536)
    dwell = control(
        "INP:DWEL?",
        "INP:DWEL %s",
        """Control the shots per row of a sweep (int from 1 to 1000000, or None for `shots`).""",
        validator=lambda value, _: "COUN" if value is None else strict_integer(value, (1, 1000000)),
        cast=lambda reply: None if unquoted(reply).upper().startswith("COUN") else whole(reply),
    )
    input_table_shape = measurement(
        "INP:TABL:DEF?",
        """Get rows and columns of the input table (two ints).""",
        cast=int,
        get_process_list=tuple,
    )
    input_table_points = measurement("INP:TABL:POIN?", """Get the number of rows of the input table (int).""", cast=int)

    # noise

    noise_enabled = boolean("NOIS", """Control whether the noise sources are on (bool).""")
    temperature = real("NOIS:TEMP", """Control the noise temperature kT in the unit in force (float from 0).""", 0)
    actual_temperature = measurement(
        "NOIS:TEMP:ACT?",
        """Measure the noise temperature of every cell in the unit in force (list of float).""",
        get_process=lambda value: [value],
    )
    noise_source = choice(
        "NOIS:SOUR",
        """Control where noise comes from (str, "digital" or "none").""",
        {"digital": "DIG", "none": "NONE"},
    )
    noise_seed = integer(
        "NOIS:SEED",
        """Control the seed of the noise (int from 0 to 4294967295); setting it restarts the acquisition count.""",
        0,
        4294967295,
    )

    # sampling

    sampling = choice(
        "SAMP:MODE",
        """Control how shots are drawn (str): "reset" for each shot, or "serial" along one trajectory.""",
        {"reset": "RES", "serial": "SER"},
    )
    shots = integer(
        "SAMP:COUN", """Control the number of shots per slot and row (int from 1 to 16777216).""", 1, 16777216
    )
    observation_time = real(
        "SAMP:TOBS", """Control the time from release to sample in the unit in force (float above 0).""", 0
    )
    burn_in = real(
        "SAMP:BURN", """Control the time before the first serial shot in the unit in force (float from 0).""", 0
    )
    reset_time = real("SAMP:RES:TIME", """Control the time of the reset in the unit in force (float above 0).""", 0)
    reset_mode = choice(
        "SAMP:RES:MODE", """Control how a reset is done (str, "clamp": cells are held).""", {"clamp": "CLAM"}
    )
    run_time = measurement("SAMP:TIME?", """Get the predicted time of a run in seconds (float).""")
    run_time_limit = real(
        "SAMP:TIME:LIM", """Control the longest predicted run time accepted in seconds (float above 0).""", 0
    )
    slots = channels(
        "SAMP:MOD", """Control the program slots of a run, in order (sequence of int from 0 to 63).""", 0, SLOTS - 1
    )
    rows = control(
        "SAMP:ROWS?",
        "SAMP:ROWS %d,%d",
        """Control the input rows of a sweep as (first, count) (ints, first from 1 to 65536).""",
        validator=lambda value, _: tuple(strict_integer(number, (1, 65536)) for number in value),
        cast=int,
        get_process_list=tuple,
    )
    read_cells = channels("SAMP:CELL", """Control the cells that are sampled (sequence of int from 1).""", 1, 256)
    sample_clock = measurement("SAMP:CLOC?", """Get the clock of the converter in Hz (float).""")
    function = control(
        "SENS:FUNC?",
        'SENS:FUNC "%s"',
        """Control what a run keeps (str): "samples", "capture" or "statistics".""",
        validator=lambda value, allowed: allowed[_member(value, allowed)],
        values={"samples": "SAMP", "capture": "CAPT", "statistics": "STAT"},
        cast=str,
        get_process=lambda reply: _function(reply),
    )

    capture_count = integer(
        "CAPT:COUN", """Control the number of samples of a capture (int from 16 to 67108864).""", 16, 67108864
    )
    capture_rate = real("CAPT:RATE", """Control the rate of a capture in Hz (float above 0).""", 0)
    capture_cells = channels("CAPT:CELL", """Control the cells that are captured (sequence of int from 1).""", 1, 256)

    # results

    statistics_enabled = boolean("CALC", """Control whether a run computes statistics (bool).""")
    highest_moment = choice(
        "CALC:MOM",
        """Control the highest moment a run keeps (str, "mean", "variance" or "covariance").""",
        {"mean": "MEAN", "variance": "VAR", "covariance": "COV"},
    )
    histogram_cell = integer("CALC:HIST:CELL", """Control the cell of the histogram (int from 1 to 256).""", 1, 256)
    histogram_bins = integer("CALC:HIST:BINS", """Control the number of bins (int from 2 to 4096).""", 2, 4096)
    histogram_range = control(
        "CALC:HIST:RANG?",
        "CALC:HIST:RANG %.9g,%.9g",
        """Control the range of the histogram in the unit in force (two floats, the lower one first).""",
        validator=lambda value, _: tuple(strict_real(edge, (-np.inf, np.inf)) for edge in value),
        get_process_list=tuple,
    )

    count = measurement("CALC:COUN?", """Get the number of shots in the statistics (int).""", cast=int)
    calibration_date = measurement(
        "CAL:DATE?",
        """Get when the board was calibrated (str, an ISO date).""",
        cast=str,
        preprocess_reply=unquoted,
    )
    calibration_temperature = measurement(
        "CAL:TEMP?", """Get the temperature of the board at its calibration in degrees Celsius (float)."""
    )
    calibration_valid = measurement("CAL:VAL?", """Get whether the calibration is valid (bool).""", cast=bool)
    points = measurement("DATA:POIN?", """Get the number of shots ready (int).""", cast=int)
    trigger_source = choice(
        "TRIG:SOUR",
        """Control what starts a run (str, "immediate", "bus" or "timer").""",
        {"immediate": "IMM", "bus": "BUS", "timer": "TIM"},
    )
    trigger_count = integer(
        "TRIG:COUN",
        """Control how many triggers a run takes, each for `shots` (int from 1 to 1000000).""",
        1,
        1000000,
    )
    projection_count = integer("CALC:PROJ:DEF", """Control the number of projections (int from 0 to 16).""", 0, 16)


def _member(value: str, allowed: Any) -> str:
    if value not in allowed:
        raise ValueError(f"{value!r} is not one of {', '.join(allowed)}")
    return value


def _function(reply: str) -> str:
    return {"SAMP": "samples", "CAPT": "capture", "STAT": "statistics"}[unquoted(reply).upper()[:4]]


def _printable(name: str) -> str:
    if not (0 < len(name) <= 32 and name.isascii() and name.isprintable() and '"' not in name):
        raise ValueError(f"{name!r} is not a name of 1 to 32 printable characters without quotes")
    return name
