"""What every device promises, on every station."""

import math

import bluesky.plans
import pytest
from bluesky import protocols
from event_model import DocumentNames, schema_validators
from ophyd.utils.errors import ReadOnlyError

ROLES = (
    protocols.HasName,
    protocols.Readable,
    protocols.Configurable,
    protocols.Triggerable,
    protocols.Stageable,
    protocols.Stoppable,
)
NONSENSE = (math.nan, math.inf, 1e300, -1e300, "nonsense", object(), [], {})


def settable_signals(device):
    for name in device.component_names:
        signal = getattr(device, name)
        if hasattr(signal, "check_value") and hasattr(signal, "set"):
            yield signal


def test_every_device_keeps_the_protocols_of_bluesky(station):
    for device in station.values():
        for role in ROLES:
            assert isinstance(device, role), (device.name, role.__name__)


def test_every_key_a_device_reads_is_described_and_nothing_else(station):
    for device in station.values():
        assert device.read().keys() == device.describe().keys(), device.name
        assert device.read_configuration().keys() == device.describe_configuration().keys(), device.name


def test_every_number_a_device_offers_says_its_units_or_has_none_by_nature(station):
    for device in station.values():
        for key, schema in {**device.describe(), **device.describe_configuration()}.items():
            if schema["dtype"] == "number":
                assert "units" in schema, key


def test_opening_and_closing_changes_nothing(station_name, served):
    from lab import open_station

    def settings(station):
        return {name: device.read_configuration() for name, device in station.items()}

    def values(readings):
        return {name: {key: str(entry["value"]) for key, entry in r.items()} for name, r in readings.items()}

    with open_station(station_name, seed=1) as first:
        before = values(settings(first))
    with open_station(station_name, seed=1) as second:
        after = values(settings(second))
    assert before == after


def test_every_signal_refuses_nonsense_in_plain_words_and_keeps_its_value(station):
    for device in station.values():
        for signal in settable_signals(device):
            before = str(signal.get())
            for value in NONSENSE:
                with pytest.raises((ValueError, TypeError, ReadOnlyError)) as refusal:
                    signal.set(value).wait(10)
                assert signal.name in str(refusal.value), (signal.name, value, refusal.value)
            assert str(signal.get()) == before, signal.name


def test_making_safe_says_what_it_did_and_can_be_repeated(station):
    first, second = station.safe(), station.safe()
    assert first.keys() == second.keys() == set(station)
    assert all(first.values())


def test_counting_any_device_gives_valid_documents(station, run_engine, computes):
    documents = []
    run_engine.subscribe(lambda name, document: documents.append((name, document)))
    for device in station.values():
        run_engine(bluesky.plans.count([device], num=2))
    for name, document in documents:
        schema_validators[DocumentNames[name]].validate(document)
    assert sum(name == "event" for name, _ in documents) == 2 * len(station)
    assert [document["exit_status"] for name, document in documents if name == "stop"] == ["success"] * len(station)
