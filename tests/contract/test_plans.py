"""What every plan an operator may run promises, on every station; none of them is named here."""

import inspect
import json
import sys
from contextlib import suppress

import numpy as np
import pytest
from bluesky.preprocessors import msg_mutator
from bluesky.utils import FailedStatus, Msg
from event_model import DocumentNames, schema_validators

import protocols
from drivers.errors import InstrumentError
from lab import make_run_engine, open_station
from lab.catalogue import Catalogue
from protocols.arguments import ArgumentError
from protocols.stored_run import StoredRun

PLANS = tuple(protocols.__all__)
SEED = 7


class PulledPlugError(RuntimeError):
    """What a plan meets in the middle of its work."""


def parameters_of(name):
    return inspect.signature(getattr(protocols, name)).parameters.values()


def wants_stored_run(name):
    return [parameter.name for parameter in parameters_of(name) if parameter.annotation is StoredRun]


def example_of(name):
    """The arguments of the short run that the plan's module offers."""
    return dict(sys.modules[getattr(protocols, name).__module__].EXAMPLES[name])


def messages(name, station, stored=None):
    plan = getattr(protocols, name)
    devices = [station[p.name] for p in parameters_of(name) if p.kind is p.POSITIONAL_OR_KEYWORD]
    seed = {parameter.name: SEED for parameter in parameters_of(name) if parameter.name == "seed"}
    return plan(*devices, **example_of(name), **dict.fromkeys(wants_stored_run(name), stored), **seed)


def last_stored_run(directory):
    run = Catalogue(directory).find("last")
    last = run.read("evaluation").isel(event=-1)
    return StoredRun.from_event(run.start, {str(key): last[key].values for key in last})


@pytest.fixture
def stored(request, station, run_engine, tmp_path):
    """A run that holds a trained program, where the plan under test asks for one; made by whichever plan makes one."""
    if not wants_stored_run(request.getfixturevalue("name")):
        return None
    if station.mode == "sim":
        pytest.skip("no plan leaves a trained program on datasheets")
    for name in PLANS:
        if not wants_stored_run(name):
            run_engine(messages(name, station))
            with suppress(ArgumentError, LookupError):
                return last_stored_run(tmp_path)
    raise AssertionError("no plan leaves a trained program behind")


def run(run_engine, plan):
    """Run a plan to its end and return what it returns."""
    result = None

    def kept():
        nonlocal result
        result = yield from plan

    run_engine(kept())
    return result


def cut_at(plan, index):
    """The plan, met by an exception at its message number `index`."""
    sent, count = None, 0
    with suppress(StopIteration):
        while True:
            msg = plan.send(sent) if count != index else plan.throw(PulledPlugError(f"at message {index}"))
            sent, count = (yield msg), count + 1


@pytest.mark.slow
@pytest.mark.parametrize("name", PLANS)
def test_a_short_run_succeeds_with_valid_documents_and_a_result_json_can_hold(
    name, station, run_engine, computes, stored
):
    documents = []
    run_engine.subscribe(lambda kind, document: documents.append((kind, document)))
    result = run(run_engine, messages(name, station, stored))
    assert isinstance(result, dict)
    json.dumps(result, allow_nan=False)
    for kind, document in documents:
        schema_validators[DocumentNames[kind]].validate(document)
    assert documents[0][1]["plan_name"] == name
    assert json.dumps(documents[0][1]["plan_args"])
    assert documents[-1][1]["exit_status"] == "success"


def untimed(result):
    """A result without what this machine needed for it, which is never the same twice."""
    if not isinstance(result, dict):
        return result
    return {key: untimed(value) for key, value in result.items() if not key.endswith("core_seconds")}


@pytest.mark.slow
@pytest.mark.parametrize("name", PLANS)
def test_the_same_seed_on_a_station_opened_anew_gives_the_same_result(name, station, station_name, tmp_path, stored):
    if station.mode != "twin":
        pytest.skip("only the noise of the twin begins anew with its station")
    results = []
    for attempt in ("first", "second"):
        with open_station(station_name, seed=SEED) as anew:
            result = run(make_run_engine(anew, directory=tmp_path / attempt), messages(name, anew, stored))
            results.append(untimed(result))
    np.testing.assert_equal(*results)


@pytest.mark.slow
@pytest.mark.parametrize("name", PLANS)
def test_a_plan_cut_anywhere_keeps_what_it_measured_and_leaves_the_outputs_off(
    name, station, run_engine, computes, stored, tmp_path
):
    own: list[Msg] = []
    run_engine(msg_mutator(messages(name, station, stored), lambda msg: own.append(msg) or msg))
    for index in np.linspace(1, len(own) - 3, 6).astype(int):
        with pytest.raises((PulledPlugError, FailedStatus)):
            run_engine(cut_at(messages(name, station, stored), int(index)))
        assert all(device.at_rest for device in station.values()), index
    for run in Catalogue(tmp_path):
        assert run.state in ("success", "fail")
        for stream in run.streams:
            assert run.read(stream).sizes["event"] >= 1


@pytest.mark.parametrize("name", PLANS)
def test_a_plan_on_datasheets_fails_in_plain_words_and_leaves_a_record(name, station, run_engine, tmp_path):
    if station.mode != "sim":
        pytest.skip("this station computes")
    if wants_stored_run(name):
        pytest.skip("no plan leaves a trained program on datasheets")
    with pytest.raises((InstrumentError, FailedStatus)) as failure:
        run_engine(messages(name, station))
    error = failure.value.__cause__ if isinstance(failure.value, FailedStatus) else failure.value
    reasons = "not in the datasheet, which has settings but neither arrays nor physics", "is at 0 V and not at"
    assert any(reason in str(error) for reason in reasons), "a gate of a datasheet does not move, and it has no arrays"
    states = [run.state for run in Catalogue(tmp_path)]
    assert states in ([], ["fail"])
