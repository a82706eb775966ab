"""`up`: makes what is missing, then keeps the fleet as it is wanted until the run or its time is over."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import yaml
from pydantic import ValidationError
from rich.console import Console

from btard.byzantine.settings import BehaviourSettings
from btard.configuration.options import settings_of
from btard.coordinator.settings import CoordinatorSettings
from btard.deploy.aws.bucket import next_generation
from btard.deploy.aws.cloud import Cloud
from btard.deploy.aws.costs import Estimate, estimate
from btard.deploy.aws.errors import CloudError
from btard.deploy.aws.fleet import HONEST, Machine, MachineRole, Spec, Wanted, now, total_cost
from btard.deploy.aws.interruption import Interrupted, Interruption
from btard.deploy.aws.logs import make_group
from btard.deploy.aws.machines import Machines, running_coordinator, wanted_of
from btard.deploy.aws.network import MachineNetwork
from btard.deploy.aws.reconcile import Decision, End, decide
from btard.deploy.aws.settings import UpSettings
from btard.deploy.aws.teardown import tear_down
from btard.errors import UserError

_OURS = ("experiment", "directory", "dht_port", "host", "peers", "announce", "initial_state", "wandb")
"""The coordinator's settings that the launcher gives by flags."""


def up(settings: UpSettings, console: Console) -> End:
    """Start a fleet, keep it, and terminate everything at the end; a fleet that is there already is taken over.

    Raises:
        UserError: it cannot be started, or is lost; everything has been terminated.
        KeyboardInterrupt: SIGINT or SIGTERM came; everything has been terminated.
    """
    cloud = Cloud(settings)
    config = coordinator_config(settings)
    behaviour_of(settings)
    costs = estimate(cloud, settings)
    confirm(costs, settings, console)
    return kept(settings, cloud, console, Launcher(settings, cloud, console, costs, config).run)


def kept(settings: UpSettings, cloud: Cloud, console: Console, run: Callable[[], End]) -> End:
    """Return what `run` returns, and terminate everything whatever happens.

    Raises:
        UserError: `run` raised it, or something could not be terminated.
        KeyboardInterrupt: SIGINT or SIGTERM came.
    """
    interruption = Interruption()
    with interruption.listening():
        try:
            try:
                return run()
            finally:
                interruption.disarm()
        except Interrupted:
            _say(console, "interrupted: everything of this experiment is being terminated; this takes a minute")
            raise KeyboardInterrupt from None
        finally:
            tear_down(cloud, settings, console)


