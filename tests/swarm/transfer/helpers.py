"""Peers that hand out a state chunk by chunk, each in its own way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from btard.outline import Outlined
from btard.swarm.questions import Question, Want
from btard.transport.libp2p import Busy, FetchError


@dataclass
class Server:
    """Answers for one peer.

    Attributes:
        outline: shown instead of the true one.
        change: what becomes of a chunk of this number.
        holds: keeps a chunk back until this is set.
        fails: breaks off, from this many chunks on.
        busy: how many questions it refuses before it answers any.
        chunks: which were asked for.
    """

    state: Outlined
    outline: bytes | None = None
    change: Callable[[int, bytes], bytes] = lambda index, data: data
    holds: asyncio.Event | None = None
    fails: int | None = None
    busy: int = 0
    chunks: list[int] = field(default_factory=list)

    async def __call__(self, request: bytes) -> bytes:
        """Answer a question about the state."""
        question = Question.decode(request)
        if self.busy:
            self.busy -= 1
            raise Busy("the peer is busy")
        await asyncio.sleep(0)
        if question.want is Want.STATE:
            return self.state.outline.encode() if self.outline is None else self.outline
        assert question.want is Want.CHUNK and question.known == self.state.outline.digest.hex()
        self.chunks.append(question.chunk)
        if self.fails is not None and len(self.chunks) > self.fails:
            raise FetchError("the stream broke")
        if self.holds is not None:
            await self.holds.wait()
        chunk = self.state.chunk(question.chunk)
        assert chunk is not None
        return self.change(question.chunk, bytes(chunk))
