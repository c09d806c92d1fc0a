"""Every datasheet and its persona agree: all dialogues and properties of the definitions are replayed at both."""

import json
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib.resources import files

import pytest
import yaml
from pyvisa_sim.parser import get_devices

from sim_devices.instruments.agilent_33500 import Agilent33500
from sim_devices.instruments.keithley_2400 import Keithley2400
from sim_devices.instruments.keysight_34465a import Keysight34465A
from sim_devices.instruments.keysight_53220a import Keysight53220A
from sim_devices.instruments.qdevil_qdac2 import Qdac2
from sim_devices.instruments.rigol_ds1000z import RigolDS1000Z
from sim_devices.instruments.srs_sr830 import SR830
from sim_devices.instruments.thermodynamic_board import ThermodynamicBoard
from twin.clock import VirtualClock
from twin.models.thermodynamic_board import ThermodynamicBoard as Model

DATASHEETS = {path.name.removesuffix(".yaml"): path for path in (files("sim_devices") / "definitions").iterdir()}
PERSONAS = {
    "agilent_33500": Agilent33500,
    "keithley_2400": Keithley2400,
    "keysight_34465a": Keysight34465A,
    "keysight_53220a": Keysight53220A,
    "qdevil_qdac2": Qdac2,
    "rigol_ds1000z": RigolDS1000Z,
    "srs_sr830": SR830,
    "thermodynamic_board": lambda clock, worker: ThermodynamicBoard(Model(), clock, worker),
}
PRELUDES = {"thermodynamic_board": ["OUTP ON", "INP:TABL:DEF 1,1"]}
"""What has to be in place before some settings may be switched on."""
TOLERANCES = {"thermodynamic_board": 1e-3}
"""Relative, 1e-6 if not given; the datasheet of the board does not round to its sampling clock."""
OF_THE_SPECIMEN = {("thermodynamic_board", "noise seed")}
"""What no two instruments of a model have alike after a reset."""
REFUSED = {
    ("keithley_2400", "compliance current"): ["-2", "2", "NONSENSE"],
    ("keithley_2400", "compliance voltage"): ["-300", "300", "NONSENSE"],
}
"""What is refused where the instrument takes negative values for their size, which the format cannot say."""
UNDEFINED_HEADER = (-113, 32)
"""An entry of an error queue, or the bit of a status register."""


@cache
def device(name):
    (described,) = yaml.load(DATASHEETS[name].read_text(encoding="utf-8"), Loader=yaml.BaseLoader)["devices"].values()
    return described


def error_query(name):
    """How the instrument is asked for its oldest error."""
    (mechanism,) = device(name)["error"].values()
    return mechanism[0]["q"]


def dialogues(name):
    """The conversation of a definition, then those of its further channels."""
    return [*device(name)["dialogues"], *(entry for channel in channels(name) for entry in channel["dialogues"])]


@cache
def properties(name):
    """The properties of a definition by what they are called, then those of its further channels."""
    further = {
        f"{key} {channel['id']}": entry for channel in channels(name) for key, entry in channel["properties"].items()
    }
    return {**device(name)["properties"], **further}


def channels(name):
    """Yield the further channels of a definition, with their numbers in place."""
    for kind in device(name).get("channels", {}).values():
        text = json.dumps(kind)
        for number in kind["ids"]:
            yield {**json.loads(text.replace("{ch_id}", number)), "id": number}


class Simulated:
    """A datasheet through pyvisa-sim."""

    def __init__(self, name):
        devices = get_devices(str(DATASHEETS[name]), False)
        self.device = devices[devices.list_resources()[0]]

    def write(self, message):
        self.device.write(message.encode() + b"\n")

    def ask(self, message):
        self.write(message)
        reply = bytearray()
        end = False
        while not end:
            byte, end = self.device.read()
            assert byte, f"no reply to {message}"
            reply += byte
        return reply.decode().rstrip("\n")


class Pair:
    """The persona of an instrument beside its datasheet."""

    def __init__(self, name, client):
        self.name = name
        self.client = client
        self.simulated = simulated(name)

    def answers(self, query):
        return self.client.ask(query), self.simulated.ask(query)

    def errors(self, message):
        """The first error that a message causes at either, 0 where there is none."""
        return [self._error(at, message) for at in (self.client, self.simulated)]

    def _error(self, at, message):
        at.write(message)
        query = error_query(self.name)
        entries = [int(at.ask(query).split(",")[0])]
        while entries[-1]:
            entries.append(int(at.ask(query).split(",")[0]))
        return entries[0]

    def agree(self, query):
        left, right = self.answers(query)
        if left == right:
            return True
        pairs = list(zip(left.split(","), right.split(","), strict=True))
        tolerance = TOLERANCES.get(self.name, 1e-6)
        try:
            return all(float(a) == pytest.approx(float(b), rel=tolerance) for a, b in pairs)
        except ValueError:
            return False


@cache
def simulated(name):
    return Simulated(name)


@pytest.fixture
def pair(name, connect):
    with ThreadPoolExecutor(1) as worker:
        persona = PERSONAS[name](VirtualClock(), worker)
        yield Pair(name, connect(persona))
        persona.close()


def test_every_definition_has_a_persona_that_is_tested_here():
    assert PERSONAS.keys() == DATASHEETS.keys()


@pytest.mark.parametrize("name", DATASHEETS)
def test_the_persona_carries_every_dialogue_of_the_datasheet(name, pair):
    for dialogue in dialogues(name):
        if "r" in dialogue:
            assert pair.agree(dialogue["q"]), (dialogue["q"], *pair.answers(dialogue["q"]))
        else:
            assert pair.errors(dialogue["q"]) == [0, 0], dialogue["q"]
    assert len(dialogues(name)) > 20


def allowed_and_refused(specs):
    if "valid" in specs:
        return specs["valid"], ["NONSENSE"]
    if not specs:
        return ["a name"], []
    low, high = specs["min"], specs["max"]
    kind = int if specs["type"] == "int" else float
    return [low, high], [str(kind(low) - 1), str(kind(high) * 2 + 1), "NONSENSE"]


@pytest.mark.parametrize(("name", "entry"), [(name, entry) for name in DATASHEETS for entry in properties(name)])
def test_the_persona_has_every_property_of_the_datasheet(name, entry, pair):
    described = properties(name)[entry]
    query, command = described["getter"]["q"], described["setter"]["q"]
    allowed, refused = allowed_and_refused(described.get("specs", {}))
    refused = REFUSED.get((name, entry), refused)
    assert (name, entry) in OF_THE_SPECIMEN or pair.agree(query)
    for message in PRELUDES.get(name, ()):
        pair.client.write(message)
    for value in allowed:
        assert pair.errors(command.format(value)) == [0, 0]
        assert pair.agree(query)
    for value in refused:
        before = pair.client.ask(query)
        assert all(pair.errors(command.format(value))), f"{value} was taken"
        assert pair.client.ask(query) == before


@pytest.mark.parametrize("name", DATASHEETS)
def test_an_unknown_header_is_an_error_at_both(name, pair):
    persona, datasheet = pair.errors("DAMP 1")
    assert persona in UNDEFINED_HEADER
    assert datasheet
