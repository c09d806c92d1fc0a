import numpy as np
from bluesky.protocols import Readable

from protocols.randomness import noise_seed, stream
from protocols.record import Record


def test_a_record_is_read_like_a_device():
    record = Record("learning")
    record.put(step=3, loss=0.5, board_seconds=1.5, right=True, note="good", bias=np.zeros(4), couplings=np.eye(4))
    assert isinstance(record, Readable)
    schema = record.describe()
    assert {key: value["dtype"] for key, value in schema.items()} == {
        "step": "integer",
        "loss": "number",
        "board_seconds": "number",
        "right": "boolean",
        "note": "string",
        "bias": "array",
        "couplings": "array",
    }
    assert schema["board_seconds"]["units"] == "s"
    assert schema["bias"]["units"] == "model unit"
    assert "units" not in schema["loss"]
    assert schema["couplings"]["shape"] == [4, 4]
    assert schema["couplings"]["dims"] == ["cell", "neighbour"]
    assert schema["bias"]["dtype_numpy"] == "<f8"
    assert record.hints == {"fields": ["step", "loss", "board_seconds"]}
    assert record.read()["loss"]["value"] == 0.5
    assert record.read_configuration() == record.describe_configuration() == {}


def test_what_was_put_last_replaces_what_was_before():
    record = Record("learning")
    record.put(loss=1.0)
    before = record.read()
    record.put(loss=2.0)
    assert before["loss"]["value"] == 1.0
    assert record.read()["loss"]["value"] == 2.0


def test_a_record_can_have_units_and_axes_of_its_own():
    record = Record("learning", units={"drive": "V", "weights": ""}, dims={"weights": ("weight",)})
    record.put(drive=0.1, weights=np.zeros(3), bias=np.zeros(2))
    schema = record.describe()
    assert schema["drive"]["units"] == "V"
    assert "units" not in schema["weights"]
    assert schema["weights"]["dims"] == ["weight"]
    assert (schema["bias"]["units"], schema["bias"]["dims"]) == ("model unit", ["cell"])


def test_choices_depend_on_their_address_alone():
    assert stream(1, 2, 3).random() == stream(1, 2, 3).random()
    draws = {stream(seed, *address).random() for seed in (0, 1) for address in ((0, 0), (0, 1), (1, 0), (1,))}
    assert len(draws) == 8


def test_seeds_of_the_noise_fit_the_board_and_differ_from_step_to_step():
    seeds = [noise_seed(0, step) for step in range(2000)]
    assert len(set(seeds)) == 2000
    assert 0 <= min(seeds) < max(seeds) < 2**32
    assert np.abs(np.mean(seeds) / 2**31 - 1) < 5 / np.sqrt(3 * 2000)
    assert noise_seed(1, 0) != noise_seed(0, 0)
