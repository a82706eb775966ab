"""Guards what is served: readers on this machine need one of its own names, all others the token."""

from __future__ import annotations

import hmac
import re
from http import HTTPStatus

from btard.swarm.http.messages import Request, Response

SECURITY_HEADERS = (
    (
        "Content-Security-Policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Cache-Control", "no-store"),
)
"""Sent with every answer: nothing from elsewhere is loaded, and nothing here can be embedded elsewhere."""

_LOCAL_HOST = re.compile(r"^(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d{1,5})?$", re.IGNORECASE)
_FOREIGN = frozenset({"cross-site", "same-site"})


class Guard:
    """Decides about each request before anything else looks at it.

    Args:
        token: that must be shown; None lets in all that can connect, which only loopback may.
    """

    def __init__(self, token: str | None) -> None:
        self._token = token

    def check(self, request: Request) -> Response | None:
        """Return how to answer a request that must not be served, None for one that may.

        Without a token the Host header must name this machine: a page of a stranger whose name has been pointed at
        127.0.0.1 would otherwise be read by a browser as its own.
        """
        if self._token is None:
            if not _LOCAL_HOST.match(request.headers.get("host", "")):
                return Response(HTTPStatus.FORBIDDEN, b"open this page as http://127.0.0.1 or http://localhost\n")
            if request.headers.get("sec-fetch-site") in _FOREIGN and request.path != "/":
                return Response(HTTPStatus.FORBIDDEN, b"other sites cannot read this page\n")
            return None
        return None if self.shown(_bearer(request)) else self.without_token(request)

    def without_token(self, request: Request) -> Response | None:
        """Return how to answer a request that does not carry the token as programs do."""
        challenge = (("WWW-Authenticate", "Bearer"),)
        return Response(HTTPStatus.UNAUTHORIZED, b"send Authorization: Bearer and the token\n", headers=challenge)

    def shown(self, shown: str | None) -> bool:
        """Whether this is the token, in a time that does not depend on how much of it is right."""
        return self._token is not None and hmac.compare_digest((shown or "").encode(), self._token.encode())


class PageGuard(Guard):
    """A Guard for people, whose browser shows the token once in the address and then as a cookie.

    Args:
        port: of the server; browsers keep one cookie jar for all ports of a host.
    """

    def __init__(self, token: str | None, port: int) -> None:
        super().__init__(token)
        self._cookie = f"btard_{port}"

    def without_token(self, request: Request) -> Response | None:
        """Return None to a cookie that was given here, and the cookie to the token."""
        if self.shown(request.cookies.get(self._cookie)):
            return None
        if self.shown(request.query.get("token")):
            return self._enter()
        return Response(HTTPStatus.FORBIDDEN, b"open the address with ?token= and the token; the log tells which\n")

    def _enter(self) -> Response:
        """Trade the token for a cookie, so that it stays in no history and no log of a proxy."""
        cookie = f"{self._cookie}={self._token}; Path=/; HttpOnly; SameSite=Strict"
        return Response(HTTPStatus.SEE_OTHER, headers=(("Set-Cookie", cookie), ("Location", "/")))


def _bearer(request: Request) -> str:
    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    return credentials.strip() if scheme.lower() == "bearer" else ""
