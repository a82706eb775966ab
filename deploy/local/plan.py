"""The processes of a local swarm: where each runs, under which key, and with which words."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import yaml

from btard.byzantine.installed import check_installed
from btard.configuration import installed_settings
from btard.configuration.options import settings_of
from btard.coordinator.local_facts import check_rule
from btard.deploy.local.messages import Start, Wave
from btard.deploy.local.settings import SwarmSettings
from btard.errors import UserError
from btard.hashing import tagged_digest
from btard.identity import IdentityKey, PeerId
from btard.round.rules import NONCE_SIZE
from btard.swarm.events.reading import EVENTS_FILE
from btard.swarm.local_facts import check_ports, check_served
from btard.swarm.members import read_members
from btard.tasks.checkpoint_record import CheckpointRecord
from btard.tasks.registry import check_task, chosen_task, import_target
from btard.vocabulary import NO_ATTACK

HOST = "127.0.0.1"
COORDINATOR = "coordinator"
COLLUDERS = "colluders"
"""The directory of a run in which its Byzantine peers meet."""

REFRESH_SECONDS = 0.5
"""Seconds between the coordinator's looks at the swarm: short, since short runs wait for its first and last one."""

GIVE_UP_SECONDS = 60.0
"""Seconds after which a peer ends when most are gone: the launcher starts none of them again."""

CONFIG_FILE = "config.yaml"
"""In the directory of a run: its settings."""

_MAY_CHANGE = frozenset({"directory", "port", "dashboard", "dashboard_token_file"})
"""Settings that a run may go on with others of."""

_COORDINATOR_TARGET = "btard.coordinator.daemon:run"
_SINGLE_THREADED = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
}
_PEER_TARGET = "btard.pipeline.live.daemon:run"
_COMMON = [
    "btard.peer.daemon",
    "btard.peer.assembly",
    "btard.coordinator.daemon",
    "btard.coordinator.assembly",
    "btard.byzantine.selection",
    "uvloop",
    "hivemind",
    # What the modules above import only when they are used; torch._dynamo is the first optimizer's second of imports.
    "hivemind.utils.multiaddr.codecs.cid",
    "hivemind.utils.multiaddr.codecs.ip4",
    "hivemind.utils.multiaddr.codecs.uint16be",
    "torch._dynamo",
    "torch.profiler",
]


@dataclass(frozen=True)
class Member:
    """A program of the swarm.

    Attributes:
        name: of its directory, its log and its row.
        directory: its own.
        peer_id: derived from the swarm's seed.
        attack: its ATTACK_TYPE.
    """

    name: str
    directory: Path
    peer_id: PeerId
    attack: str = NO_ATTACK

    @property
    def honest(self) -> bool:
        """Whether it never lies."""
        return self.attack == NO_ATTACK

    @property
    def identity(self) -> Path:
        """Its key file, where the daemons look for it."""
        return self.directory / "identity.key"

    @property
    def events(self) -> Path:
        """What it writes of what happens."""
        return self.directory / EVENTS_FILE

    @property
    def log(self) -> Path:
        """Its standard output and error."""
        return self.directory / "log.txt"