class Launcher:
    """Brings a fleet up and keeps it; the caller tears it down.

    Args:
        settings: of `up`.
        cloud: the account.
        console: to tell what happens.
        costs: the estimate, whose prices the machines carry.
        config: the coordinator's settings as YAML.
    """

    def __init__(self, settings: UpSettings, cloud: Cloud, console: Console, costs: Estimate, config: str) -> None:
        self._settings = settings
        self._cloud = cloud
        self._console = console
        self._costs = costs
        self._config = config
        self._machines = Machines(cloud, settings.poll, settings.patience)
        self._last_complaint = ""

    def run(self, each_look: Callable[[list[Machine]], bool] = lambda _: False) -> End:
        """Keep the fleet until it ends; `each_look` may end it by True.

        Raises:
            UserError: a call failed for good.
        """
        spec = self._spec()
        found = self._machines.list()
        wanted = (wanted_of(found) if any(machine.alive for machine in found) else None) or self._wanted(found)
        while True:
            pause = self._settings.interval
            try:
                machines = self._machines.list()
                # Another command may have changed what is wanted; the tag counts, not what is remembered here.
                wanted = wanted_of([m for m in machines if m.alive]) or wanted
                decision = decide(wanted, machines, now(), restorable=spec.bucket is not None)
                if decision.end is not None:
                    return self._end(decision.end, machines)
                if each_look(machines):
                    return End.OVER
                started = self.act(decision, spec, wanted, machines)
                if started and any(start.role is MachineRole.COORDINATOR for start in decision.start):
                    self._machines.wait_running(started[0])
                    pause = 0.0
                else:
                    self._report(machines, wanted)
            except CloudError as error:
                # The machines go on without being looked at, and end by themselves at the time limit.
                if not error.passing:
                    raise
                self._complain(f"{error}; trying again every {self._settings.interval:g} s")
            time.sleep(pause)

    def _end(self, end: End, machines: list[Machine]) -> End:
        self._tell(f"{end}; the run has cost {total_cost(machines, now()):.2f} USD")
        if end is End.LOST:
            raise UserError(f"{end}; everything has been terminated")
        return end

    def act(self, decision: Decision, spec: Spec, wanted: Wanted, machines: list[Machine]) -> list[str]:
        """Do what was decided, and return the ids of what was started.

        What AWS cannot give now is told once and tried again at the next look.

        Raises:
            CloudError: anything that will not pass by itself.
        """
        for machine, why in decision.terminate:
            self._tell(f"terminating {machine.name} ({machine.id}): {why}")
        self._machines.terminate([machine.id for machine, _ in decision.terminate])
        coordinator = running_coordinator(machines, wanted)
        ids = []
        for start in decision.start:
            if start.replaces:
                self._tell(start.replaces)
            try:
                ids.append(self._machines.start(start, spec, wanted, coordinator))
                self._tell(f"started {start.name} ({ids[-1]})")
            except CloudError as error:
                if not error.passing:
                    raise
                self._complain(f"{error}; trying again every {self._settings.interval:g} s")
                break
        return ids

    def _spec(self) -> Spec:
        settings = self._settings
        network = MachineNetwork(self._cloud, settings)
        subnet = network.subnet()
        ami = self._ami()
        if settings.instance_profile is not None:
            make_group(self._cloud)
        given = settings.model_dump(include=set(Spec.model_fields))
        return Spec.model_validate(
            given
            | {
                "subnet": subnet,
                "security_group": network.security_group(subnet),
                "key_name": network.key(Path.cwd()),
                "ami": ami,
                "config": self._config,
                "coordinator_price": self._costs.coordinator,
                "worker_price": self._costs.worker,
            }
        )

    def _wanted(self, ended: list[Machine]) -> Wanted:
        """What is wanted at first; AWS shows machines that have ended for an hour, and they are no part of it."""
        settings = self._settings
        generation = max((machine.generation + 1 for machine in ended), default=0)
        if settings.bucket is not None:
            generation = max(generation, next_generation(self._cloud, settings.bucket))
        return Wanted(
            workers=settings.workers,
            attackers=settings.attackers,
            behaviour=behaviour_of(settings) if settings.attackers else HONEST,
            generation=generation,
            expires=now() + timedelta(hours=settings.time_limit),
        )

    def _ami(self) -> str:
        kind, _, name = self._settings.ami.partition(":")
        if kind != "ssm":
            return self._settings.ami
        with self._cloud.doing(f"look up the machine image {name}"):
            answer = self._cloud.client("ssm").get_parameter(Name=name)
        ami: str = answer["Parameter"]["Value"]
        return ami

    def _report(self, machines: list[Machine], wanted: Wanted) -> None:
        alive = [machine for machine in machines if machine.alive and machine.role is not MachineRole.COORDINATOR]
        attackers = sum(machine.role is MachineRole.ATTACKER for machine in alive)
        left = max(timedelta(), wanted.expires - now())
        text = (
            f"{len(alive)} of {wanted.workers} peers, {attackers} of them attackers; "
            f"{total_cost(machines, now()):.2f} USD so far; {left.total_seconds() / 3600:.1f} h left"
        )
        _say(self._console, f"{now():%H:%M:%S} {text}")

    def _tell(self, text: str) -> None:
        _say(self._console, f"{now():%H:%M:%S} {text}")

    def _complain(self, text: str) -> None:
        if text != self._last_complaint:
            self._last_complaint = text
            self._tell(text)


def behaviour_of(settings: BehaviourSettings) -> str:
    """Return the attackers' environment, with what differs from the defaults; raises UserError if it is none."""
    from importlib.metadata import entry_points

    known = entry_points(group="btard.behaviours").names
    if settings.attack_type not in known:
        raise UserError(f"--attack-type is {settings.attack_type!r}, but must be one of: {', '.join(sorted(known))}")
    words = [f"ATTACK_TYPE={settings.attack_type}"]
    for name, setting in settings_of(BehaviourSettings).items():
        value = getattr(settings, name)
        if name != "attack_type" and (value != setting.default or name == "attack_start"):
            words.append(f"{setting.environment[0]}={value}")
    if any(" " in word for word in words):
        raise UserError("the attackers' settings must be without blanks")
    text = " ".join(words)
    if len(text) > 256:
        raise UserError("the attackers' settings are longer than the 256 characters of a tag; change fewer of them")
    return text


def coordinator_config(settings: UpSettings) -> str:
    """Return the coordinator's settings as YAML, checked.

    Raises:
        UserError: the file cannot be read, or is no such file.
    """
    if settings.coordinator_config is None:
        return "{}\n"
    try:
        given = yaml.safe_load(settings.coordinator_config.read_text(encoding="utf-8")) or {}
        CoordinatorSettings.model_validate({"experiment": settings.experiment} | given)
    except OSError as error:
        raise UserError(f"{settings.coordinator_config} cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError, TypeError):
        raise UserError(f"{settings.coordinator_config} is no YAML file of the coordinator's settings") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the settings"
        raise UserError(f"{where} in {settings.coordinator_config}: {first['msg']}") from None
    return yaml.safe_dump({name: value for name, value in given.items() if name not in _OURS}, sort_keys=True)


def confirm(costs: Estimate, settings: UpSettings, console: Console) -> None:
    """Say what it will cost, and ask; raises UserError unless the answer is yes."""
    _say(console, costs.sentence)
    if settings.yes:
        return
    if not sys.stdin.isatty():
        raise UserError("nobody can be asked whether these costs are all right here; say --yes")
    if console.input("Start? [y/N] ", markup=False).strip().lower() not in ("y", "yes"):
        raise UserError("nothing was started")


def _say(console: Console, text: str) -> None:
    with suppress(BrokenPipeError):  # the reader may have gone; the machines still have to be ended
        console.print(text, highlight=False, soft_wrap=True, markup=False)
