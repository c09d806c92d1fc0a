import csv
import json
import math
from datetime import UTC, datetime, timedelta

import bluesky.plans as bp
import numpy as np
import pytest
import xarray as xr
from bluesky.utils import Msg
from event_model import compose_run

from lab import open_catalogue
from lab.catalogue import ExportError, Run, RunNotFoundError, StreamNotFoundError
from lab.journal import JOURNAL, Journal


@pytest.fixture
def catalogue(tmp_path):
    return open_catalogue(tmp_path / "runs")


@pytest.fixture
def counted(engine, detector, catalogue):
    engine(bp.count([detector], num=3))
    return catalogue.find("last")


def write_run(directory, keys, rows, *, stream="primary", stop=True, uid=None):
    journal = Journal(directory)
    run = compose_run(uid=uid, metadata={"plan_name": "by hand", "station": "none"})
    journal("start", run.start_doc)
    if keys:
        descriptor = run.compose_descriptor(stream, {key: {"source": "test", **entry} for key, entry in keys.items()})
        journal("descriptor", descriptor.descriptor_doc)
        for row in rows:
            journal("event", descriptor.compose_event(row, dict.fromkeys(row, 0.0)))
    if stop:
        journal("stop", run.compose_stop())
    journal.close()
    return Run(journal.run_directory(run.start_doc["uid"]))


def test_a_catalogue_that_does_not_exist_yet_is_empty(catalogue):
    assert catalogue.runs() == []
    with pytest.raises(RunNotFoundError, match="none yet"):
        catalogue.find("last")


def test_runs_are_listed_oldest_first_with_what_they_were(engine, detector, catalogue):
    uids = [engine(bp.count([detector], num=number))[0] for number in (1, 2)]
    runs = catalogue.runs()
    assert [run.uid for run in runs] == uids
    assert [run.number for run in runs] == [1, 2]
    assert [run.steps for run in runs] == [1, 2]
    assert {run.plan for run in runs} == {"count"}
    assert {run.station for run in runs} == {"stub"}
    assert {run.state for run in runs} == {"success"}
    assert all(abs(run.started - datetime.now(UTC)) < timedelta(minutes=1) for run in runs)
    assert all(0 <= run.seconds < 60 for run in runs)


def test_a_run_is_found_by_last_number_uid_and_path(engine, detector, catalogue):
    first, second = (engine(bp.count([detector]))[0] for _ in range(2))
    assert catalogue.find("last").uid == second
    assert catalogue.find(1).uid == catalogue.find("1").uid == first
    assert catalogue.find(first[:13]).uid == catalogue[first].uid == first
    assert catalogue.find(str(catalogue.find(2).directory)).uid == second


@pytest.mark.parametrize("name", ["", "0", "3", "-1", "zzz", "1e3", "..", "last2"])
def test_a_run_that_is_not_there_is_an_error_that_says_what_is_allowed(counted, catalogue, name):
    with pytest.raises(RunNotFoundError, match="last, a number from 1 to 1"):
        catalogue.find(name)


def test_the_beginning_of_several_uids_is_refused(catalogue, tmp_path):
    for end in "ab":
        write_run(tmp_path / "runs", {}, [], uid=f"cafe{end}-{end}")
    with pytest.raises(RunNotFoundError, match=r"'cafe' is the beginning of 2 runs: cafea-a, cafeb-b"):
        catalogue.find("cafe")
    assert catalogue.find("CAFEA").uid == "cafea-a"


def test_a_small_number_is_never_the_beginning_of_a_uid(catalogue, tmp_path):
    write_run(tmp_path / "runs", {}, [], uid="30abcdef-1")
    with pytest.raises(RunNotFoundError, match="a number from 1 to 1"):
        catalogue.find("30")


def test_a_damaged_run_hides_no_other(counted, catalogue, tmp_path):
    damaged = write_run(tmp_path / "runs", {}, [], stop=False)
    with (damaged.directory / JOURNAL).open("a") as lines:
        lines.write("garbage\n{}\n")
    assert [run.steps for run in catalogue] == [3, None]


