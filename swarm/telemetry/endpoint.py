"""The endpoint that Prometheus reads: /metrics, and nothing else."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path

from prometheus_client import CollectorRegistry, disable_created_metrics
from prometheus_client.exposition import generate_latest

from btard.swarm.http.address import Address, bind
from btard.swarm.http.guard import Guard
from btard.swarm.http.messages import Request, Response
from btard.swarm.http.server import Connection, HttpServer
from btard.swarm.http.token import read_token

logger = logging.getLogger(__name__)

PATH = "/metrics"
_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def exposition(registry: CollectorRegistry) -> bytes:
    """Return all metrics in Prometheus' text format."""
    # Else a counter comes with a second series, the time of its creation, which nothing here needs.
    disable_created_metrics()
    return generate_latest(registry)


class MetricsEndpoint:
    """A port that is taken already, so that a bad one is known before anything long begins.

    Args:
        text: where to listen, `:PORT` or `HOST:PORT`.
        token_file: of the token that must be sent as `Authorization: Bearer`; None lets this machine's programs in.

    Raises:
        UserError: nothing can listen there, or the token cannot be had.
    """

    def __init__(self, text: str, token_file: Path | None) -> None:
        self._token = read_token(token_file, "--metrics-token-file") if token_file is not None else None
        self._socket, self.address = bind(Address.parse(text), "--metrics")

    def close(self) -> None:
        """Give the port back, if `serving` has not."""
        self._socket.close()

    @asynccontextmanager
    async def serving(self, registry: CollectorRegistry) -> AsyncIterator[None]:
        """Serve these metrics; the address goes to the log."""

        async def answer(request: Request, connection: Connection) -> None:
            if request.path != PATH:
                await connection.send(Response(HTTPStatus.NOT_FOUND, f"metrics are at {PATH}\n".encode()))
                return
            await connection.send(Response(HTTPStatus.OK, exposition(registry), _CONTENT_TYPE))

        server = HttpServer("the metrics endpoint", Guard(self._token), answer)
        await server.start(self._socket)
        needs = "; it asks for the token of --metrics-token-file" if self._token is not None else ""
        logger.info("metrics %s%s%s", self.address.url.rstrip("/"), PATH, needs)
        try:
            yield
        finally:
            await server.close()
