"""Datasheets of the source meter and the lock-in agree with their personas: all that is in them runs at both."""

from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files

import pytest
import yaml
from pyvisa_sim.parser import get_devices

from sim_devices.instruments.keithley_2400 import Keithley2400
from sim_devices.instruments.srs_sr830 import SR830
from twin.clock import VirtualClock

PERSONAS = {"keithley_2400": Keithley2400, "srs_sr830": SR830}
ERRORS = {"keithley_2400": ("SYST:ERR?", '0,"No error"'), "srs_sr830": ("*ESR?", "0")}
PATHS = {name: files("sim_devices") / "definitions" / f"{name}.yaml" for name in PERSONAS}
DEFINITIONS = {
    name: yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.BaseLoader) for name, path in PATHS.items()
}


def device(name):
    (described,) = DEFINITIONS[name]["devices"].values()
    return described


class Simulated:
    """A datasheet through pyvisa-sim."""

    def __init__(self, name):
        (resource,) = DEFINITIONS[name]["resources"]
        self.device = get_devices(str(PATHS[name]), False)[resource]
        self.errors = ERRORS[name]

    def ask(self, message):
        self.device.write(message.encode() + b"\n")
        reply = bytearray()
        end = False
        while not end:
            byte, end = self.device.read()
            assert byte, f"no reply to {message}"
            reply += byte
        return reply.decode().rstrip("\n")

    def refuses(self, message):
        self.device.write(message.encode() + b"\n")
        query, none = self.errors
        return self.ask(query) != none


@pytest.fixture(params=PERSONAS)
def name(request):
    return request.param


@pytest.fixture
def open_client(connect):
    with ThreadPoolExecutor(1) as worker:
        yield lambda name: connect(PERSONAS[name](VirtualClock(), worker))


def refuses(client, message):
    client.write(message)
    return int(client.ask("*ESR?")) != 0


def same(left, right):
    if left == right:
        return True
    pairs = list(zip(left.split(","), right.split(","), strict=True))
    try:
        return all(float(a) == pytest.approx(float(b), rel=1e-6) for a, b in pairs)
    except ValueError:
        return False


def test_the_persona_carries_every_dialogue_of_the_datasheet(name, open_client):
    client, simulated = open_client(name), Simulated(name)
    for dialogue in device(name)["dialogues"]:
        query, reply = dialogue["q"], dialogue.get("r")
        if reply is None:
            assert not refuses(client, query), query
            assert not simulated.refuses(query), query
        else:
            assert same(client.ask(query), simulated.ask(query)), query


def allowed_and_refused(specs):
    if "valid" in specs:
        return specs["valid"], ["NONSENSE"]
    kind = int if specs["type"] == "int" else float
    low, high = specs["min"], specs["max"]
    return [low, high], [str(kind(low) - 1 - 2 * kind(high)), str(kind(high) * 2 + 1), "NONSENSE"]


@pytest.mark.parametrize(
    ("name", "entry"), [(name, entry) for name in PERSONAS for entry in device(name)["properties"]]
)
def test_the_persona_has_every_property_of_the_datasheet(name, entry, open_client):
    client, simulated = open_client(name), Simulated(name)
    described = device(name)["properties"][entry]
    query, command = described["getter"]["q"], described["setter"]["q"]
    allowed, refused = allowed_and_refused(described["specs"])
    assert same(client.ask(query), simulated.ask(query))
    for value in allowed:
        assert not refuses(client, command.format(value))
        assert not simulated.refuses(command.format(value))
        assert same(client.ask(query), simulated.ask(query))
    for value in refused:
        before = client.ask(query)
        assert refuses(client, command.format(value)), f"{value} was taken"
        assert simulated.refuses(command.format(value))
        assert client.ask(query) == before


def test_an_unknown_header_is_an_error_at_both(name, open_client):
    assert refuses(open_client(name), "DAMP 1")
    assert Simulated(name).refuses("DAMP 1")
