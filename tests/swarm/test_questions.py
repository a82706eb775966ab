"""Questions and heads: they go round, and nothing but Malformed comes of anything else."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from btard.hashing import digest
from btard.identity import Envelope, Malformed, MessageKind, PeerId
from btard.identity.codec import decode, encode
from btard.swarm.questions import (
    MAX_DIRECTORY,
    MAX_HEAD,
    MAX_KEPT,
    MAX_MADDRS,
    MAX_REPLY,
    MAX_SHOWN_WAITING,
    Directory,
    Gathering,
    Head,
    Knock,
    Question,
    Reply,
    Want,
    is_large,
)
from btard.transport.libp2p import Limits
from btard.vocabulary import MAX_PEERS
from tests.btard.round.swarm import keys
from tests.peer.helpers import ROSTER

STATE = digest(b"state")
HEAD = Head(ROSTER, STATE, ((3, digest(b"3")), (5, digest(b"5"))))


@given(st.sampled_from(Want), st.integers(0, 2**62 - 1))
def test_a_question_goes_round(want: Want, step: int) -> None:
    question = Question(want=want, step=step)
    assert Question.decode(question.encode()) == question


KNOCK = Knock(run="ab" * 16, protocol=2, fingerprint="cd" * 32, maddrs=["/ip4/1.2.3.4/tcp/5"] * MAX_MADDRS)


def test_a_knock_goes_round_and_the_longest_fits_into_a_request() -> None:
    longest = Question(
        want=Want.KNOCK,
        knock=KNOCK.model_copy(update={"maddrs": ["/dns4/" + ".".join(["x" * 57] * 4) + "/tcp/65535"] * MAX_MADDRS}),
    )
    for question in (Question(want=Want.KNOCK, knock=KNOCK), longest):
        assert Question.decode(question.encode()) == question
        assert len(question.encode()) < Limits().request_bytes


@pytest.mark.parametrize(
    "changed",
    [
        {"run": "ab"},
        {"run": "AB" * 16},
        {"protocol": -1},
        {"protocol": 2**31},
        {"fingerprint": "x" * 64},
        {"fingerprint": None},
        {"maddrs": ["x"] * (MAX_MADDRS + 1)},
        {"maddrs": ["x" * 257]},
        {"maddrs": [1]},
        {"maddrs": None},
        {"more": 1},
    ],
)
def test_what_is_no_knock_is_malformed(changed: dict[str, Any]) -> None:
    data = json.dumps({"want": "knock", "knock": KNOCK.model_dump() | changed}).encode()
    with pytest.raises(Malformed, match="no question"):
        Question.decode(data)


def test_addresses_that_nobody_may_dial_are_left_out() -> None:
    told = ["/unix/etc/passwd", "../x", "/ip4/1.2.3.4/tcp/5"]
    question = Question(want=Want.KNOCK, knock=Knock.model_validate(KNOCK.model_dump() | {"maddrs": told}))
    assert question.knock is not None and question.knock.maddrs == ["/ip4/1.2.3.4/tcp/5"]
    assert Directory.decode(Directory({PEERS[0]: tuple(told)}).encode()).addresses == {
        PEERS[0]: ("/ip4/1.2.3.4/tcp/5",)
    }


@pytest.mark.parametrize("reply", Reply)
def test_a_reply_goes_round_and_has_words(reply: Reply) -> None:
    assert Reply.decode(reply.encode()) is reply
    assert len(reply.encode()) <= MAX_REPLY and reply.words.startswith(("it ", "its ", "too "))


@pytest.mark.parametrize("data", [b"", b"wait ", b"WAIT", b"\xff", b"wait" * 100])
def test_what_is_no_reply_is_malformed(data: bytes) -> None:
    with pytest.raises(Malformed):
        Reply.decode(data)


PEERS = tuple(PeerId.from_public_key(bytes(30) + i.to_bytes(2, "big")) for i in range(MAX_PEERS))
DIRECTORY = Directory({PEERS[0]: ("/ip4/1.2.3.4/tcp/5", "/ip6/::1/tcp/6"), PEERS[1]: ()}, PEERS[2:4])


@pytest.mark.parametrize("directory", [DIRECTORY, Directory({})])
def test_a_directory_goes_round(directory: Directory) -> None:
    assert Directory.decode(directory.encode()) == directory


def test_a_directory_tells_a_few_addresses_of_as_many_as_fit() -> None:
    own = tuple(f"/ip4/1.2.3.4/tcp/{port}/p2p/{PEERS[0]}" for port in range(1, 8))
    assert Directory.decode(Directory({PEERS[0]: own}).encode()).addresses == {
        PEERS[0]: tuple(f"/ip4/1.2.3.4/tcp/{port}" for port in range(1, 4))
    }
    usual = Directory(dict.fromkeys(PEERS, ("/ip4/100.200.100.200/tcp/31337",) * 2), PEERS[:MAX_SHOWN_WAITING])
    assert len(usual.encode()) <= MAX_DIRECTORY and Directory.decode(usual.encode()) == usual
    longest = Directory(
        dict.fromkeys(PEERS, ("\N{SNOWMAN}" * 256, "x" * 257) * 8), PEERS
    )  # not to be dialled, but long
    assert len(longest.encode()) <= MAX_DIRECTORY
    found = Directory.decode(longest.encode())
    assert len(found.addresses) > 40 and len(found.waiting) == MAX_SHOWN_WAITING


@pytest.mark.parametrize(
    "position, value",
    [
        (0, None),
        (0, [[PEERS[0]]]),
        (0, [[b"short", []]]),
        (0, [[PEERS[0], [1]]]),
        (0, [[PEERS[0], ["x" * 257]]]),
        (0, [[PEERS[0], ["x"] * 4]]),
        (1, [b"short"]),
        (1, [PEERS[0]] * (MAX_SHOWN_WAITING + 1)),
    ],
)
def test_what_is_no_directory_is_malformed(position: int, value: Any) -> None:
    fields = decode(DIRECTORY.encode(), limit=MAX_DIRECTORY)
    fields[position] = value
    with pytest.raises(Malformed):
        Directory.decode(encode(fields))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"null",
        b"\xff",
        b'{"want":"everything"}',
        b'{"want":"state","step":-1}',
        b'{"want":"state","step":4611686018427387904}',
        b'{"want":"state","step":null}',
        b'{"want":"state","more":1}',
        b"[" * 10_000,
    ],
)
def test_what_is_no_question_is_malformed(data: bytes) -> None:
    with pytest.raises(Malformed, match="no question"):
        Question.decode(data)


@given(st.binary(max_size=80))
def test_junk_is_neither_a_question_nor_a_head(data: bytes) -> None:
    for kind in (Question, Head, Directory, Gathering):
        with pytest.raises(Malformed):
            kind.decode(data)


@pytest.mark.parametrize(
    "head", [HEAD, Head(ROSTER, STATE, ()), Head(ROSTER, STATE, (), 3), Head(ROSTER, STATE, (), 1, True)]
)
def test_a_head_goes_round(head: Head) -> None:
    assert Head.decode(head.encode()) == head


def test_the_head_of_the_largest_roster_fits() -> None:
    peers = tuple(PeerId.from_public_key(bytes(30) + i.to_bytes(2, "big")) for i in range(MAX_PEERS))
    largest = dataclasses.replace(HEAD, roster=dataclasses.replace(ROSTER, members=peers, banned=frozenset(peers)))
    assert len(largest.encode()) <= MAX_HEAD
    assert Head.decode(largest.encode()) == largest


@pytest.mark.parametrize(
    "position, value",
    [
        (0, None),
        (0, []),
        (1, b"short"),
        (2, None),
        (2, [[1, STATE]] * 257),
        (2, [[1]]),
        (2, [[-1, STATE]]),
        (2, [[1, b"short"]]),
    ],
)
def test_what_is_no_head_is_malformed(position: int, value: Any) -> None:
    fields = decode(HEAD.encode(), limit=MAX_HEAD)
    fields[position] = value
    with pytest.raises(Malformed):
        Head.decode(encode(fields))


@given(st.data())
def test_a_damaged_head_is_malformed_or_another_one(data: st.DataObject) -> None:
    damaged = bytearray(HEAD.encode())
    damaged[data.draw(st.integers(0, len(damaged) - 1))] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(Malformed):
        assert Head.decode(bytes(damaged)) != HEAD


@pytest.mark.parametrize("incarnation", [0, -1, 2**31 + 1, None, "1"])
def test_a_head_of_no_incarnation_is_malformed(incarnation: Any) -> None:
    with pytest.raises(Malformed):
        Head.decode(encode([*decode(HEAD.encode(), limit=MAX_HEAD), incarnation]))
    with pytest.raises(Malformed):
        Head.decode(encode([*decode(HEAD.encode(), limit=MAX_HEAD), 1, 1]))


MESSAGE = Envelope.sign(keys(1)[0], run=bytes(16), step=0, kind=MessageKind.MEMORY, body=b"body")
GATHERING = Gathering((MESSAGE,), ((ROSTER, STATE),))


@pytest.mark.parametrize("gathering", [GATHERING, Gathering((), ())])
def test_a_gathering_goes_round(gathering: Gathering) -> None:
    assert Gathering.decode(gathering.encode()) == gathering


@pytest.mark.parametrize(
    "fields",
    [
        [[b"no message"], []],
        [[], [[ROSTER.pack(), STATE]] * (MAX_KEPT + 1)],
        [[], [[ROSTER.pack(), b"short"]]],
        [[], [[ROSTER.pack()]]],
        [[MESSAGE.encode(), 7], []],
        [None, []],
    ],
)
def test_what_is_no_gathering_is_malformed(fields: Any) -> None:
    with pytest.raises(Malformed):
        Gathering.decode(encode(fields))


def test_only_what_is_as_long_as_the_model_needs_a_slot() -> None:
    large = {Want.STATE, Want.SNAPSHOT, Want.CHUNK, Want.BASE, Want.VECTOR, Want.MINUTES}
    assert {want for want in Want if is_large(Question(want=want).encode())} == large
    assert not is_large(b"") and not is_large(b'{"want":"everything"}')
