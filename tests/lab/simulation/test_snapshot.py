"""A swarm as bytes: what shares memory still does, and nothing but a swarm can be read."""

from __future__ import annotations

import os
import pickle
from collections import deque
from dataclasses import dataclass
from functools import partial
from operator import methodcaller

import pytest
import torch

from btard.errors import UserError
from btard.identity import IdentityKey
from btard.lab.simulation.settings import SimulateSettings
from btard.lab.simulation.simulation import Simulation
from btard.lab.simulation.snapshot import frozen, thawed
from btard.vectors.momentum import Momentum


def again(content: object, outside: dict[str, object] | None = None) -> object:
    return thawed(frozen(content, outside or {}), outside or {})


def test_views_of_one_buffer_stay_views_of_one_buffer() -> None:
    memory = bytearray(b"abcdef")
    whole, part = again((memoryview(memory), memoryview(memory)[2:4]))  # type: ignore[misc]
    part[:] = b"XY"
    assert bytes(whole) == b"abXYef" and bytes(memory) == b"abcdef"


def test_vectors_keys_and_methods_come_back_as_they_were() -> None:
    key, rows = IdentityKey.from_seed(bytes(32)), torch.arange(6, dtype=torch.float64).view(2, 3)
    chain = Momentum(0.5, 3)
    kept, read, called = again((key, rows, partial(chain.base, 3)))  # type: ignore[misc]
    assert kept.peer_id == key.peer_id and kept.sign(b"x") == key.sign(b"x")
    assert torch.equal(read, rows) and read.dtype == rows.dtype
    assert torch.equal(called(), torch.zeros(3)) and called.func.__self__ is not chain


def test_what_stays_outside_is_exchanged() -> None:
    here, there = object(), object()
    assert thawed(frozen([here, here], {"it": here}), {"it": there}) == [there, there]


@dataclass
class Stranger:
    """No part of a swarm."""


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (Stranger(), "Stranger, which no swarm"),
        (os.getcwd, "posix.getcwd, which no swarm"),
        (partial(os.system, "true"), "posix.system, which no swarm"),
        (deque.__init__, "which no swarm"),
    ],
)
def test_nothing_but_a_swarm_can_be_named(content: object, words: str) -> None:
    with pytest.raises(UserError, match=words):
        thawed(pickle.dumps(content), {})


def naming(module: str, name: str, *arguments: str) -> bytes:
    """Return bytes that name something and call it, as a stranger would write them."""
    words = [b"\x8c" + bytes([len(word)]) + word.encode() for word in (module, name, *arguments)]
    return b"\x80\x04" + words[0] + words[1] + b"\x93(" + b"".join(words[2:]) + b"tR."


@pytest.mark.parametrize(
    ("module", "name", "argument"),
    [
        ("btard.round.evidence.file", "os.system", "true"),
        ("btard.round.evidence.file", "os", "x"),
        ("btard.round.evidence.file", "Path", "x"),
        ("btard.round.evidence.file", "to_json", "x"),
        ("btard.lab.simulation.snapshot", "pickle.loads", "x"),
        ("btard.lab.simulation.snapshot", "thawed", "x"),
        ("btard.lab.simulation.snapshot", "frozen.__globals__.get", "sys"),
        ("btard.vectors.partition", "torch.load", "x"),
        ("operator", "methodcaller", "__subclasses__"),
        ("operator", "attrgetter", "x"),
        ("functools", "partial.mro", "x"),
        ("builtins", "getattr", "x"),
        ("builtins", "list.__init_subclass__", "x"),
    ],
)
def test_nothing_leads_beyond_what_a_swarm_defines(module: str, name: str, argument: str) -> None:
    with pytest.raises(UserError, match="which no swarm is made of"):
        thawed(naming(module, name, argument), {})


@pytest.mark.parametrize("name", ["__subclasses__", "mro", "numpy", "tofile"])
def test_a_call_that_delivers_nothing_is_refused(name: str) -> None:
    with pytest.raises(UserError, match="delivers nothing"):
        thawed(naming("btard.lab.simulation.snapshot", "_caller", name), {})


@pytest.mark.parametrize("owner", [torch.zeros(1), IdentityKey.from_seed(bytes(32)), Momentum])
def test_nobody_elses_method_is_called(owner: object) -> None:
    """A tensor has an array, and that writes any file, as a key does."""
    name = {torch.Tensor: "numpy", IdentityKey: "save"}.get(type(owner), "mro")
    with pytest.raises(UserError, match="which is no method"):
        thawed(frozen(getattr(owner, name), {}), {})


def test_a_tensor_has_a_type_of_numbers() -> None:
    class Sly:
        def __reduce__(self) -> tuple[object, ...]:
            return again.__globals__["thawed"].__globals__["_tensor"], (bytearray(4), "load", (1,))

    with pytest.raises(UserError, match="of type load"):
        thawed(pickle.dumps(Sly()), {})


def test_a_method_is_one_that_the_class_has() -> None:
    class Sly:
        def __reduce__(self) -> tuple[object, ...]:
            return again.__globals__["thawed"].__globals__["_method"], (Momentum(0.5, 3), "__init__")

    with pytest.raises(UserError, match="which is no method"):
        thawed(pickle.dumps(Sly()), {})


def test_bytes_that_are_cut_off_are_told() -> None:
    whole = frozen([methodcaller("receive"), 1.0], {})
    with pytest.raises(UserError, match="cannot be read"):
        thawed(whole[:-3], {})


@pytest.mark.parametrize("after", [7, 60, 200, 350, 500])
def test_a_simulation_goes_on_from_any_event(after: int) -> None:
    """Not only between steps: in the middle of a phase, of a failed attempt, of a court."""
    lies = {"byzantine": 1, "attack": ["SIGN_FLIPPING"], "attack_start": 0, "validators": 2}
    chosen = {"peers": 5, "task": "none", "dimension": 20, "cut": [], "steps": 4, **lies}
    settings = SimulateSettings.model_validate(chosen)
    left, events = after, 0

    def enough() -> bool:
        nonlocal events
        events += 1
        return events > left

    first, second, whole = (Simulation(settings) for _ in range(3))
    second.workload = whole.workload = first.workload
    first.run(until=enough)
    assert second.restore(first.state("kept")) == "kept"
    assert second.run().final_digest == whole.run().final_digest
    assert second.network.now == whole.network.now and second.traffic == whole.traffic
    assert [ban.step for ban in second.chronicle.bans] == [ban.step for ban in whole.chronicle.bans] != []
