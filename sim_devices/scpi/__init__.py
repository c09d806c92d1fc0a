"""An IEEE 488.2 / SCPI-99 instrument core: declare a language, get an instrument that speaks it.

A persona subclasses :class:`Instrument` and declares its commands as members (see
:mod:`sim_devices.scpi.declarations`); a wire opens a :class:`Session` for each client, writes bytes into it and reads
replies from it. Whatever is written ends in a reply or in an entry of the session's error queue: nothing raises out of
the instrument, and a refused command changes nothing.
"""

from sim_devices.scpi.arrays import Numbers
from sim_devices.scpi.declarations import command, query, session_setting, setting
from sim_devices.scpi.errors import COMMAND_ERROR, DEVICE_ERROR, EXECUTION_ERROR, QUERY_ERROR, ScpiError
from sim_devices.scpi.instrument import Instrument
from sim_devices.scpi.operation import Operation
from sim_devices.scpi.parameters import Boolean, ChannelList, Choice, Integer, Parameter, Real, String
from sim_devices.scpi.response import Block, DataFormat, Quoted
from sim_devices.scpi.session import Session

__all__ = [
    "COMMAND_ERROR",
    "DEVICE_ERROR",
    "EXECUTION_ERROR",
    "QUERY_ERROR",
    "Block",
    "Boolean",
    "ChannelList",
    "Choice",
    "DataFormat",
    "Instrument",
    "Integer",
    "Numbers",
    "Operation",
    "Parameter",
    "Quoted",
    "Real",
    "ScpiError",
    "Session",
    "String",
    "command",
    "query",
    "session_setting",
    "setting",
]
