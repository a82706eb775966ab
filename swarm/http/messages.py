"""As much of HTTP/1.1 as a read-only page needs: one GET a connection, everything else refused, everything bounded."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import parse_qsl

MAX_HEAD = 8 << 10
"""Bytes of a request with all its headers."""

_MAX_HEADERS = 64
_LINE = re.compile(rb"^([A-Z]{1,16}) (/[!-~]{0,1023}) HTTP/1\.[01]$")
_HEADER = re.compile(rb"^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([ -~\t]*?)[ \t]*$")
_PATH = re.compile(r"^/[A-Za-z0-9._/-]*$")


class BadRequest(Exception):
    """A request that is refused.

    Attributes:
        status: of the answer.
    """

    def __init__(self, status: HTTPStatus, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


@dataclass(frozen=True)
class Request:
    """A GET request.

    Attributes:
        path: as it came; nothing in it is decoded, and those that would need it are refused.
        query: the first value of each name.
        headers: by name in small letters.
    """

    path: str
    query: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def cookies(self) -> dict[str, str]:
        """The cookies by name; the first of a name counts."""
        found: dict[str, str] = {}
        for part in self.headers.get("cookie", "").split(";"):
            name, _, value = part.strip().partition("=")
            found.setdefault(name, value)
        return found


@dataclass(frozen=True)
class Response:
    """An answer that is sent as a whole."""

    status: HTTPStatus
    body: bytes = b""
    content_type: str = "text/plain; charset=utf-8"
    headers: tuple[tuple[str, str], ...] = ()


async def read_request(reader: asyncio.StreamReader, timeout_seconds: float) -> Request:
    """Read one request, whose last byte must come within `timeout_seconds`.

    Raises:
        BadRequest: it is no GET request that could be answered.
        EOFError: the client has gone.
        TimeoutError: it is too slow.
    """
    try:
        async with asyncio.timeout(timeout_seconds):
            head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        raise EOFError from None
    except asyncio.LimitOverrunError:
        raise BadRequest(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "the request is too long") from None
    return parse_request(head)


def parse_request(head: bytes) -> Request:
    """Return the request of bytes that end with an empty line; raises BadRequest."""
    first, *lines = head[:-4].split(b"\r\n")
    match = _LINE.match(first)
    if match is None:
        raise BadRequest(HTTPStatus.BAD_REQUEST, "this is no HTTP request")
    if match[1] != b"GET":
        raise BadRequest(HTTPStatus.METHOD_NOT_ALLOWED, "only GET is answered here")
    path, _, query = match[2].decode("ascii").partition("?")
    if not _PATH.match(path):
        raise BadRequest(HTTPStatus.NOT_FOUND, "there is no such page")
    headers = _headers(lines)
    if headers.get("content-length", "0") != "0" or "transfer-encoding" in headers:
        raise BadRequest(HTTPStatus.BAD_REQUEST, "a GET request has no body")
    try:
        pairs = parse_qsl(query, max_num_fields=8, errors="replace")
    except ValueError:
        raise BadRequest(HTTPStatus.BAD_REQUEST, "the query is too long") from None
    return Request(path, dict(reversed(pairs)), headers)


def _headers(lines: list[bytes]) -> dict[str, str]:
    if len(lines) > _MAX_HEADERS:
        raise BadRequest(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "there are too many headers")
    headers: dict[str, str] = {}
    for line in lines:
        match = _HEADER.match(line)
        if match is None:
            raise BadRequest(HTTPStatus.BAD_REQUEST, "a header is malformed")
        name = match[1].decode("ascii").lower()
        if name in headers and name in ("host", "content-length", "authorization"):
            raise BadRequest(HTTPStatus.BAD_REQUEST, f"there are two headers {name}")
        headers.setdefault(name, match[2].decode("ascii"))
    return headers


def encode_head(
    status: HTTPStatus, content_type: str, headers: tuple[tuple[str, str], ...], length: int | None
) -> bytes:
    """Return the head of an answer; a body of unknown length ends with the connection."""
    lines = [f"HTTP/1.1 {status.value} {status.phrase}", f"Content-Type: {content_type}", "Connection: close"]
    if length is not None:
        lines.append(f"Content-Length: {length}")
    lines += [f"{name}: {value}" for name, value in headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")
