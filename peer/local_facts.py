"""What can be wrong with a peer's settings on this machine, before anything long begins."""

from __future__ import annotations

from pathlib import Path

from btard.byzantine.installed import check_installed
from btard.peer.settings import PeerSettings
from btard.swarm.addresses import announce_maddrs
from btard.swarm.local_facts import check_can_be_made, check_corpus, check_device, check_ports, check_wandb

_IN_MEMORY = "memory:"


def check_local_facts(settings: PeerSettings) -> None:
    """Check all that is known without torch, a process or another machine.

    Raises:
        UserError: something is missing, taken, or contradicts something else.
    """
    announce_maddrs(settings.announce, settings.port)
    check_installed(settings.attack_type, "ATTACK_TYPE")
    if settings.attack_directory is not None:
        check_can_be_made(settings.attack_directory, "ATTACK_DIRECTORY")
    if settings.collude_at is not None and not settings.collude_at.startswith(_IN_MEMORY):
        check_can_be_made(Path(settings.collude_at), "COLLUDE_AT")
    check_device(settings.device)
    check_corpus(settings.data, settings.tokenizer, settings.cache_dir)
    check_wandb(settings.wandb)
    check_ports(settings.host, {"--port": settings.port}, {"--metrics": settings.metrics}, settings.directory)