@dataclass(frozen=True)
class SwarmPlan:
    """A swarm, ready to be started.

    Attributes:
        settings: as given.
        directory: the run's.
        port: of the coordinator's DHT.
        coordinator: the first peer, which does not train.
        peers: those that train, the Byzantine ones last.
    """

    settings: SwarmSettings
    directory: Path
    port: int
    coordinator: Member
    peers: tuple[Member, ...]

    @property
    def members(self) -> tuple[Member, ...]:
        """Everybody, in starting order."""
        return (self.coordinator, *self.peers)

    @property
    def preload(self) -> list[str]:
        """What the nursery imports before it forks."""
        return [*_COMMON, import_target(chosen_task(self.settings.task).name)]

    def environment(self) -> dict[str, str]:
        """Return the environment of all programs: this process's own, without any setting of our programs.

        A variable that was meant for `btard swarm`, such as ATTACK_TYPE, must not turn the honest peers.
        """
        ours = {v for cls in installed_settings().values() for s in settings_of(cls).values() for v in s.environment}
        kept = {name: value for name, value in os.environ.items() if name not in ours and name != "BTARD_CONFIG"}
        # Libraries read these while the nursery imports them; threads that they started would not survive a fork.
        return kept | _SINGLE_THREADED | {"PYTHONUNBUFFERED": "1"}

    def start_coordinator(self) -> Start:
        """Return how the coordinator starts."""
        return _start(self.coordinator, _COORDINATOR_TARGET, self._coordinator_words(), {}, Wave.COORDINATOR)

    def start_peer(self, peer: Member) -> Start:
        """Return how a peer starts; a Byzantine one is an ordinary peer with another environment."""
        settings = self.settings
        words = [
            *("--initial-peers", f"/ip4/{HOST}/tcp/{self.port}/p2p/{self.coordinator.peer_id}"),
            *("--directory", str(peer.directory), "--host", HOST),
            *("--device", "cpu", "--threads", str(settings.threads)),
            *("--give-up-after", str(GIVE_UP_SECONDS)),
            *(() if settings.link is None else ("--link", settings.link)),
        ]
        attack: dict[str, str] = {}
        if not peer.honest:
            attack = {
                "ATTACK_TYPE": peer.attack,
                "ATTACK_START": str(settings.attack_start),
                "ATTACK_EVERY": str(settings.attack_every),
                "ATTACK_PROBA": str(settings.attack_proba),
                "MAX_ATTACKS": str(settings.max_attacks),
                "DIRECTION_SEED": str(settings.direction_seed),
                "DELAY_STEPS": str(settings.delay_steps),
                "EPSILON": str(settings.epsilon),
                "NOISE_STD": str(settings.noise_std),
                "ATTACK_DELAY": str(settings.attack_delay),
                "ATTACK_DIRECTORY": str(peer.directory),
                "COLLUDE_AT": str(self.directory / COLLUDERS),
            }
            if settings.check_proba is not None:
                attack["CHECK_PROBA"] = str(settings.check_proba)
        return _start(peer, _PEER_TARGET, words, attack, Wave.PEERS)

    def _coordinator_words(self) -> list[str]:
        s = self.settings
        given: dict[str, object] = {
            "--experiment": s.experiment,
            "--directory": self.coordinator.directory,
            "--host": HOST,
            "--dht-port": self.port,
            "--task": s.task,
            "--size": s.size,
            "--batch-size": s.batch_size,
            "--total-steps": s.steps,
            "--learning-rate": s.learning_rate,
            "--warmup-steps": s.warmup_steps,
            "--rule": s.rule,
            "--tau": s.tau,
            "--momentum": s.momentum,
            "--clip": s.clip,
            "--validators": s.validators,
            "--auditors": s.auditors,
            "--validation": s.validation.value,
            "--eliminate": s.eliminate.value,
            "--probation": s.probation,
            "--peers": s.peers,
            "--seed": s.seed,
            # Randomness is bound to the run's name, and the same seed has to give the same run.
            "--nonce": tagged_digest("btard local swarm run", s.seed.to_bytes(8, "big"))[:NONCE_SIZE].hex(),
            "--checkpoint-every": s.checkpoint_every,
            "--commit-timeout": s.commit_timeout,
            "--scatter-timeout": s.exchange_timeout,
            "--gather-timeout": s.exchange_timeout,
            "--agree-timeout": s.agree_timeout,
            "--settle-timeout": s.settle_timeout,
            "--slowest": s.slowest,
            "--refresh-period": REFRESH_SECONDS,
            "--dashboard": s.dashboard,
            "--dashboard-token-file": s.dashboard_token_file.absolute() if s.dashboard_token_file else None,
            "--members": s.members.absolute() if s.members else None,
        }
        if s.initial_state is not None:
            given["--initial-state"] = s.initial_state.absolute()
        words = [word for flag, value in given.items() if value is not None for word in (flag, str(value))]
        return [*words, *(["--checkpoint-at", *map(str, s.checkpoint_at)] if s.checkpoint_at else [])]


def make_plan(settings: SwarmSettings) -> SwarmPlan:
    """Check the settings, make the directories and write the keys.

    Raises:
        UserError: what the coordinator or a peer would refuse, as far as it is known before they start; a directory
            that holds another run or is not writable; a port that is taken.
    """

    _check_local_facts(settings)
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    directory = (settings.directory or Path("runs") / f"{settings.experiment}-{stamp}").absolute()
    honest = settings.peers - settings.byzantine
    attacks = [NO_ATTACK] * honest + [settings.attack[i % len(settings.attack)] for i in range(settings.byzantine)]
    try:
        _check_goes_on(settings, directory)
        coordinator = _member(settings.seed, directory, COORDINATOR, NO_ATTACK)
        names = _peer_names(settings.peers)
        peers = [_member(settings.seed, directory, name, attack) for name, attack in zip(names, attacks, strict=True)]
    except OSError as error:
        raise UserError(f"cannot write into {directory}: {error.strerror}; give another --directory") from None
    return SwarmPlan(settings, directory, settings.port or free_port(), coordinator, tuple(peers))