def test_what_is_no_run_is_not_listed(counted, catalogue, tmp_path):
    (tmp_path / "runs" / "notes").mkdir()
    (tmp_path / "runs" / "notes" / JOURNAL).write_text("hello\n")
    (tmp_path / "runs" / "empty").mkdir()
    (tmp_path / "runs" / "empty" / JOURNAL).write_text("")
    for number, start in enumerate(("{}", "[1]", "3", '{"uid": 3, "time": 1.0}', '{"uid": "a", "time": "noon"}')):
        (tmp_path / "runs" / f"start{number}").mkdir()
        line = f'{{"name": "start", "doc": {start}}}\n'
        (tmp_path / "runs" / f"start{number}" / JOURNAL).write_text(line)
    assert len(catalogue) == 1
    with pytest.raises(RunNotFoundError, match="holds no run"):
        Run(tmp_path / "runs" / "notes")


def test_states_of_runs_that_did_not_end_well(engine, detector, catalogue, tmp_path, capsys):
    def failing():
        yield Msg("open_run")
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError):
        engine(failing())
    assert catalogue.find("last").state == "fail"
    cut = write_run(tmp_path / "runs", {"x": {"dtype": "number", "shape": []}}, [{"x": 1.0}], stop=False)
    assert cut.state == "cut"
    assert cut.steps == 1
    assert cut.seconds is None
    assert cut.read()["x"].values.tolist() == [1.0]


def test_a_run_being_written_is_running_and_can_be_read(tmp_path):
    journal = Journal(tmp_path)
    run = compose_run()
    journal("start", run.start_doc)
    descriptor = run.compose_descriptor("learning", {"x": {"source": "", "dtype": "array", "shape": [200]}})
    journal("descriptor", descriptor.descriptor_doc)
    for step in range(3):
        journal("event", descriptor.compose_event({"x": np.full(200, float(step))}, {"x": 0.0}))
        reader = open_catalogue(tmp_path).find("last")
        assert reader.state == "running"
        assert reader.steps == step + 1
        assert reader.read("learning")["x"][-1, 0] == step
    journal("stop", run.compose_stop())
    assert open_catalogue(tmp_path).find("last").state == "success"


def test_a_stream_is_read_back_with_units_dims_and_configuration(counted):
    data = counted.read()
    assert data["level"].attrs["units"] == "V"
    assert data["small"].dims == ("event", "cell")
    assert data["image"].dims == ("event", "row", "column")
    assert data["image"].dtype == np.float32
    np.testing.assert_array_equal(data["level"], [0.5, 1.0, 1.5])
    np.testing.assert_array_equal(data["seq_num"], [1, 2, 3])
    assert data["time"].attrs["units"] == "s"
    assert json.loads(data.attrs["start"])["uid"] == counted.uid
    assert json.loads(data.attrs["stop"])["exit_status"] == "success"
    assert json.loads(data.attrs["configuration"])["detector"]["gain"] == 3


def test_configuration_comes_back_with_its_arrays(counted):
    configuration = counted.configuration()["detector"]
    assert configuration["gain"] == 3
    np.testing.assert_array_equal(configuration["table"], np.arange(500.0).reshape(5, 100))


def test_a_stream_that_is_not_there_is_an_error_that_names_those_there(counted):
    with pytest.raises(StreamNotFoundError, match="it has: primary"):
        counted.read("learning")


def test_values_of_every_kind_are_read_back(tmp_path):
    keys = {
        "word": {"dtype": "string", "shape": []},
        "flag": {"dtype": "boolean", "shape": []},
        "count": {"dtype": "integer", "shape": []},
        "gap": {"dtype": "number", "shape": []},
        "ragged": {"dtype": "array", "shape": [None]},
        "empty": {"dtype": "array", "shape": [0]},
    }
    rows = [
        {"word": "a", "flag": True, "count": 1, "gap": math.nan, "ragged": [1.0], "empty": []},
        {"word": "bcd", "flag": False, "count": 2, "gap": math.inf, "ragged": [1.0, 2.0, 3.0], "empty": []},
    ]
    data = write_run(tmp_path, keys, rows).read()
    assert data["word"].values.tolist() == ["a", "bcd"]
    assert data["flag"].dtype == bool
    assert data["count"].dtype.kind == "i"
    np.testing.assert_array_equal(data["gap"], [math.nan, math.inf])
    np.testing.assert_array_equal(data["ragged"], [[1.0, math.nan, math.nan], [1.0, 2.0, 3.0]])
    assert data["empty"].shape == (2, 0)


