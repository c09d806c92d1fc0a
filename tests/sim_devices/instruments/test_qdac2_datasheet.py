"""The datasheet of the QDAC-II and its persona agree: every dialogue and property is replayed at both."""

from importlib.resources import files

import pytest
import yaml
from pyvisa_sim.parser import get_devices

from sim_devices.instruments.qdevil_qdac2 import Qdac2
from twin.clock import VirtualClock

DATASHEET = files("sim_devices") / "definitions" / "qdevil_qdac2.yaml"
DEFINITION = yaml.load(DATASHEET.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)
(DEVICE,) = DEFINITION["devices"].values()


class Simulated:
    """The datasheet through pyvisa-sim."""

    def __init__(self):
        self.device = get_devices(str(DATASHEET), False)["TCPIP0::qdac::5025::SOCKET"]

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
        return not self.ask("syst:err?").startswith("0,")


@pytest.fixture(scope="module")
def simulated():
    return Simulated()


@pytest.fixture
def client(connect):
    return connect(Qdac2(VirtualClock(), None))


def same(left, right):
    if left == right:
        return True
    pairs = list(zip(left.split(","), right.split(","), strict=True))
    try:
        return all(float(a) == pytest.approx(float(b), rel=1e-6) for a, b in pairs)
    except ValueError:
        return False


def test_the_persona_carries_every_dialogue_of_the_datasheet(client, simulated):
    for dialogue in DEVICE["dialogues"]:
        query, reply = dialogue["q"], dialogue.get("r")
        if reply is None:
            assert client.send(query) == [], query
            assert not simulated.refuses(query), query
        else:
            assert same(client.ask(query), simulated.ask(query)), query
    assert len(DEVICE["dialogues"]) > 40


def allowed_and_refused(specs):
    if "valid" in specs:
        return specs["valid"], ["NONSENSE"]
    if not specs:
        return ["a name"], []
    low, high = specs["min"], specs["max"]
    kind = int if specs["type"] == "int" else float
    return [low, high], [str(kind(low) - 1), str(kind(high) * 2 + 1), "NONSENSE"]


@pytest.mark.parametrize("name", DEVICE["properties"])
def test_the_persona_has_every_property_of_the_datasheet(name, client, simulated):
    entry = DEVICE["properties"][name]
    query, command = entry["getter"]["q"], entry["setter"]["q"]
    assert same(client.ask(query), simulated.ask(query))
    allowed, refused = allowed_and_refused(entry.get("specs", {}))
    for value in allowed:
        assert client.send(command.format(value)) == []
        assert not simulated.refuses(command.format(value))
        assert same(client.ask(query), simulated.ask(query))
    for value in refused:
        before = client.ask(query)
        assert client.send(command.format(value)), f"{value} was taken"
        assert simulated.refuses(command.format(value))
        assert client.ask(query) == before
