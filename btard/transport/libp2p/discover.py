"""From `host:port` as typed to a full multiaddress: the machine that answers proves its peer id in a TLS handshake.

This is trust on first use. The handshake proves that the machine holds the key of the peer id it shows, not that it
is the peer that was meant: someone who controls the name or the path can put its own peer there. A full multiaddress
with `/p2p/<peer id>` has no such gap.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
import ssl
from collections.abc import Sequence

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hivemind.utils.multiaddr import Multiaddr

from btard.errors import UserError
from btard.identity import PeerId

_EXTENSION = x509.ObjectIdentifier("1.3.6.1.4.1.53594.1.1")
_SIGNED_PREFIX = b"libp2p-tls-handshake:"
_MULTISTREAM = "/multistream/1.0.0"
_TLS = "/tls/1.0.0"
_NO = "na"
_MAX_HANDSHAKE = 64 << 10
_TCP = re.compile(r"^/(?P<kind>ip4|ip6|dns|dns4|dns6)/(?P<host>[^/]+)/tcp/(?P<port>[0-9]{1,5})(?:/|$)")
_HOST_PORT = re.compile(r"^(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<host>[^\s/:\[\]]+)):(?P<port>[0-9]{1,5})$")


class NoAnswer(UserError):
    """No libp2p peer answers at an address that is well written: it may do so later."""


class WrongPeer(UserError):
    """Another peer answers at a full multiaddress than the one that it names."""


class _NotFound(Exception):
    """No libp2p peer answers at the address; the message says why."""


class _Unproved(_NotFound):
    """A libp2p peer answers, but does not prove its id in a way that is read here."""


def split_maddr(text: str) -> tuple[PeerId, str]:
    """Return the peer id of a full multiaddress, and the address without it.

    Raises:
        UserError: it is no multiaddress, or has no `/p2p/<peer id>` at its end.
    """
    try:
        canonical = str(Multiaddr(text))
    except Exception:  # the parser raises whatever its codecs raise
        raise UserError(f"{text!r} is no multiaddress; write /ip4/1.2.3.4/tcp/31337/p2p/12D3Koo...") from None
    address, separator, peer = canonical.rpartition("/p2p/")
    if not separator or not address:
        raise UserError(f"{text!r} has no peer id; write .../p2p/12D3Koo..., or host:port to have it found out")
    return PeerId.parse(peer), address


def tcp_of(address: str) -> tuple[str, int] | None:
    """Return host and port of a multiaddress without its peer id; None if only p2pd can go there (a relay)."""
    match = _TCP.match(address)
    return None if match is None or "/p2p-circuit" in address else (match["host"], int(match["port"]))


def split_host_port(text: str) -> tuple[str, int]:
    """Return the two halves of `host:port` or `[v6]:port`; raises UserError."""
    match = _HOST_PORT.match(text)
    port = int(match["port"]) if match else 0
    if match is None or not 0 < port < 65536:
        raise UserError(f"{text!r} is no address; write host:port, [v6]:port or /ip4/.../tcp/.../p2p/12D3Koo...")
    return match["v6"] or match["host"], port


async def resolve_initial_peer(text: str, timeout_seconds: float = 10.0) -> list[str]:
    """Return full multiaddresses of the peer at `text`; trust on first use, as this module's docstring says.

    Args:
        text: `host:port`, `name:port`, `[v6]:port`, or a full multiaddress, which is returned as it is once its peer
            answers there, or at once if only p2pd can go there.
        timeout_seconds: seconds for all addresses that a name has.

    Raises:
        UserError: the text is malformed.
        WrongPeer: another peer answers at a full multiaddress.
        NoAnswer: no libp2p peer answers there in time, or at `host:port` none with TLS and an Ed25519 key.
    """
    try:
        async with asyncio.timeout(timeout_seconds):
            if text.startswith("/"):
                await _meet(text)
                return [text]
            return await _resolve(*split_host_port(text))
    except TimeoutError:
        raise NoAnswer(f"{text} did not answer within {timeout_seconds:g} s; is a coordinator running there?") from None
    except _NotFound as error:
        raise NoAnswer(f"{text}: {error}") from None


async def resolve_initial_peers(texts: Sequence[str], timeout_seconds: float = 10.0) -> list[str]:
    """Return the full multiaddresses of those of `texts` that answer, in their order.

    Of full multiaddresses those that do not answer yet are returned, too, once any of `texts` has answered: their peers
    may come back.

    Args:
        texts: addresses as `resolve_initial_peer` takes them, asked at the same time.
        timeout_seconds: seconds for all of them.

    Raises:
        NoAnswer: there are some and none answers; the message names each failure.
        UserError: the same, but at least one is malformed, or other peers answer at all of them.
    """
    results = await asyncio.gather(
        *(resolve_initial_peer(text, timeout_seconds) for text in texts), return_exceptions=True
    )
    found: list[str] = []
    failures: list[UserError] = []
    for text, result in zip(texts, results, strict=True):
        if isinstance(result, NoAnswer) and text.startswith("/"):
            found.append(text)
        if isinstance(result, UserError):
            failures.append(result)
        elif isinstance(result, BaseException):
            raise result
        else:
            found += result
    if texts and len(failures) == len(texts):
        late = any(isinstance(failure, NoAnswer) for failure in failures)
        wrong = not all(isinstance(failure, NoAnswer | WrongPeer) for failure in failures)
        kind = NoAnswer if late and not wrong else UserError
        raise kind(f"no initial peer can be found: {'; '.join(map(str, failures))}")
    return list(dict.fromkeys(found))


async def _meet(maddr: str) -> None:
    """Return when the peer of a full multiaddress answers there; a peer without TLS cannot be told from another."""
    peer, address = split_maddr(maddr)
    place = tcp_of(address)
    if place is None:
        return
    try:
        (found,) = await _resolve(*place)
    except _Unproved:
        return
    if (other := split_maddr(found)[0]) != peer:
        raise WrongPeer(f"another peer answers at {maddr}: {other}; check the address, or the coordinator's key")


async def _resolve(host: str, port: int) -> list[str]:
    loop = asyncio.get_running_loop()
    try:
        infos = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise _NotFound(f"the name does not resolve ({error.strerror or error})") from None
    except UnicodeError:
        raise _NotFound("that is no name of a machine: a part of it is empty or longer than 63 letters") from None
    failures: list[str] = []
    unproved = False
    for address in dict.fromkeys(str(info[4][0]) for info in infos):
        try:
            peer = await _ask_peer_id(address, port)
        except (OSError, _NotFound) as error:
            # Only the last address of a name may be blamed: a name often has a dead IPv6 and a live IPv4 address.
            failures.append(f"{address} {_reason(error)}")
            unproved = unproved or isinstance(error, _Unproved)
            continue
        kind = "ip6" if ipaddress.ip_address(address).version == 6 else "ip4"
        return [f"/{kind}/{address}/tcp/{port}/p2p/{peer}"]
    raise (_Unproved if unproved else _NotFound)(", ".join(failures))


def _reason(error: Exception) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "refuses the connection; is a coordinator running there?"
    return str(error) if isinstance(error, _NotFound) else f"cannot be reached ({error})"


async def _ask_peer_id(address: str, port: int) -> PeerId:
    reader, writer = await asyncio.open_connection(address, port, limit=_MAX_HANDSHAKE)
    try:
        await _select_tls(reader, writer)
        certificate = await _handshake(reader, writer)
    except asyncio.IncompleteReadError:
        raise _NotFound("closed the connection; it is no libp2p peer") from None
    finally:
        writer.transport.abort()
    return peer_of_certificate(certificate)


async def _select_tls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    for line in (_MULTISTREAM, _TLS):
        text = line.encode() + b"\n"
        writer.write(bytes([len(text)]) + text)
    await writer.drain()
    await _read_line(reader, _MULTISTREAM)
    if await _read_line(reader, _TLS, _NO) == _NO:
        raise _Unproved("is a libp2p peer without TLS; give its full multiaddress with /p2p/12D3Koo...")


async def _read_line(reader: asyncio.StreamReader, *expected: str) -> str:
    """Return the line that the server says if it is one of `expected`, without waiting for bytes of any other."""
    length = (await reader.readexactly(1))[0]
    if length in {len(line) + 1 for line in expected}:
        line = (await reader.readexactly(length)).decode(errors="replace").removesuffix("\n")
        if line in expected:
            return line
    raise _NotFound("is no libp2p peer")


async def _handshake(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    """Run the client's half of TLS 1.3 and return the server's certificate (DER)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # certificates of libp2p are self-signed; the extension is what is verified
    context.set_alpn_protocols(["libp2p"])
    received, to_send = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(received, to_send)
    total = 0
    while True:
        try:
            tls.do_handshake()
            break
        except ssl.SSLWantReadError:
            writer.write(to_send.read())
            await writer.drain()
        except ssl.SSLError as error:
            raise _NotFound(f"fails in the TLS handshake ({error.reason})") from None
        chunk = await reader.read(16 << 10)
        total += len(chunk)
        if not chunk or total > _MAX_HANDSHAKE:
            raise _NotFound("does not finish the TLS handshake")
        received.write(chunk)
    certificate = tls.getpeercert(binary_form=True)
    if certificate is None:
        raise _NotFound("shows no certificate")
    return certificate


