import threading

import bluesky.plan_stubs as bps
import bluesky.plans as bp
import bluesky.preprocessors as bpp
import numpy as np
import pytest
from bluesky.utils import FailedStatus, Msg, RunEngineInterrupted
from ophyd.status import Status

from lab import open_station
from lab.catalogue import open_catalogue
from lab.devices.driver_device import AcquisitionStoppedError
from lab.run_engine import MetadataError


def start_of(engine, uid):
    return open_catalogue(engine.journal.directory).find(uid).start


def test_the_start_document_says_with_what_where_and_on_what_a_run_was_made(make_engine, detector):
    engine = make_engine(arguments={"shots": 3, "drive": (0.0, 1.0)})
    (uid,) = engine(bp.count([detector], num=2))
    start = start_of(engine, uid)
    assert {"szilard", "bluesky", "ophyd", "numpy", "numba", "python"} <= set(start["versions"])
    assert start["station"] == "stub"
    assert start["station_seed"] == 1
    assert start["arguments"] == {"shots": 3, "drive": [0.0, 1.0]}
    assert start["plan_name"] == "count"
    assert start["plan_args"]["num"] == 2
    assert len(start.get("revision", "0" * 40).rstrip("+")) == 40


@pytest.mark.parametrize("value", [object(), {"a": {1, 2}}, lambda: None])
def test_metadata_that_cannot_be_recorded_is_refused_by_name(make_engine, detector, value):
    with pytest.raises(MetadataError, match="'arguments'"):
        make_engine(arguments={"x": value})
    engine = make_engine()
    with pytest.raises(MetadataError, match="'mood'"):
        engine(bp.count([detector]), mood=value)
    assert open_catalogue(engine.journal.directory).runs() == []
    engine(bp.count([detector]))


def test_sleep_moves_the_clock_of_the_twin_and_takes_no_time(engine, stub_station):
    engine(iter([Msg("sleep", None, 1e6), Msg("sleep", None, 2.5)]))
    assert stub_station.clock.slept == [1e6, 2.5]


def test_sleep_on_hardware_is_that_of_the_laboratory(stub_station, make_engine):
    stub_station.mode = "hardware"
    make_engine()(iter([Msg("sleep", None, 0.01)]))
    assert stub_station.clock.slept == []


def test_a_plan_that_ends_leaves_the_station_safe(engine, detector, stub_station):
    engine(bp.count([detector]))
    assert stub_station.made_safe == 1


def test_a_plan_that_fails_leaves_the_station_safe(engine, stub_station):
    def plan():
        yield from bps.null()
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        engine(plan())
    assert stub_station.made_safe == 1


def pausing_plan(detector):
    yield Msg("open_run")
    yield Msg("checkpoint")
    yield from bps.trigger_and_read([detector])
    yield Msg("pause")
    yield from bps.trigger_and_read([detector])
    yield Msg("close_run")


def test_a_paused_plan_keeps_its_outputs_until_it_goes_on_to_its_end(engine, detector, stub_station):
    with pytest.raises(RunEngineInterrupted):
        engine(pausing_plan(detector))
    assert stub_station.made_safe == 0
    engine.resume()
    assert stub_station.made_safe == 1


@pytest.mark.parametrize("end", ["abort", "stop", "halt"])
def test_a_paused_plan_that_is_ended_leaves_the_station_safe(engine, detector, stub_station, end, capsys):
    with pytest.raises(RunEngineInterrupted):
        engine(pausing_plan(detector))
    getattr(engine, end)()
    assert stub_station.made_safe == 1
    assert engine.state == "idle"


def test_what_an_abort_stops_makes_the_run_aborted_and_not_failed(engine):
    class Stoppable:
        name, parent = "stoppable", None

        def set(self, _):
            self.status = Status()
            return self.status

        def stop(self, *, success=False):
            if not self.status.done:
                self.status.set_exception(RuntimeError("stopped"))

    device = Stoppable()

    def cleanup():
        device.stop()
        yield Msg("sleep", None, 0)
        yield Msg("sleep", None, 0)

    def plan():
        yield Msg("open_run")
        yield Msg("set", device, 1, group="moves")
        threading.Timer(0.1, engine.abort).start()
        yield Msg("wait", None, group="moves")

    ends = []
    engine.subscribe(lambda _, stop: ends.append(stop["exit_status"]), "stop")
    with pytest.raises(RunEngineInterrupted):
        engine(bpp.finalize_wrapper(plan(), cleanup))
    assert ends == ["abort"]


