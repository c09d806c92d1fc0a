"""Error numbers of the thermodynamic board: text, and bit in the standard event status register.

They stand beside those that every instrument has, see :mod:`sim_devices.scpi.errors`.
"""

from collections.abc import Mapping

from sim_devices.scpi import DEVICE_ERROR, EXECUTION_ERROR

BOARD_ERRORS: Mapping[int, tuple[str, int]] = {
    101: ("Interlock open", DEVICE_ERROR),
    103: ("Over-temperature, outputs off", DEVICE_ERROR),
    104: ("Protection tripped, clear first", EXECUTION_ERROR),
    201: ("Coupling count mismatch", EXECUTION_ERROR),
    202: ("Coupling set not realisable", EXECUTION_ERROR),
    203: ("Model not committed", EXECUTION_ERROR),
    204: ("Topology conflict", EXECUTION_ERROR),
    205: ("Model slot empty", EXECUTION_ERROR),
    211: ("Input table not defined", EXECUTION_ERROR),
    212: ("Input row out of range", EXECUTION_ERROR),
    231: ("Observation time below clock period", EXECUTION_ERROR),
    232: ("Predicted run exceeds memory or time", EXECUTION_ERROR),
    233: ("Cells saturated", DEVICE_ERROR),
    241: ("No data", EXECUTION_ERROR),
    261: ("Self test failed", DEVICE_ERROR),
}
