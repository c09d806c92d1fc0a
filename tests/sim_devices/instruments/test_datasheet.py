"""The datasheet and the persona agree: every dialogue and property of the definition is replayed at both."""

from importlib.resources import files

import pytest
import yaml
from pyvisa_sim.parser import get_devices

DATASHEET = files("sim_devices") / "definitions" / "thermodynamic_board.yaml"
DEFINITION = yaml.load(DATASHEET.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)
(DEVICE,) = DEFINITION["devices"].values()
TOLERANCE = 1e-3
"""Relative; the datasheet does not round to the sampling clock."""
PRELUDE = "OUTP ON;:INP:TABL:DEF 1,1"
"""What has to be in place before some settings may be switched on."""


class Simulated:
    """The datasheet through pyvisa-sim, with the face of the persona's client."""

    def __init__(self):
        self.device = get_devices(str(DATASHEET), False)["TCPIP0::board::5025::SOCKET"]

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

    def refuses(self, message):
        self.write(message)
        return int(self.ask("SYST:ERR?").split(",")[0]) != 0


@pytest.fixture(scope="module")
def simulated():
    return Simulated()


def same(left, right):
    if left == right:
        return True
    pairs = list(zip(left.split(","), right.split(","), strict=True))
    try:
        return all(float(a) == pytest.approx(float(b), rel=TOLERANCE) for a, b in pairs)
    except ValueError:
        return False


def disagreement(dialogue, client, simulated):
    query, reply = dialogue["q"], dialogue.get("r")
    if reply is not None:
        answers = client.ask(query), simulated.ask(query)
        return [] if same(*answers) else [(query, *answers)]
    refusals = client.send(query), simulated.refuses(query)
    return [(query, *refusals)] if any(refusals) else []


def test_the_persona_carries_every_dialogue_of_the_datasheet(client, simulated):
    found = [entry for dialogue in DEVICE["dialogues"] for entry in disagreement(dialogue, client, simulated)]
    assert found == []
    assert len(DEVICE["dialogues"]) > 60


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
    if name != "output":
        client.write(PRELUDE)
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


def test_an_unknown_header_is_an_error_at_both(client, simulated):
    assert client.send("MOD:DAMP 1") == [-113]
    assert simulated.refuses("MOD:DAMP 1")
