"""Pieces of the long dimension, shared out to threads: each coordinate of a result is made by itself, so that neither
their number nor their order makes a difference."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch

Piecework = Callable[[slice], None]


def over_pieces(dimension: int, width: int, worker: Callable[[], Piecework]) -> None:
    """Do all pieces of at most `width` coordinates, by as many threads as torch uses.

    A thread works at one piece after the other without waiting for others, as the operations of torch do at the end of
    each: on a busy machine that costs more than the work.

    Args:
        worker: makes what does a piece, with memory of its own; called once in each thread.
    """
    pieces = [slice(start, min(start + width, dimension)) for start in range(0, dimension, width)]
    threads = min(torch.get_num_threads(), len(pieces))

    def share(first: int) -> None:
        work = worker()
        for piece in pieces[first::threads]:
            work(piece)

    if threads == 1:
        share(0)
        return
    with ThreadPoolExecutor(threads - 1) as pool:
        others = [pool.submit(share, first) for first in range(1, threads)]
        share(0)
        for other in others:
            other.result()