def test_dims_that_clash_get_names_of_their_own(tmp_path):
    keys = {
        "a": {"dtype": "array", "shape": [2], "dims": ["cell"]},
        "b": {"dtype": "array", "shape": [3], "dims": ["cell"]},
        "c": {"dtype": "array", "shape": [2], "dims": ["event"]},
        "cell": {"dtype": "array", "shape": [2, 2], "dims": ["a", "a"]},
        "d": {"dtype": "array", "shape": [2], "dims": ["one", "too many"]},
    }
    row = {"a": [1, 2], "b": [1, 2, 3], "c": [1, 2], "cell": [[1, 2], [3, 4]], "d": [1, 2]}
    data = write_run(tmp_path, keys, [row]).read()
    for key, value in row.items():
        assert data[key].values.tolist() == [value]


@pytest.fixture
def two_streams(tmp_path):
    journal = Journal(tmp_path / "two")
    run = compose_run(metadata={"plan_name": "two"})
    journal("start", run.start_doc)
    for stream in ("learning", "evaluation"):
        entry = {"source": "", "dtype": "number", "shape": [], "units": "V"}
        descriptor = run.compose_descriptor(stream, {"loss": entry, "word": {**entry, "dtype": "string"}})
        journal("descriptor", descriptor.descriptor_doc)
        row = {"loss": 0.25, "word": stream}
        journal("event", descriptor.compose_event(row, dict.fromkeys(row, 0.0)))
    journal("stop", run.compose_stop())
    return Run(journal.run_directory(run.start_doc["uid"]))


@pytest.mark.parametrize(("suffix", "engine_name"), [("nc", "h5netcdf"), ("zarr", "zarr")])
def test_export_keeps_data_units_and_metadata(counted, two_streams, tmp_path, suffix, engine_name):
    def opened(path, **options):
        return xr.open_dataset(path, engine=engine_name, **options)

    one = tmp_path / f"one.{suffix}"
    assert counted.export(one) == [one]
    with opened(one) as data:
        xr.testing.assert_identical(data.load(), counted.read())
    both = tmp_path / f"both.{suffix}"
    two_streams.export(both)
    for stream in ("learning", "evaluation"):
        with opened(both, group=stream) as data:
            assert data["loss"].attrs["units"] == "V"
            assert data["word"].values.tolist() == [stream]


def test_export_to_csv_writes_one_table_a_stream_with_units_in_the_header(two_streams, tmp_path):
    paths = two_streams.export(tmp_path / "out.csv")
    assert [path.name for path in paths] == ["out-learning.csv", "out-evaluation.csv"]
    header, row = csv.reader(paths[0].read_text().splitlines())
    assert header == ["seq_num", "time (s)", "loss (V)", "word (V)"]
    assert row[2:] == ["0.25", "learning"]
    (only,) = two_streams.export(tmp_path / "loss.csv", stream="learning")
    assert only.name == "loss.csv"


def test_export_refuses_in_plain_words(counted, tmp_path):
    with pytest.raises(ExportError, match="allowed: netcdf"):
        counted.export(tmp_path / "run.xlsx")
    with pytest.raises(ExportError, match="'parquet'"):
        counted.export(tmp_path / "run", format="parquet")
    with pytest.raises(ExportError, match="no directory"):
        counted.export(tmp_path / "nowhere" / "run.nc")
    with pytest.raises(StreamNotFoundError):
        counted.export(tmp_path / "run.nc", stream="learning")
    (tmp_path / "there.csv").write_text("mine")
    with pytest.raises(ExportError, match="exists already"):
        counted.export(tmp_path / "there.csv")
    assert (tmp_path / "there.csv").read_text() == "mine"


def test_export_of_a_run_without_data_or_too_wide_for_a_table_is_refused(tmp_path):
    with pytest.raises(ExportError, match="no data"):
        write_run(tmp_path / "a", {}, []).export(tmp_path / "run.nc")
    wide = write_run(tmp_path / "b", {"x": {"dtype": "array", "shape": [20_000]}}, [{"x": np.zeros(20_000)}])
    with pytest.raises(ExportError, match="use netcdf or zarr"):
        wide.export(tmp_path / "run.csv")
    assert not (tmp_path / "run.csv").exists()
