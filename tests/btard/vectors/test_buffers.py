"""The pool of buffers: memory is used again, never shared, and never hoarded."""

from __future__ import annotations

import random

import pytest

from btard.vectors.buffers import BufferPool


@pytest.fixture
def pool() -> BufferPool:
    return BufferPool()


@pytest.mark.parametrize("length", [0, 1, 7, 4096])
def test_a_buffer_has_the_length_that_was_asked_for(pool: BufferPool, length: int) -> None:
    buffer = pool.take(length)
    assert len(buffer) == length and not buffer.readonly
    buffer[:] = b"x" * length
    assert bytes(buffer) == b"x" * length


def test_what_was_given_back_is_used_again_as_it_is(pool: BufferPool) -> None:
    buffer = pool.take(100)
    memory = buffer.obj
    buffer[:] = b"y" * 100
    pool.give(buffer)
    again = pool.take(100)
    assert again.obj is memory and bytes(again) == b"y" * 100


def test_what_is_in_use_is_given_to_nobody_else(pool: BufferPool) -> None:
    held = [pool.take(100) for _ in range(5)]
    assert len({id(buffer.obj) for buffer in held}) == 5
    pool.give(held.pop())
    assert len({id(buffer.obj) for buffer in [*held, pool.take(100), pool.take(100)]}) == 6


def test_parts_that_grow_a_little_fit_into_the_same_memory(pool: BufferPool) -> None:
    """When one of seven or more peers sits out, the others' parts grow by at most a sixth."""
    buffer = pool.take(600)
    memory = buffer.obj
    pool.give(buffer)
    assert pool.take(700).obj is memory


def test_memory_that_is_too_small_or_much_too_large_is_not_used(pool: BufferPool) -> None:
    small, large = pool.take(100), pool.take(1000)
    pool.give(small)
    pool.give(large)
    taken = pool.take(400)
    assert len(taken) == 400 and taken.obj is not small.obj and taken.obj is not large.obj


def test_the_smallest_that_fits_is_taken(pool: BufferPool) -> None:
    sizes = [pool.take(length) for length in (190, 120, 150)]
    for buffer in sizes:
        pool.give(buffer)
    assert pool.take(110).obj is sizes[1].obj


def test_a_slice_gives_back_the_whole(pool: BufferPool) -> None:
    buffer = pool.take(100)
    pool.give(buffer[10:20])
    assert pool.take(100).obj is buffer.obj


def test_what_is_not_from_a_pool_is_not_kept(pool: BufferPool) -> None:
    pool.give(memoryview(b"constant"))
    assert not pool.take(8).readonly


def test_it_never_keeps_more_than_four_times_the_largest(pool: BufferPool) -> None:
    rng = random.Random(0)
    held: list[memoryview] = []
    largest = 0
    for _ in range(500):
        if held and rng.random() < 0.48:
            pool.give(held.pop(rng.randrange(len(held))))
        else:
            held.append(pool.take(rng.randrange(1, 2000)))
            largest = max(largest, len(held[-1]))
        assert sum(map(len, pool._free)) <= 4 * largest
    assert len({id(buffer.obj) for buffer in held}) == len(held) > 1


def test_the_longest_kept_goes_first(pool: BufferPool) -> None:
    buffers = [pool.take(60) for _ in range(6)]  # of 70 bytes each with the slack, so that three stay
    for buffer in buffers:
        pool.give(buffer)
    kept = {id(buffer.obj) for buffer in buffers[3:]}
    assert {id(pool.take(60).obj) for _ in range(3)} == kept