def peer_of_certificate(der: bytes) -> PeerId:
    """Return the peer whose key signed this libp2p TLS certificate."""
    try:
        certificate = x509.load_der_x509_certificate(der)
        extension = certificate.extensions.get_extension_for_oid(_EXTENSION).value
        assert isinstance(extension, x509.UnrecognizedExtension)
        public_key, signature = _octet_strings(extension.value)
        spki = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        # An Ed25519 peer id is an identity multihash (0x00, length) of this very protobuf.
        peer = PeerId(bytes([0, len(public_key)]) + public_key)
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension, UnsupportedAlgorithm, AssertionError):
        raise _Unproved("is no peer with an Ed25519 key") from None
    if not peer.has_signed(_SIGNED_PREFIX + spki, signature):
        raise _NotFound("shows a certificate that its peer id did not sign")
    return peer


def _octet_strings(der: bytes) -> tuple[bytes, bytes]:
    """Decode SignedKey: a SEQUENCE of two OCTET STRINGs; raises ValueError for anything else."""
    tag, body, rest = _element(der)
    if tag != 0x30 or rest:
        raise ValueError("no SignedKey")
    first_tag, first, rest = _element(body)
    second_tag, second, rest = _element(rest)
    if (first_tag, second_tag, rest) != (0x04, 0x04, b""):
        raise ValueError("no SignedKey")
    return first, second


def _element(der: bytes) -> tuple[int, bytes, bytes]:
    """Return tag, content and what follows of the first DER element."""
    if len(der) < 2:
        raise ValueError("short element")
    length, start = der[1], 2
    if length & 0x80:
        start += length & 0x7F
        if start > 4:
            raise ValueError("long element")
        length = int.from_bytes(der[2:start], "big")
    if len(der) < start + length:
        raise ValueError("short element")
    return der[0], der[start : start + length], der[start + length :]
