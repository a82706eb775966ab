"""What a fleet is: what is wanted, what is there, and the tags that hold both."""

from __future__ import annotations

import base64
import zlib
from datetime import UTC, datetime
from enum import StrEnum
from itertools import pairwise

from pydantic import BaseModel, ConfigDict, Field

from btard.deploy.aws.settings import Addresses

MANAGED = "btard:experiment"
"""The tag that everything carries; its value is the experiment."""

HONEST = "ATTACK_TYPE=NONE"
_SPEC_MARK = "# btard fleet: "


class Tag(StrEnum):
    """The tags of what belongs to an experiment."""

    EXPERIMENT = MANAGED
    ROLE = "btard:role"
    SLOT = "btard:slot"
    GENERATION = "btard:generation"
    BEHAVIOUR = "btard:behaviour"
    PRICE = "btard:price"
    EARLIER = "btard:earlier-cost"
    WANTED = "btard:wanted"
    NAME = "Name"


class MachineRole(StrEnum):
    """What a machine is for."""

    COORDINATOR = "coordinator"
    WORKER = "worker"
    ATTACKER = "attacker"


class State(StrEnum):
    """The states of an EC2 instance."""

    PENDING = "pending"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    SHUTTING_DOWN = "shutting-down"
    TERMINATED = "terminated"


ALIVE = frozenset({State.PENDING, State.RUNNING})
ENDED = frozenset({State.SHUTTING_DOWN, State.TERMINATED})

DONE = "Client.InstanceInitiatedShutdown"
"""Why a machine ended that switched itself off: its program is done, its peer banned, or its time over."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Wanted(_Frozen):
    """What `attack` may change while a run goes on; a tag of the coordinator.

    Attributes:
        workers: peers, attackers included.
        attackers: the last of them.
        behaviour: the attackers' environment, as `ATTACK_TYPE=SIGN_FLIPPING ATTACK_START=1000`.
        generation: machines of another one are replaced.
        checkpoint: a step whose checkpoint in the bucket this generation begins with.
        expires: when everything ends.
    """

    workers: int = Field(ge=1)
    attackers: int = Field(ge=0)
    behaviour: str = HONEST
    generation: int = 0
    checkpoint: int | None = None
    expires: datetime

    def role_of(self, slot: int) -> MachineRole:
        """Return what the peer of a slot is."""
        return MachineRole.ATTACKER if slot >= self.workers - self.attackers else MachineRole.WORKER

    def behaviour_of(self, role: MachineRole) -> str:
        """Return the environment of a peer."""
        return self.behaviour if role is MachineRole.ATTACKER else HONEST


class Spec(_Frozen):
    """What does not change during a run; the coordinator's user data carries it. There is no secret in it.

    Attributes:
        config: the coordinator's settings as YAML.
        prices: USD an hour, of the coordinator and of a worker.
    """

    experiment: str
    region: str
    ami: str
    worker_type: str
    coordinator_type: str
    spot: bool
    max_price: float | None
    disk: int
    root_device: str
    gpu: bool
    instance_profile: str | None
    subnet: str
    security_group: str
    key_name: str | None
    addresses: Addresses
    coordinator_image: str
    peer_image: str
    config: str
    wandb_secret: str | None
    bucket: str | None
    initial_state: str | None
    coordinator_price: float
    worker_price: float

    def packed(self) -> str:
        """Return a line for user data that `unpacked` reads."""
        data = zlib.compress(self.model_dump_json().encode(), 9)
        return _SPEC_MARK + base64.b64encode(data).decode()

    @classmethod
    def unpacked(cls, user_data: str) -> Spec | None:
        """Return the spec that a coordinator's user data carries, None if it carries none."""
        for line in user_data.splitlines():
            if line.startswith(_SPEC_MARK):
                return cls.model_validate_json(zlib.decompress(base64.b64decode(line.removeprefix(_SPEC_MARK))))
        return None

    def price_of(self, role: MachineRole) -> float:
        """Return what a machine of this role costs an hour."""
        return self.coordinator_price if role is MachineRole.COORDINATOR else self.worker_price


class Machine(_Frozen):
    """An instance of the experiment, dead ones included as long as AWS shows them.

    Attributes:
        slot: -1 for the coordinator.
        earlier: what the machines cost that were in the slot before.
        why: the code of the reason why it ended.
        ended: when, if AWS says so.
    """

    id: str
    role: MachineRole
    slot: int
    generation: int
    behaviour: str
    state: State
    why: str = ""
    launched: datetime
    ended: datetime | None = None
    price: float = 0.0
    earlier: float = 0.0
    kind: str = ""
    private_ip: str | None = None
    public_ip: str | None = None
    spot_request: str | None = None
    wanted: Wanted | None = None

    @property
    def alive(self) -> bool:
        """Whether it runs, or will."""
        return self.state in ALIVE

    @property
    def name(self) -> str:
        """What people call it."""
        return name_of(self.role, self.slot)

    def cost(self, now: datetime) -> float:
        """Return what this machine has cost until now, by the price at which it was started."""
        end = self.ended or now
        return self.price * max(0.0, (end - self.launched).total_seconds()) / 3600


def name_of(role: MachineRole, slot: int) -> str:
    """Return what people call a machine: coordinator, worker-3, attacker-15."""
    return role.value if role is MachineRole.COORDINATOR else f"{role.value}-{slot}"


def by_slot(machines: list[Machine]) -> dict[int, list[Machine]]:
    """Return the machines of each slot, the latest last; slot -1 is the coordinator's."""
    found: dict[int, list[Machine]] = {}
    for machine in sorted(machines, key=lambda machine: (machine.launched, machine.id)):
        found.setdefault(machine.slot, []).append(machine)
    return found


def chain_cost(chain: list[Machine], now: datetime) -> float:
    """Return what the machines of one slot have cost: those that AWS shows, and what the oldest of these says of those
    before it."""
    if not chain:
        return 0.0
    # AWS does not tell of every loss when it happened, but then the next machine was started soon.
    ends = [machine.ended or later.launched for machine, later in pairwise(chain)]
    return chain[0].earlier + sum(m.cost(end) for m, end in zip(chain, [*ends, now], strict=True))


def total_cost(machines: list[Machine], now: datetime) -> float:
    """Return what the experiment has cost, by the prices at which its machines were started."""
    return sum(chain_cost(chain, now) for chain in by_slot(machines).values())


def now() -> datetime:
    """Return the time, with its zone."""
    return datetime.now(UTC)
