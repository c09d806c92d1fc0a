"""Datasheets of oscilloscope and waveform generator agree with their personas: all that is in them runs at both."""

from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files

import pytest
import yaml
from pyvisa_sim.parser import get_devices

from sim_devices.instruments.agilent_33500 import Agilent33500
from sim_devices.instruments.rigol_ds1000z import RigolDS1000Z
from twin.clock import VirtualClock

PERSONAS = {"agilent_33500": Agilent33500, "rigol_ds1000z": RigolDS1000Z}
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
        return int(self.ask("SYST:ERR?").split(",")[0]) != 0


@pytest.fixture(params=PERSONAS)
def name(request):
    return request.param


@pytest.fixture
def open_client(connect):
    with ThreadPoolExecutor(1) as worker:
        yield lambda name: connect(PERSONAS[name](VirtualClock(), worker))


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
            assert client.send(query) == [], query
            assert not simulated.refuses(query), query
        else:
            assert same(client.ask(query), simulated.ask(query)), query


def allowed_and_refused(specs):
    if "valid" in specs:
        return specs["valid"], ["NONSENSE"]
    kind = int if specs["type"] == "int" else float
    low, high = specs["min"], specs["max"]
    return [low, high], [str(kind(low) - 1), str(kind(high) * 2 + 1), "NONSENSE"]


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
        assert client.send(command.format(value)) == []
        assert not simulated.refuses(command.format(value))
        assert same(client.ask(query), simulated.ask(query))
    for value in refused:
        before = client.ask(query)
        assert client.send(command.format(value)), f"{value} was taken"
        assert simulated.refuses(command.format(value))
        assert client.ask(query) == before
