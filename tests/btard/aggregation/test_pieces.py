from __future__ import annotations

import threading

import pytest
import torch

from btard.aggregation.pieces import Piecework, over_pieces


@pytest.fixture
def two_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)


def test_every_piece_is_done_once(two_threads: None) -> None:
    done: list[slice] = []
    over_pieces(1005, 10, lambda: done.append)
    assert sorted((piece.start, piece.stop) for piece in done) == [
        (at, min(at + 10, 1005)) for at in range(0, 1005, 10)
    ]


def test_a_thread_that_is_late_finds_less_left(two_threads: None) -> None:
    rest, seen = threading.Event(), []

    def worker() -> Piecework:
        if threading.current_thread() is not threading.main_thread():
            assert rest.wait(timeout=30), "the others waited for the one that is late"
        return work

    def work(piece: slice) -> None:
        seen.append(piece.start)
        if len(seen) == 100:
            rest.set()

    over_pieces(1000, 10, worker)
    assert sorted(seen) == list(range(0, 1000, 10))


def test_what_a_thread_raises_is_raised(two_threads: None) -> None:
    begun = threading.Event()

    def worker() -> Piecework:
        if threading.current_thread() is not threading.main_thread():
            begun.set()
            raise ZeroDivisionError
        return wait

    def wait(piece: slice) -> None:
        assert begun.wait(timeout=30)

    with pytest.raises(ZeroDivisionError):
        over_pieces(1000, 10, worker)
