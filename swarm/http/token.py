"""The token that lets others than this machine read what is served."""

from __future__ import annotations

import re
import secrets
from pathlib import Path

from btard.errors import UserError

_TOKEN = re.compile(r"^[A-Za-z0-9_-]{16,128}$")


def make_token() -> str:
    """Return a token that nobody can guess."""
    return secrets.token_urlsafe(24)


def read_token(path: Path, flag: str) -> str:
    """Return the token of a file; `flag` is whose value the path is.

    Raises:
        UserError: it cannot be read, or holds no token.
    """
    try:
        text = path.read_text(encoding="ascii")[:1024].strip()
    except OSError as error:
        raise UserError(f"{flag} {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        text = ""
    if not _TOKEN.match(text):
        raise UserError(f"{flag} {path} must hold 16 to 128 letters, digits, - and _, and nothing else")
    return text
