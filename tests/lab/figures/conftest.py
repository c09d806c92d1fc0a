"""Runs on disk as a plan would leave them, for pictures."""

from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from event_model import compose_run
from matplotlib.figure import Figure

from lab.catalogue import Run
from lab.journal import Journal
from protocols.record import Record


@pytest.fixture
def stored(tmp_path):
    """Store a run as a plan would."""

    def store(plan: str, streams: Mapping[str, Iterable[Mapping[str, Any]]], **metadata: Any) -> Run:
        journal = Journal(tmp_path)
        run = compose_run(metadata={"plan_name": plan, "station": "twin", **metadata})
        journal("start", run.start_doc)
        for name, events in streams.items():
            record, event = Record(name), None
            for values in events:
                record.put(**values)
                if event is None:
                    schema = record.describe()
                    document, event, _ = run.compose_descriptor(
                        name=name, data_keys=schema, configuration={}, object_keys={name: list(schema)}
                    )
                    journal("descriptor", document)
                readings = record.read()
                data = {key: reading["value"] for key, reading in readings.items()}
                stamps = {key: reading["timestamp"] for key, reading in readings.items()}
                journal("event", event(data=data, timestamps=stamps))
        journal("stop", run.compose_stop(exit_status="success"))
        return Run(journal.run_directory(run.start_doc["uid"]))

    return store


@pytest.fixture
def panels():
    """The panels of a figure by what they show upwards."""

    def named(figure: Figure) -> dict[str, Any]:
        return {axes.get_ylabel(): axes for axes in figure.get_axes() if axes.get_visible() and axes.get_ylabel()}

    return named
