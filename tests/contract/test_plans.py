"""What every plan an operator may run promises, on every station; none of them is named here."""

import json

import numpy as np
import pytest
from bluesky.utils import FailedStatus
from event_model import DocumentNames, schema_validators

import protocols
from drivers.errors import InstrumentError
from lab import make_run_engine, open_station
from lab.catalogue import Catalogue

PLANS = tuple(protocols.__all__)


def run(run_engine, plan):
    """Run a plan to its end and return what it returns."""
    result = None

    def kept():
        nonlocal result
        result = yield from plan

    run_engine(kept())
    return result


@pytest.mark.slow
@pytest.mark.parametrize("name", PLANS)
def test_a_short_run_succeeds_with_valid_documents_and_a_result_json_can_hold(
    name, station, run_engine, computes, short_plan, stored
):
    documents = []
    run_engine.subscribe(lambda kind, document: documents.append((kind, document)))
    result = run(run_engine, short_plan(name, station, stored))
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
def test_the_same_seed_on_a_station_opened_anew_gives_the_same_result(
    name, station, station_name, tmp_path, short_plan, stored
):
    if station.mode != "twin":
        pytest.skip("only the noise of the twin begins anew with its station")
    results = []
    for attempt in ("first", "second"):
        with open_station(station_name, seed=7) as anew:
            result = run(make_run_engine(anew, directory=tmp_path / attempt), short_plan(name, anew, stored))
            results.append(untimed(result))
    np.testing.assert_equal(*results)


@pytest.mark.parametrize("name", PLANS)
def test_a_plan_on_datasheets_fails_in_plain_words_and_leaves_a_record(
    name, station, datasheets, run_engine, tmp_path, short_plan, stored
):
    with pytest.raises((InstrumentError, FailedStatus)) as failure:
        run_engine(short_plan(name, station))
    error = failure.value.__cause__ if isinstance(failure.value, FailedStatus) else failure.value
    reasons = "not in the datasheet, which has settings but neither arrays nor physics", "is at 0 V and not at"
    assert any(reason in str(error) for reason in reasons), "a gate of a datasheet does not move, and it has no arrays"
    states = [run.state for run in Catalogue(tmp_path)]
    assert states in ([], ["fail"])