def test_the_failure_is_told_for_whose_sake_other_devices_were_stopped(engine):
    class Acquiring:
        parent = None

        def __init__(self, name):
            self.name = name

        def set(self, _):
            self.status = Status()
            return self.status

    broken, sound = Acquiring("broken"), Acquiring("sound")

    def cleanup():
        sound.status.set_exception(AcquisitionStoppedError("sound: the acquisition was stopped"))
        yield Msg("wait", None, group="moves")

    def plan():
        for device in (sound, broken):
            yield Msg("set", device, 1, group="moves")
        threading.Timer(0.1, broken.status.set_exception, [OSError("broken: no reply")]).start()
        yield Msg("wait", None, group="moves")

    with pytest.raises(FailedStatus) as failure:
        engine(bpp.finalize_wrapper(plan(), cleanup))
    assert str(failure.value.__cause__) == "broken: no reply"


def test_a_full_disk_does_not_keep_a_paused_plan_from_being_aborted(
    engine, detector, stub_station, monkeypatch, capsys
):
    def full():
        raise OSError("full")

    with pytest.raises(RunEngineInterrupted):
        engine(pausing_plan(detector))
    monkeypatch.setattr(engine.journal, "check", full)
    engine.abort()
    assert stub_station.made_safe == 1


def test_whoever_handles_ctrl_c_cannot_remove_the_guard(engine, detector, stub_station):
    engine.context_managers = []
    engine(bp.count([detector]))
    engine.context_managers = engine.context_managers
    engine(bp.count([detector]))
    assert stub_station.made_safe == 2


def test_a_station_that_cannot_be_made_safe_fails_the_plan(engine, detector, stub_station):
    stub_station.refusal = RuntimeError("outputs stuck")
    with pytest.raises(ExceptionGroup, match="safe state"):
        engine(bp.count([detector]))
    assert engine.state == "idle"


def test_why_a_plan_failed_is_not_hidden_by_a_station_that_cannot_be_made_safe(engine, stub_station):
    def plan():
        yield from bps.null()
        raise RuntimeError("broken")

    stub_station.refusal = RuntimeError("outputs stuck")
    with pytest.raises(RuntimeError, match="broken") as caught:
        engine(plan())
    assert "safe state" in caught.value.__notes__[0]


def test_arrays_print_in_short_within_a_plan_and_as_before_outside(engine):
    lengths = []

    def plan():
        yield from bps.null()
        lengths.append(len(repr(np.arange(1000.0))))

    before = np.get_printoptions()
    engine(plan())
    assert lengths[0] < 100
    assert np.get_printoptions() == before


def test_the_progress_hook_sees_what_is_waited_for(make_engine, detector):
    waited = []
    engine = make_engine(progress=waited.append)
    engine(bp.count([detector]))
    assert waited[-1] is None
    assert any(waited)


def test_a_run_engine_works_in_a_thread(make_engine, detector, stub_station):
    uids = []
    thread = threading.Thread(target=lambda: uids.extend(make_engine()(bp.count([detector]))))
    thread.start()
    thread.join(20)
    assert len(uids) == 1
    assert stub_station.made_safe == 1


@pytest.mark.slow
def test_the_first_plan_of_a_newcomer_is_recorded_with_its_board_and_read_back_with_units(make_engine):
    with open_station("twin", seed=1) as station:
        engine = make_engine(station=station)
        engine(bp.scan([station["board"]], station["board"].drive, -2, 2, 5))
        clock = station.clock.now()
        engine(bps.sleep(1e6))
        assert station.clock.now() - clock >= 1e6
    run = open_catalogue(engine.journal.directory).find("last")
    assert run.start["instruments"]["board"]["identity"].startswith("Szilard,TB256")
    data = run.read()
    assert data["board_mean"].dims == ("event", "slot", "row", "cell")
    assert data["board_mean"].attrs["units"] == "model unit"
    error = data["board_mean"][:, 0, 0, 0] - data["board_drive"]  # stiffness 1/2: the mean is the bias
    assert (abs(error) < 5 * data["board_standard_error"][:, 0, 0, 0]).all()
    assert run.configuration()["board"]["board_shots"] == 1000


def test_two_engines_in_one_process_record_apart(make_engine, detector, tmp_path):
    first, second = make_engine(directory=tmp_path / "a"), make_engine(directory=tmp_path / "b")
    first(bp.count([detector]))
    second(bp.count([detector]))
    assert len(open_catalogue(tmp_path / "a").runs()) == len(open_catalogue(tmp_path / "b").runs()) == 1


def test_a_step_repeated_after_a_pause_counts_once_in_what_is_read_back(engine, detector):
    with pytest.raises(RunEngineInterrupted):
        engine(pausing_plan(detector))
    engine.resume()
    run = open_catalogue(engine.journal.directory).find("last")
    assert [doc["seq_num"] for name, doc in run.documents() if name == "event"] == [1, 1, 2]
    data = run.read()
    assert data["seq_num"].values.tolist() == [1, 2]
    assert data["level"].values.tolist() == [1.0, 1.5]


def test_engines_of_one_process_share_a_loop_so_that_none_is_left_behind(make_engine):
    first, second = make_engine(), make_engine()
    assert first.loop is second.loop
    assert first.loop.is_running()
