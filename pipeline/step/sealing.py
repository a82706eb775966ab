"""How a step becomes binding: pledges before it, seals after its rows, and the draw that the seals make.

A stage pledges what it holds and the end of a chain of hashes before a step; each attempt's seal uncovers one more
link. A stage sends it once it has what it needs to step: by then all have said what they have to say, so no liar knows
before its lie by which stage it will be checked. A stage that withholds its seal, because it dislikes the draw, is
missed, and loses its seat as any that is lost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from btard.hashing import DIGEST_SIZE, digest, tagged_digest
from btard.identity import IdentityKey
from btard.identity.codec import encode
from btard.pipeline.choices import CheckMode
from btard.pipeline.justice.facts import PlanFacts
from btard.pipeline.machine.context import StageContext
from btard.pipeline.machine.messages import MAX_ATTEMPTS, StageMessage, StageMessageKind
from btard.pipeline.step.lineup import Lineup
from btard.tasks.base import Batch
from btard.tasks.randomness import SeededDraws
from btard.tensors import bytes_of

NOBODY = 0xFFFF
"""In place of the stage that a seal wants to be looked at."""


def secret_chain(key: IdentityKey, run: bytes, step: int) -> list[bytes]:
    """Return a step's chain, the pledged end first: each link is the digest of the next one."""
    link = digest(key.sign(b"btard pipeline share of randomness\0" + encode([run, step])))
    chain = [link]
    for _ in range(MAX_ATTEMPTS):
        chain.append(digest(chain[-1]))
    return chain[::-1]


def opens(pledged: bytes, link: bytes, attempt: int) -> bool:
    """Whether a link is the one that an attempt's seal uncovers of a pledged chain."""
    for _ in range(attempt + 1):
        link = digest(link)
    return link == pledged


@dataclass(frozen=True, slots=True)
class Pledge:
    """What a stage commits to before a step, 32 bytes each.

    Attributes:
        state: `StageState.digest`.
        chain: the end of its chain.
        batches: digest of the step's micro-batches.
        facts: digest of the `PlanFacts` by which it wants to be judged.
    """

    state: bytes
    chain: bytes
    batches: bytes
    facts: bytes

    def encode(self) -> bytes:
        """Return the payload."""
        return self.state + self.chain + self.batches + self.facts

    @classmethod
    def decode(cls, payload: bytes) -> Pledge:
        """Read a payload, whose length has been checked."""
        return cls(*(payload[at : at + DIGEST_SIZE] for at in range(0, 4 * DIGEST_SIZE, DIGEST_SIZE)))


def batches_digest(batches: Sequence[Batch], samples: Sequence[Sequence[int]]) -> bytes:
    """Return the digest of a step's micro-batches: names, dtypes, shapes and bytes of all tensors, and samples' ids."""
    fields = [encode([list(ids) for ids in samples])]
    for batch in batches:
        for name in sorted(batch.tensors):
            tensor = batch.tensors[name].cpu()
            fields += [name.encode(), str(tensor.dtype).encode(), encode(list(tensor.shape)), bytes(bytes_of(tensor))]
    return tagged_digest("btard pipeline batches", *fields)


def draw_audits(
    seed: bytes, lineup: Lineup, mode: CheckMode, share: float, flagged: Sequence[int] = ()
) -> dict[int, int]:
    """Return which stages' steps are computed again, and by which stage each.

    Args:
        seed: 32 bytes that no stage knew while it could still lie.
        lineup: of the attempt.
        mode: how stages check; where they hold duplicates only the ends are drawn.
        share: probability that a stage is drawn.
        flagged: stages that others want to be looked at.
    """
    ends = (0, lineup.stages - 1)
    audited = {}
    for stage in lineup.live:
        draws, able = SeededDraws(seed), [other for other in lineup.live if other != stage]
        drawn = (mode is CheckMode.DRAWN or stage in ends) and draws.uniform(f"audit {stage}", 1)[0] < share
        if able and (drawn or stage in flagged):
            audited[stage] = able[int(draws.integers(f"auditor {stage}", 1, len(able))[0])]
    return audited


@dataclass
class Sealing:
    """Pledges and seals of one stage.

    Attributes:
        context: of the stage.
        facts: of the plan, as pledged.
        wanted: what is missing.
    """

    context: StageContext
    facts: PlanFacts
    wanted: list[tuple[StageMessageKind, int, int]] = field(default_factory=list)

    def pledge(self) -> None:
        """Commit to what is held before a step."""
        context = self.context
        self._chain = secret_chain(context.key, context.plan.run, context.step)
        self._batches = batches_digest(context.batches, context.plan.ids(context.step))
        state = context.behaviour.pledge(context.place(), context.worker.state().digest)
        payload = Pledge(state, self._chain[0], self._batches, self.facts.digest).encode()
        context.send(StageMessageKind.PLEDGE, context.others(), payload)

    def pledges(self) -> Mapping[int, StageMessage] | None:
        """Return the pledges of all, None while one is missing or is about another step than everybody's."""
        context = self.context
        found = {}
        for stage in [*context.others(), context.number]:
            message = context.inbox.find(0, StageMessageKind.PLEDGE, stage) if stage != context.number else self._own
            if message is not None and self.is_ours(message):
                found[stage] = message
        self.wanted = [(StageMessageKind.PLEDGE, stage, 0) for stage in context.others() if stage not in found]
        return None if self.wanted else found

    @property
    def _own(self) -> StageMessage | None:
        return self.context.sent_at((self.context.step, 0), StageMessageKind.PLEDGE)

    def is_ours(self, message: StageMessage) -> bool:
        """Whether a pledge is about the plan and the micro-batches of this stage."""
        told = Pledge.decode(message.payload)
        return (told.batches, told.facts) == (self._batches, self.facts.digest)

    def seal(self, flagged: int | None) -> None:
        """Uncover the attempt's link, and name a stage that should be looked at."""
        context = self.context
        link = self._chain[context.attempt + 1]
        told = NOBODY if flagged is None else flagged
        context.send(StageMessageKind.SEAL, context.others(), link + told.to_bytes(2, "big"))

    def draw(self, pledges: Mapping[int, StageMessage]) -> dict[int, int] | None:
        """Return the audits of the attempt, None while a seal is missing or does not open its pledge."""
        context, links, flagged = self.context, [], set[int]()
        self.wanted = []
        for stage in sorted(pledges):
            message = context.find(StageMessageKind.SEAL, stage)
            link = b"" if message is None else message.payload[:DIGEST_SIZE]
            if message is None or not opens(Pledge.decode(pledges[stage].payload).chain, link, context.attempt):
                self.wanted.append((StageMessageKind.SEAL, stage, 0))
                continue
            links.append(link)
            flagged.add(int.from_bytes(message.payload[DIGEST_SIZE:], "big"))
        if self.wanted:
            return None
        seed = tagged_digest("btard pipeline draw", context.plan.run, encode([context.step, context.attempt]), *links)
        return draw_audits(seed, context.lineup, context.plan.mode, context.plan.share, sorted(flagged - {NOBODY}))