def _peer_names(count: int) -> list[str]:
    width = len(str(count - 1))
    return [f"peer-{number:0{width}}" for number in range(count)]


def _check_listed(settings: SwarmSettings, path: Path) -> None:
    """Check that a closed group has room for the swarm's own peers; raises UserError, which says what is missing."""
    listed = read_members(path, 1)
    own = {name: str(local_key(settings.seed, name).peer_id) for name in _peer_names(settings.peers)}
    missing = [f"{peer} # {name}" for name, peer in own.items() if peer not in listed]
    if missing:
        raise UserError(
            f"--members {path} lists {len(own) - len(missing)} of the {len(own)} peers that this swarm starts with "
            f"--seed {settings.seed}; add these lines: {', '.join(missing)}"
        )


def _check_goes_on(settings: SwarmSettings, directory: Path) -> None:
    """Look whether a directory is free, or holds a run of these settings that is not over: it goes on where it was.

    Raises:
        UserError: neither.
        OSError: it cannot be read.
    """
    if not (directory / COORDINATOR / EVENTS_FILE).exists():
        return
    from btard.coordinator.run_directory import RunDirectory  # which imports torch: seconds

    way = "give another --directory, or leave it away"
    if RunDirectory(directory / COORDINATOR).finished:
        raise UserError(f"{directory} holds a run that is over; {way}")
    config = directory / CONFIG_FILE
    try:
        before = yaml.safe_load(config.read_text(encoding="utf-8"))
    except (FileNotFoundError, yaml.YAMLError):
        before = None
    now = settings.model_dump(mode="json")
    if not isinstance(before, dict):
        raise UserError(f"{directory} holds a run, but {config} does not say by which settings; {way}")
    changed = sorted(name for name in now if name not in _MAY_CHANGE and before.get(name) != now[name])
    if changed:
        flags = ", ".join("--" + name.replace("_", "-") for name in changed)
        raise UserError(f"{directory} holds a run with another {flags}: give --config {config} to go on, or {way}")


def _check_local_facts(settings: SwarmSettings) -> None:
    """Check at once what programs of the swarm would say minutes later, each in a log of its own; raises UserError."""
    task = check_task(settings.task, settings.size)
    for attack in settings.attack:
        check_installed(attack, "--attack")
    if settings.initial_state is not None:
        record = CheckpointRecord.read(settings.initial_state)
        record.check(settings.initial_state, task.name, settings.size)
        record.check_step(settings.initial_state, settings.steps, "--steps")
    if settings.members is not None:
        _check_listed(settings, settings.members)
    check_ports(HOST, {"--port": settings.port}, {"--dashboard": settings.dashboard}, None)
    check_served(settings.dashboard, settings.dashboard_token_file, "--dashboard")
    check_rule(settings.rule, settings.tau, settings.peers, settings.auditors)


def local_key(seed: int, name: str) -> IdentityKey:
    """Return the key of a member of a local swarm. The seed gives it away: never use it among strangers."""
    return IdentityKey.from_seed(tagged_digest("btard local swarm key", seed.to_bytes(8, "big"), name.encode()))


def free_port() -> int:
    """Return a TCP port of the loopback interface that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def listens(port: int) -> bool:
    """Return whether somebody listens on a TCP port of the loopback interface."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((HOST, port)) == 0


def _member(seed: int, directory: Path, name: str, attack: str) -> Member:
    key = local_key(seed, name)
    member = Member(name, directory / name, key.peer_id, attack)
    member.directory.mkdir(parents=True, exist_ok=True)
    if not member.identity.exists():
        key.save(member.identity)
    elif IdentityKey.load_or_create(member.identity).peer_id != key.peer_id:
        raise UserError(f"{member.directory} belongs to a swarm of another seed; give another --directory")
    return member


def _start(member: Member, target: str, argv: list[str], environment: dict[str, str], wave: Wave) -> Start:
    return Start(
        name=member.name,
        target=target,
        argv=argv,
        environment=environment,
        log=str(member.log),
        identity=str(member.identity),
        wave=wave,
    )
