"""Small files in the published forms, written by the tests."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]


def drawn(shape: tuple[int, ...], high: int, seed: int) -> Bytes:
    return np.random.default_rng(seed).integers(0, high, shape, dtype=np.uint8)


def idx_bytes(array: Bytes) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def write_idx_set(folder: Path, *, packed: bool = True, side: int = 28, train: int = 60, test: int = 20) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for seed, (name, count) in enumerate((("train", train), ("t10k", test))):
        files = {
            f"{name}-images-idx3-ubyte": drawn((count, side, side), 256, seed),
            f"{name}-labels-idx1-ubyte": drawn((count,), 10, seed + 10),
        }
        for file, array in files.items():
            data = idx_bytes(array)
            (folder / (file + ".gz" if packed else file)).write_bytes(gzip.compress(data) if packed else data)


def write_cifar(folder: Path, classes: int, records: int = 20) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    names = (
        [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]
        if classes == 10
        else ["train.bin", "test.bin"]
    )
    for seed, name in enumerate(names):
        labels = drawn((records, 1), classes, seed)
        coarse = drawn((records, 0 if classes == 10 else 1), 20, seed)
        pixels = drawn((records, 3072), 256, seed + 100)
        (folder / name).write_bytes(np.concatenate([coarse, labels, pixels], axis=1).tobytes())
