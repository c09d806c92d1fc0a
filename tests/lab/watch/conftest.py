"""Runs written document by document, as a journal does, without a run engine."""

import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from event_model import compose_run

from lab.journal import Journal


class RunByHand:
    """One run being written; `journal.close` is what a dead process leaves behind."""

    def __init__(self, directory: Path, md: dict) -> None:
        self.journal = Journal(directory)
        self.run = compose_run(metadata={"station": "bench", "station_mode": "hardware", **md})
        self.uid = self.run.start_doc["uid"]
        self.journal("start", self.run.start_doc)
        self.directory = self.journal.run_directory(self.uid)
        self._streams = {}

    def event(self, stream: str, **data) -> None:
        if stream not in self._streams:
            keys = {key: self._key(value) for key, value in data.items()}
            hints = {stream: {"fields": [key for key, entry in keys.items() if not entry["shape"]]}}
            bundle = self.run.compose_descriptor(
                stream, keys, hints=hints, object_keys={stream: list(keys)}, configuration={}
            )
            self._streams[stream] = bundle
            self.journal("descriptor", bundle.descriptor_doc)
        stamps = dict.fromkeys(data, time.time())
        self.journal("event", self._streams[stream].compose_event(data=data, timestamps=stamps))

    def stop(self, status: str = "success", reason: str = "") -> None:
        self.journal("stop", self.run.compose_stop(exit_status=status, reason=reason))

    @staticmethod
    def _key(value):
        shape = list(getattr(value, "shape", ()))
        return {"source": "test", "dtype": "array" if shape else "number", "shape": shape, "units": "V"}


@pytest.fixture
def begin(tmp_path):
    """Begin a run by hand in a directory of runs."""
    begun = []

    def begin(plan: str = "train_by_hand", **md) -> RunByHand:
        begun.append(RunByHand(tmp_path / "runs", {"plan_name": plan, **md}))
        return begun[-1]

    yield begin
    for run in begun:
        run.journal.close()


@pytest.fixture
def watched(tmp_path):
    """A watcher of the directory of runs that looks when it is told to."""
    from lab.watch.watcher import Watcher

    return Watcher(tmp_path / "runs")


@pytest.fixture
def served(watched):
    """Clients of the page in this process."""
    from lab.watch.server import make_application

    def served(**options):
        return SimpleNamespace(client=make_application(watched, **options).server.test_client(), watcher=watched)

    return served
