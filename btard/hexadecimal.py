"""Bytes as hexadecimal text, in records, files and settings."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

HexDigest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
"""A BLAKE3 digest."""

HexName = Annotated[str, Field(pattern="^[0-9a-f]{32}$")]
"""16 bytes: the name of a run, or the nonce in it."""
