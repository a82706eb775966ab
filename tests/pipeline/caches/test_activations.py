"""The file of activations: its limit, and both phases of a step."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from btard.errors import UserError
from btard.pipeline.caches import ActivationCache


def test_a_step_is_kept_or_forgotten_as_a_whole(tmp_path: Path) -> None:
    cache = ActivationCache(tmp_path, 4, 100)
    cache.stage(7, b"aaaa")
    assert cache.get(7) == b"aaaa" and len(cache) == 0
    cache.roll_back()
    assert cache.get(7) is None and not cache.seen(7)
    cache.stage(7, b"bbbb")
    cache.commit()
    cache.stage(7, b"cccc")
    cache.stage(8, b"dddd")
    assert (cache.get(7), cache.get(8)) == (b"cccc", b"dddd")
    cache.roll_back()
    assert (cache.get(7), cache.get(8)) == (b"bbbb", None)
    assert cache.seen(7) and not cache.seen(8)


def test_samples_beyond_the_limit_stay_unseen(tmp_path: Path) -> None:
    cache = ActivationCache(tmp_path, 4, 11)
    for sample in range(3):
        cache.stage(sample, bytes([sample] * 4))
    cache.commit()
    assert [cache.get(sample) for sample in range(3)] == [b"\0\0\0\0", b"\1\1\1\1", None]
    cache.stage(1, b"next")
    cache.commit()
    assert cache.get(1) == b"next"


def test_a_full_disk_leaves_samples_unseen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    cache = ActivationCache(tmp_path, 4, 100)
    monkeypatch.setattr(os, "posix_fallocate", full)
    cache.stage(1, b"aaaa")
    cache.commit()
    assert cache.get(1) is None


def test_nothing_of_it_stays_on_the_disk(tmp_path: Path) -> None:
    cache = ActivationCache(tmp_path, 4, 100)
    cache.stage(1, b"aaaa")
    cache.commit()
    assert list(tmp_path.iterdir()) == []
    cache.close()


def test_a_limit_below_one_sample_is_told_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="may have 3 bytes, but a sample takes 4: raise the limit"):
        ActivationCache(tmp_path, 4, 3)
    with pytest.raises(UserError, match="No such file"):
        ActivationCache(tmp_path / "missing", 4, 8)
