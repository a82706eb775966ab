"""Two ends of a boundary: what is lost on the way, rolled back or forged."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from btard.errors import UserError
from btard.identity import Malformed
from btard.pipeline.caches import ActivationCache, BoundaryReceiver, CachesDiffer, open_receiver, open_sender
from btard.pipeline.caches.boundary import check_sample_ids
from btard.pipeline.caches.delta import DeltaReceiver, DeltaSender
from btard.pipeline.codecs import NotFinite, make_codec
from btard.pipeline.codecs.codec import Codec
from btard.pipeline.codecs.delta import DeltaCodec

SHAPE = (16, 8)
CODECS = ["delta", "delta:bits=2,rounding=nearest", "delta_lowbits:cache_bits=4"]
Loses = Callable[[int], bool]


def delta_codec(text: str) -> DeltaCodec:
    codec = make_codec(text)
    assert not isinstance(codec, Codec)
    return codec


@dataclass
class Boundary:
    """Both ends; every micro-batch has seeds of its own."""

    sender: DeltaSender
    receiver: DeltaReceiver
    caches: tuple[ActivationCache, ActivationCache]
    sends: int = 0
    raw_sends: int = 0

    def encode(self, samples: list[int], values: torch.Tensor, raw: list[int] | None = None) -> bytes:
        self.sends += 1
        seeds = [1000 * self.sends + sample for sample in samples]
        return self.sender.encode(samples, values, seeds, raw or [])

    def send(self, samples: list[int], values: torch.Tensor) -> torch.Tensor:
        """Send, and once more raw if the receiver asks for it."""
        answer = self.receiver.decode(self.encode(samples, values), samples, values.shape)
        if isinstance(answer, CachesDiffer):
            self.raw_sends += 1
            answer = self.receiver.decode(self.encode(samples, values, samples), samples, values.shape)
        assert isinstance(answer, torch.Tensor)
        return answer

    def commit(self) -> None:
        self.sender.commit()
        self.receiver.commit()

    def roll_back(self) -> None:
        self.sender.roll_back()
        self.receiver.roll_back()

    def equal(self, samples: range) -> bool:
        ours, theirs = self.caches
        return all(ours.get(sample) == theirs.get(sample) for sample in samples)


@contextmanager
def boundary(text: str, room: int = 100) -> Iterator[Boundary]:
    codec = delta_codec(text)
    with TemporaryDirectory() as directory:
        size = codec.entry_size(SHAPE)
        ours, theirs = (ActivationCache(Path(directory), size, room * size) for _ in range(2))
        yield Boundary(DeltaSender(codec, ours), DeltaReceiver(codec, theirs), (ours, theirs))
        ours.close()
        theirs.close()


def activations(count: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, *SHAPE, generator=torch.Generator().manual_seed(seed))


def error(received: torch.Tensor, sent: torch.Tensor) -> float:
    return float((received - sent).norm() / sent.norm())


def test_a_static_input_is_ten_times_nearer_each_visit() -> None:
    sent = torch.randn(1, 256, 64, generator=torch.Generator().manual_seed(0))
    codec = delta_codec("delta:bits=4,rounding=nearest")
    with TemporaryDirectory() as directory:
        ours, theirs = (ActivationCache(Path(directory), codec.entry_size(sent.shape[1:]), 1 << 20) for _ in range(2))
        ours.stage(3, codec.keep(torch.zeros(sent.shape[1:])))
        theirs.stage(3, codec.keep(torch.zeros(sent.shape[1:])))
        sender, receiver = DeltaSender(codec, ours), DeltaReceiver(codec, theirs)
        errors = []
        for _ in range(6):
            received = receiver.decode(sender.encode([3], sent, [0]), [3], sent.shape)
            assert isinstance(received, torch.Tensor)
            errors.append(error(received, sent))
    assert errors[0] == pytest.approx(0.13, rel=0.2)
    assert errors[1] < errors[0] / 5 and errors[2] < errors[1] / 5
    assert all(1.5e-4 < floor < 3e-4 for floor in errors[-2:])


@pytest.mark.parametrize("text", CODECS)
def test_a_first_visit_is_raw_and_later_ones_small(text: str) -> None:
    with boundary(text) as ends:
        sent = activations(4)
        first = ends.encode([0, 1, 2, 3], sent)
        received = ends.receiver.decode(first, [0, 1, 2, 3], sent.shape)
        assert isinstance(received, torch.Tensor) and error(received, sent) < 4e-4
        ends.commit()
        later = ends.encode([0, 1, 2, 3], sent + 0.01 * activations(4, 1))
        assert len(later) < len(first) / 2
        assert not isinstance(ends.receiver.decode(later, [0, 1, 2, 3], sent.shape), CachesDiffer)


def test_differences_err_less_than_codes_of_the_whole() -> None:
    with boundary("delta_lowbits:bits=4,cache_bits=4") as ends:
        sent = activations(2)
        ends.send([0, 1], sent)
        ends.commit()
        fixpoint = make_codec("fixpoint:bits=4")
        assert isinstance(fixpoint, Codec)
        direct = fixpoint.decode(fixpoint.encode(sent, [1, 2]), sent.shape)
        assert error(ends.send([0, 1], sent), sent) < error(direct, sent) / 3


@pytest.mark.parametrize("text", CODECS)
def test_a_lost_message_costs_one_raw_send(text: str) -> None:
    with boundary(text) as ends:
        sent = activations(3)
        ends.send([0, 1, 2], sent)
        ends.commit()
        ends.encode([0, 1, 2], sent + activations(3, 1))  # lost
        ends.commit()
        assert not ends.equal(range(3))
        third = ends.encode([0, 1, 2], sent)
        assert ends.receiver.decode(third, [0, 1, 2], sent.shape) == CachesDiffer((0, 1, 2))
        received = ends.receiver.decode(ends.encode([0, 1, 2], sent, [0, 1, 2]), [0, 1, 2], sent.shape)
        assert isinstance(received, torch.Tensor) and error(received, sent) < 4e-4
        ends.commit()
        assert ends.equal(range(3))
        ends.send([0, 1, 2], sent)
        assert ends.raw_sends == 0


def test_a_sample_the_receiver_never_saw_is_asked_for() -> None:
    with boundary("delta") as ends:
        ends.encode([5], activations(1))  # lost
        ends.commit()
        answer = ends.receiver.decode(ends.encode([5], activations(1)), [5], (1, *SHAPE))
        assert answer == CachesDiffer((5,))


def test_seen_and_new_samples_share_a_micro_batch() -> None:
    with boundary("delta") as ends:
        sent = activations(3)
        ends.send([1], sent[1:2])
        ends.commit()
        received = ends.send([0, 1, 2], sent)
        assert ends.raw_sends == 0 and error(received, sent) < 5e-4
        ends.commit()
        assert ends.equal(range(3))


Story = st.lists(
    st.one_of(
        st.tuples(st.just("send"), st.sets(st.integers(0, 5), min_size=1, max_size=3)),
        st.tuples(st.just("lose"), st.sets(st.integers(0, 5), min_size=1, max_size=3)),
        st.tuples(st.sampled_from(["commit", "roll back"]), st.just(set())),
    ),
    max_size=25,
)


def play(ends: Boundary, story: list[tuple[str, set[int]]], loses: bool) -> None:
    for number, (what, chosen) in enumerate(story):
        samples = sorted(chosen)
        match what:
            case "send":
                ends.send(samples, activations(len(samples), number))
                assert all(ends.caches[0].get(sample) == ends.caches[1].get(sample) for sample in samples)
            case "lose" if loses:
                ends.encode(samples, activations(len(samples), number))
            case "commit":
                ends.commit()
            case "roll back":
                ends.roll_back()
        if not loses:
            assert ends.equal(range(6)) and ends.raw_sends == 0


@pytest.mark.parametrize("text", CODECS)
@settings(max_examples=25, deadline=None)
@given(story=Story)
def test_without_losses_both_sides_stay_equal(text: str, story: list[tuple[str, set[int]]]) -> None:
    with boundary(text, room=4) as ends:
        play(ends, story, loses=False)


@settings(max_examples=50, deadline=None)
@given(story=Story)
def test_whatever_is_lost_one_visit_makes_them_equal(story: list[tuple[str, set[int]]]) -> None:
    with boundary("delta:bits=3") as ends:
        play(ends, story, loses=True)
        ends.roll_back()
        ends.send(list(range(6)), activations(6, 99))
        ends.commit()
        assert ends.equal(range(6))
        before = ends.raw_sends
        ends.send(list(range(6)), activations(6, 100))
        assert ends.raw_sends == before


@pytest.mark.parametrize("text", [*CODECS, "delta:scale=l2", "delta_lowbits:bits=1", "delta:grid=legacy"])
def test_the_largest_numbers_can_change_their_sign(text: str) -> None:
    most = torch.finfo(torch.float32).max
    with boundary(text) as ends:
        for size in (most, most, -most, most, 1.0, -most, 0.0):
            received = ends.send([0, 1], torch.full((2, *SHAPE), size))
            ends.commit()
            assert bool(torch.isfinite(received).all())
            assert ends.equal(range(2)) and not ends.raw_sends


def test_changes_that_add_up_to_infinity_are_cut() -> None:
    codec = delta_codec("delta_lowbits")
    most = torch.full((1, *SHAPE), torch.finfo(torch.float32).max)
    with boundary("delta_lowbits") as ends:
        for _ in range(2):
            ends.send([0], most)
            ends.commit()
        codes = codec.quantiser.encode(most, codec.chosen([1]))
        forged = ends.encode([0], most)[: -len(codes)] + codes  # as much again
        received = ends.receiver.decode(forged, [0], most.shape)
        assert isinstance(received, CachesDiffer) or bool(torch.isfinite(received).all())


def test_what_cannot_be_sent_changes_nothing() -> None:
    with boundary("delta") as ends:
        sent = activations(2)
        ends.send([0, 1], sent)
        ends.commit()
        with pytest.raises(NotFinite):
            ends.encode([0, 1], torch.full((2, *SHAPE), float("nan")))
        assert ends.equal(range(2))


def test_a_raw_activation_must_fit_its_checksum() -> None:
    with boundary("delta") as ends:
        data = bytearray(ends.encode([0], activations(1)))
        data[-2] ^= 1
        with pytest.raises(Malformed, match="contradicts its checksum"):
            ends.receiver.decode(bytes(data), [0], (1, *SHAPE))
        assert not ends.caches[1].seen(0)


@settings(max_examples=150, deadline=None)
@given(place=st.integers(0, 4000), noise=st.binary(min_size=1, max_size=30), grows=st.booleans())
def test_strange_bytes_leave_no_trace(place: int, noise: bytes, grows: bool) -> None:
    with boundary("delta") as ends:
        ends.send([0], activations(1))
        ends.commit()
        before = ends.caches[1].get(0)
        data = ends.encode([0, 1], activations(2))
        place %= len(data)
        changed = data[:place] + noise + data[place + (0 if grows else len(noise)) :]
        try:
            answer = ends.receiver.decode(changed, [0, 1], (2, *SHAPE))
        except Malformed:
            answer = CachesDiffer(())
        if isinstance(answer, CachesDiffer):
            assert ends.caches[1].get(0) == before and not ends.caches[1].seen(1)
        else:
            assert ends.equal(range(2)), "a change below the precision of what is kept"


def test_flags_of_samples_that_are_not_there_are_refused() -> None:
    with boundary("delta") as ends:
        data = bytearray(ends.encode([0], activations(1)))
        data[2 + 4 * 3] |= 2
        with pytest.raises(Malformed, match="not a micro-batch"):
            ends.receiver.decode(bytes(data), [0], (1, *SHAPE))


@pytest.mark.parametrize("text", ["none", "fp16", "fixpoint:bits=8", *CODECS])
def test_both_ends_of_every_codec_fit(text: str, tmp_path: Path) -> None:
    codec, sent = make_codec(text), activations(2)
    sender, receiver = (opened(codec, SHAPE, tmp_path, 1 << 20) for opened in (open_sender, open_receiver))
    for seeds in itertools.pairwise([1, 2, 3]):
        received = receiver.decode(sender.encode([0, 1], sent, seeds), [0, 1], sent.shape)  # type: ignore[attr-defined]
        assert isinstance(received, torch.Tensor) and error(received, sent) < 0.2
        sender.commit()
        receiver.commit()
    end: BoundaryReceiver = receiver  # type: ignore[assignment]
    end.roll_back()
    sender.close()
    receiver.close()


def test_differences_need_samples_that_come_again() -> None:
    with pytest.raises(UserError, match="a stream without sample ids"):
        check_sample_ids(make_codec("delta"), "delta", "--forward-codec", has_sample_ids=False)
    check_sample_ids(make_codec("delta"), "delta", "--forward-codec", has_sample_ids=True)
    check_sample_ids(make_codec("fp16"), "fp16", "--forward-codec", has_sample_ids=False)


@pytest.mark.parametrize("text", ["fixpoint:dims=03", "delta:dims=3"])
def test_scales_over_dimensions_that_are_not_there_are_told(text: str, tmp_path: Path) -> None:
    for opened in (open_sender, open_receiver):
        with pytest.raises(UserError, match="activations here have dimensions 0 to 2"):
            opened(make_codec(text), SHAPE, tmp_path, 1 << 20)
