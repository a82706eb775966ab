"""AWS for tests: moto's server in a process of its own, and a proxy before it that can make calls fail or wait."""

from __future__ import annotations

import subprocess
import sys
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from btard.deploy.local.plan import free_port
from tests.deploy.standins import eventually

_ERROR = "<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors></Response>"
_SKIPPED = {"host", "content-length", "connection", "transfer-encoding"}


class Moto:
    """A moto server."""

    def __init__(self) -> None:
        self.port = free_port()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        eventually(self._answers, "the start of moto")

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/moto-api/data.json", timeout=5):
                return True
        except OSError:
            return False

    def reset(self) -> None:
        """Forget everything."""
        urllib.request.urlopen(
            urllib.request.Request(f"http://127.0.0.1:{self.port}/moto-api/reset", method="POST"), timeout=30
        ).close()

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()


class Proxy:
    """Passes calls of EC2 on, unless a test wants otherwise.

    Attributes:
        url: where it listens.
        calls: how often each action came.
        refuse: asked with an action and its number, from 1 on; returns an error code, or nothing.
        after: told of an action and its number once it has been passed on, before its caller hears.
    """

    def __init__(self, moto: Moto) -> None:
        self.calls: Counter[str] = Counter()
        self.refuse: Callable[[str, int], str | None] = lambda action, number: None
        self.after: Callable[[str, int], None] = lambda action, number: None
        self._lock = threading.Lock()
        proxy, upstream = self, f"http://127.0.0.1:{moto.port}"

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                action = urllib.parse.parse_qs(body.decode(errors="replace")).get("Action", [self.path])[0]
                with proxy._lock:
                    proxy.calls[action] += 1
                    number = proxy.calls[action]
                code = proxy.refuse(action, number)
                if code is not None:
                    text = _ERROR.format(code=code, message="because a test wants it").encode()
                    return self._answer(503 if "Limit" in code else 400, text, {"Content-Type": "text/xml"})
                headers = {name: value for name, value in self.headers.items() if name.lower() not in _SKIPPED}
                headers["Host"] = self.headers["Host"]
                # urllib would call a body without a type a form, and moto would read it as one.
                headers.setdefault("Content-Type", "application/octet-stream")
                request = urllib.request.Request(upstream + self.path, body or None, headers, method=self.command)
                try:
                    with urllib.request.urlopen(request, timeout=60) as answer:
                        status, data, kept = answer.status, answer.read(), dict(answer.headers)
                except urllib.error.HTTPError as error:
                    status, data, kept = error.code, error.read(), dict(error.headers)
                proxy.after(action, number)
                self._answer(status, data, kept)
                return None

            do_GET = do_POST = do_PUT = do_HEAD = do_DELETE = handle_any  # noqa: N815

            def _answer(self, status: int, data: bytes, headers: dict[str, str]) -> None:
                self.send_response(status)
                for name, value in headers.items():
                    if name.lower() not in _SKIPPED:
                        self.send_header(name, value)
                # The answer to HEAD tells the length of what it does not carry.
                self.send_header("Content-Length", headers.get("Content-Length", str(len(data))))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                pass  # a launcher that was killed does not wait for its answer

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
