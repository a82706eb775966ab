"""host:port to multiaddress: the machine that answers proves its id; everything else is one clear sentence."""

from __future__ import annotations

import asyncio
import datetime
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from btard.errors import UserError
from btard.identity import IdentityKey
from btard.transport.libp2p import Libp2pNode, NoAnswer, resolve_initial_peer, resolve_initial_peers
from btard.transport.libp2p.discover import _NotFound, peer_of_certificate
from tests.btard.transport.libp2p.conftest import Swarm, until


def port_of(node: Libp2pNode) -> int:
    return int(node.maddrs[0].split("/")[4])


@asynccontextmanager
async def server(speech: bytes, *, endless: bool = False) -> AsyncIterator[str]:
    """A server that says something and then nothing, or the same for ever."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(speech)
            while endless:
                writer.write(speech)
                await writer.drain()
            await reader.read()
        except ConnectionError:
            return
        finally:
            writer.close()

    listening = await asyncio.start_server(talk, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    finally:
        listening.close()


async def test_host_port_and_name_find_the_peer(swarm: Swarm) -> None:
    a, _ = await swarm.node()
    for text in (f"127.0.0.1:{port_of(a)}", f"localhost:{port_of(a)}"):
        assert await resolve_initial_peer(text) == list(a.maddrs)
    assert await resolve_initial_peer(a.maddrs[0]) == list(a.maddrs)


async def test_ipv6_finds_the_peer(swarm: Swarm) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    a, _ = await swarm.node(host_maddrs=["/ip6/::1/tcp/0"])
    assert await resolve_initial_peer(f"[::1]:{port_of(a)}") == list(a.maddrs)
    b, inbox = await swarm.node(a)
    a.transport.send(b.peer_id, b"six")
    await until(lambda: inbox.messages)


async def test_a_dead_first_peer_does_not_hide_a_live_second(swarm: Swarm) -> None:
    a, _ = await swarm.node()
    dead = f"127.0.0.1:{closed_port()}"
    live = f"127.0.0.1:{port_of(a)}"
    assert await resolve_initial_peers([dead, live]) == list(a.maddrs)
    with pytest.raises(UserError, match=f"{dead}.*refuses"):
        await resolve_initial_peers([dead])


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        return int(closed.getsockname()[1])


async def test_a_full_multiaddress_has_to_answer_too(swarm: Swarm) -> None:
    a, _ = await swarm.node()
    late = f"/ip4/127.0.0.1/tcp/{closed_port()}/p2p/{IdentityKey.generate().peer_id}"
    with pytest.raises(NoAnswer, match=f"{late}.*refuses"):
        await resolve_initial_peers([late])
    assert await resolve_initial_peers([late, f"127.0.0.1:{port_of(a)}"]) == [late, *a.maddrs]


async def test_another_peer_at_a_full_multiaddress_is_named(swarm: Swarm) -> None:
    a, _ = await swarm.node()
    wanted = IdentityKey.generate().peer_id
    wrong = f"{a.maddrs[0].partition('/p2p/')[0]}/p2p/{wanted}"
    with pytest.raises(UserError, match=f"another peer answers at {wrong}: {a.peer_id}") as caught:
        await resolve_initial_peers([wrong])
    assert not isinstance(caught.value, NoAnswer), "nothing to wait for"
    late = f"127.0.0.1:{closed_port()}"
    with pytest.raises(NoAnswer):
        await resolve_initial_peers([wrong, late])
    assert await resolve_initial_peers([wrong, a.maddrs[0]]) == [a.maddrs[0]]


async def test_what_only_p2pd_can_reach_is_left_to_it(swarm: Swarm) -> None:
    a, _ = await swarm.node(tls=False)
    peer, port = IdentityKey.generate().peer_id, closed_port()
    relayed = f"/ip4/127.0.0.1/tcp/{port}/p2p/{peer}/p2p-circuit/p2p/{a.peer_id}"
    for maddr in (a.maddrs[0], relayed, f"/ip4/127.0.0.1/udp/{port}/quic-v1/p2p/{peer}"):
        assert await resolve_initial_peers([maddr]) == [maddr]


async def test_a_peer_without_tls_is_named(swarm: Swarm) -> None:
    a, _ = await swarm.node(tls=False)
    with pytest.raises(UserError, match="without TLS"):
        await resolve_initial_peer(f"127.0.0.1:{port_of(a)}")


@pytest.mark.parametrize(
    ("speech", "endless"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", False),
        (b"\xff" * 1000, True),
        (b"\x13/multistream/1.0.0\n\x0b/tls/1.0.0\n" + b"garbage" * 1000, False),
        (b"\x13/multistream/1.0.0\n\x0b/tls/1.0.0\n" + b"\x16\x03\x03\x40\x00" + bytes(1 << 14), True),
    ],
)
async def test_other_servers_are_named(speech: bytes, endless: bool) -> None:
    async with server(speech, endless=endless) as address:
        with pytest.raises(UserError, match=address):
            await resolve_initial_peer(address, timeout_seconds=5)


async def test_a_silent_server_costs_its_deadline() -> None:
    async with server(b"") as address:
        with pytest.raises(UserError, match="did not answer within"):
            await resolve_initial_peer(address, timeout_seconds=0.3)


@pytest.mark.parametrize(
    "text",
    ["", "host", "host:", "host:0", "host:65536", ":31337", "::1:31337", "http://host:1", "/ip4/1.2.3.4/tcp/1",
     "/ip4/1.2.3.4/tcp/1/p2p/nonsense", "/nonsense", "/p2p/12D3KooWAowhHYRUo95trKXdogZkfEkf4aBvqjNJi2ZiQPZHCG1R",
     "/ip4/999.1.1.1/tcp/1/p2p/12D3KooWAowhHYRUo95trKXdogZkfEkf4aBvqjNJi2ZiQPZHCG1R"],
)  # fmt: skip
async def test_bad_text_is_one_sentence(text: str) -> None:
    with pytest.raises(UserError):
        await resolve_initial_peer(text, timeout_seconds=2)


def certificate(key: IdentityKey, *, signed: bytes | None = None, extension: bytes | None = None) -> bytes:
    """A libp2p TLS certificate of `key`, honest unless told otherwise."""
    private = ec.generate_private_key(ec.SECP256R1())
    spki = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    signature = key.sign(signed if signed is not None else b"libp2p-tls-handshake:" + spki)
    public = bytes(key.peer_id)[2:]
    body = b"\x04" + bytes([len(public)]) + public + b"\x04" + bytes([len(signature)]) + signature
    name = x509.Name([])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(private.public_key())
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
    value = extension if extension is not None else b"\x30" + bytes([len(body)]) + body
    oid = x509.ObjectIdentifier("1.3.6.1.4.1.53594.1.1")
    builder = builder.add_extension(x509.UnrecognizedExtension(oid, value), critical=False)
    return builder.sign(private, hashes.SHA256()).public_bytes(Encoding.DER)


@pytest.mark.parametrize("host", ["a..b", ".a", "a" * 64, "ü" * 64])
async def test_what_is_no_name_of_a_machine_is_told(host: str) -> None:
    """Such a name raises before anybody is asked; a member may have announced it, and a file have kept it."""
    with pytest.raises(NoAnswer, match="no name of a machine"):
        await resolve_initial_peers([f"{host}:31337"], 5)
    with pytest.raises(UserError):
        await resolve_initial_peers([f"{host}:31337", "nonsense"], 5)


def test_a_certificate_proves_its_peer_id_or_is_refused() -> None:
    key = IdentityKey.generate()
    assert peer_of_certificate(certificate(key)) == key.peer_id
    with pytest.raises(_NotFound, match="did not sign"):
        peer_of_certificate(certificate(key, signed=b"libp2p-tls-handshake:another key"))
    honest = certificate(key)
    for extension in (b"", b"\x30\x00", b"\x30\x84\xff\xff\xff\xff", b"\x04\x02ab", b"\x30\x03\x04\x81"):
        with pytest.raises(_NotFound):
            peer_of_certificate(certificate(key, extension=extension))
    with pytest.raises(_NotFound):
        peer_of_certificate(honest[:-40])
