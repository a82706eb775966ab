"""What can be wrong with a coordinator's settings on this machine, before anything long begins."""

from __future__ import annotations

from btard.coordinator.settings import DEFAULT_TAU, CoordinatorSettings
from btard.errors import UserError
from btard.round.rules import AggregationRules
from btard.swarm.addresses import announce_maddrs
from btard.swarm.local_facts import check_can_be_made, check_corpus, check_ports, check_wandb
from btard.swarm.members import read_members
from btard.swarm.tolerance import Tolerance
from btard.tasks.checkpoint_record import CheckpointRecord
from btard.tasks.registry import check_task

_DEFAULT_RULE = CoordinatorSettings.model_fields["rule"].default


def check_rule(rule: str, tau: float | None, peers: int, auditors: int | None) -> None:
    """Check a rule's parameters, and that so many peers can aggregate by it. Imports torch, but for the default rule.

    Args:
        rule, tau, peers, auditors: the settings of these names.

    Raises:
        UserError: a parameter is wrong, or two settings contradict each other.
    """
    if rule == _DEFAULT_RULE and auditors is None:
        return
    from btard.aggregation import rule_and_tau
    from btard.round.aggregates import check_aggregation

    text, radius = rule_and_tau(rule, tau, DEFAULT_TAU)
    check_aggregation(AggregationRules(text, radius, peers), auditors)


def check_local_facts(settings: CoordinatorSettings) -> None:
    """Check all that is known without torch, a process or another machine, and make nothing.

    Raises:
        UserError: something is missing, taken, or contradicts something else.
    """
    announce_maddrs(settings.announce, settings.dht_port)
    task = check_task(settings.task, settings.size)
    check_corpus(settings.data, settings.tokenizer, settings.cache_dir)
    if settings.tolerance is not None:
        Tolerance.read(settings.tolerance, str(task), settings.size)
    if settings.members is not None:
        read_members(settings.members, settings.peers)
    if settings.initial_state is not None:
        record = CheckpointRecord.read(settings.initial_state)
        record.check(settings.initial_state, task.name, settings.size)
        record.check_step(settings.initial_state, settings.total_steps, "--total-steps")
    check_wandb(settings.wandb)
    served = {"--dashboard": settings.dashboard, "--metrics": settings.metrics}
    check_ports(settings.host, {"--dht-port": settings.dht_port}, served, settings.directory)
    check_rule(settings.rule, settings.tau, settings.peers, settings.auditors)
    check_can_be_made(settings.directory, "--directory")
    if (settings.directory / "summary.json").exists():
        raise UserError(f"the run in {settings.directory} is finished; give another --directory for a new one")
