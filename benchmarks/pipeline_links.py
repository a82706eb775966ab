"""A step of a pipeline over slow links: on the virtual clock, and by the clock of this machine.

    .venv/bin/python -m benchmarks.pipeline_links

Eight stages, micro-batches of GPT2-XL, GPipe. By the clock computing is emulated by waiting, and each stage's messages,
which have the true sizes and no contents, go through the shaped way out that a real peer has
(`btard.transport.libp2p.link`). The last column is how much longer the clock took than the virtual one said.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from dataclasses import replace

from btard.hashing import tagged_digest
from btard.identity import IdentityKey
from btard.lab.reproductions.staged.codec_figures import SETTINGS, published_step, published_work
from btard.pipeline.measures.timeline import StepShape, simulate_step
from btard.pipeline.schedule.order import BackwardPass, ForwardPass, StageAction
from btard.transport.libp2p.link import LinkQueue
from btard.transport.shaping import PRESETS, LinkConditions, Shaper

MOST_ITEMS = 4096


class _Stages:
    """The stages of one step, in real time."""

    def __init__(self, shape: StepShape) -> None:
        self._shape, self._stages = shape, len(shape.work)
        keys = [
            IdentityKey.from_seed(tagged_digest("btard benchmark", bytes([stage]))) for stage in range(self._stages)
        ]
        self._peers = [key.peer_id for key in keys]
        self._ways = [
            LinkQueue(Shaper(shape.link, bytes([stage])), most_items=MOST_ITEMS) for stage in range(self._stages)
        ]
        self._arrived: dict[tuple[int, StageAction], asyncio.Event] = {}

    async def run(self) -> float:
        """Do the step, and return how many seconds it took."""
        began = time.perf_counter()
        await asyncio.gather(*map(self._stage, range(self._stages)))
        return time.perf_counter() - began

    async def _stage(self, stage: int) -> None:
        work = self._shape.work[stage]
        for action in self._shape.order.actions(self._stages, stage, self._shape.micro_batches):
            match action:
                case ForwardPass():
                    if stage > 0:
                        await self._event(stage, action).wait()
                    await asyncio.sleep(work.forward_seconds)
                    self._send(stage, stage + 1, action, self._shape.forward_bytes)
                case BackwardPass():
                    if stage < self._stages - 1:
                        await self._event(stage, action).wait()
                    await asyncio.sleep(work.backward_seconds)
                    self._send(stage, stage - 1, action, self._shape.backward_bytes)

    def _send(self, stage: int, towards: int, action: StageAction, size: int) -> None:
        if 0 <= towards < self._stages:
            arrive = self._event(towards, action).set
            self._ways[stage].send(self._peers[towards], size, bulk=True, put=arrive, drop=_lost)

    def _event(self, stage: int, action: StageAction) -> asyncio.Event:
        return self._arrived.setdefault((stage, action), asyncio.Event())


def _lost() -> None:
    raise RuntimeError("a message was dropped, though the link loses none")


def measured(shape: StepShape) -> float:
    """Return the seconds of a step by the clock."""
    return asyncio.run(_Stages(shape).run())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--micro-batches", type=int, default=32)
    parser.add_argument("--links", nargs="+", default=[PRESETS[0], PRESETS[-1]])
    parser.add_argument("--codecs", nargs="+", default=["uncompressed", "4 bits forward, 8 back"])
    arguments = parser.parse_args()
    work = published_work()
    print(f"{'codecs':<34} {'link':>8} {'virtual':>9} {'real':>9} {'longer':>7}")
    for name in arguments.codecs:
        step = published_step(SETTINGS[name], PRESETS[0], work, arguments.micro_batches)
        for link in arguments.links:
            shape = replace(step, link=LinkConditions.parse(link))
            expected, found = simulate_step(shape).seconds, measured(shape)
            print(f"{name:<34} {link:>8} {expected:>7.2f} s {found:>7.2f} s {100 * (found / expected - 1):>5.1f} %")


if __name__ == "__main__":
    main()
