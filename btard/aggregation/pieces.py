"""Pieces of the long dimension, shared out to threads: each coordinate of a result is made by itself, so that neither
their number nor their order makes a difference."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch

Piecework = Callable[[slice], None]


def over_pieces(dimension: int, width: int, worker: Callable[[], Piecework]) -> None:
    """Do all pieces of at most `width` coordinates, by as many threads as torch uses.

    A thread takes one piece after the other without waiting for others, as the operations of torch do at the end of
    each: on a busy machine that costs more than the work. One that comes late, since another program or a thread of
    torch that still waits for work keeps its processor, finds less left.

    Args:
        worker: makes what does a piece, with memory of its own; called once in each thread.
    """
    pieces = [slice(start, min(start + width, dimension)) for start in range(0, dimension, width)]
    threads = min(torch.get_num_threads(), len(pieces))
    left = deque(pieces)

    def share() -> None:
        if not left:
            return
        work = worker()
        while True:
            try:
                piece = left.popleft()
            except IndexError:
                return
            work(piece)

    if threads == 1:
        share()
        return
    with ThreadPoolExecutor(threads - 1) as pool:
        others = [pool.submit(share) for _ in range(1, threads)]
        share()
        for other in others:
            other.result()
