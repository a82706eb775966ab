"""What happened in a simulation: one JSON object, or tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from btard.lab.simulation.simulation import Simulation
from btard.round.draw import nobody_is_validated
from btard.round.evidence.file import save

_FLOAT_BYTES = 4


def butterfly_bytes(dimension: int, peers: float) -> float:
    """Return what a peer of a plain butterfly all-reduce sends in a step, and receives: d (n - 1) / n numbers twice."""
    return 2 * dimension * _FLOAT_BYTES * (peers - 1) / peers


def report(simulation: Simulation, evidence_directory: Path | None = None) -> dict[str, Any]:
    """Return the facts of a finished run, and write the evidence of its bans if there is a directory for it.

    The same settings give the same facts, `wall_seconds` excepted.
    """
    chronicle, settings = simulation.chronicle, simulation.settings
    bans = []
    for ban in chronicle.bans:
        file = None if evidence_directory is None else str(save(ban.evidence, evidence_directory))
        bans.append(
            {
                "peer": ban.peer.number,
                "id": str(ban.peer.peer_id),
                "honest": ban.peer.honest,
                "step": ban.step,
                "attempt": ban.attempt,
                "offence": ban.offence.name,
                "evidence": file,
            }
        )
    suspensions = [
        {"peer": s.peer.number, "honest": s.peer.honest, "step": s.step, "attempt": s.attempt, "reason": s.reason}
        for s in chronicle.suspensions
    ]
    members = [] if chronicle.roster is None else [chronicle.peers[peer] for peer in chronicle.roster.members]
    found: dict[str, Any] = {
        "settings": settings.model_dump(mode="json", exclude={"json", "output"}),
        "command": settings.command,
        "steps": chronicle.finished + 1,
        "virtual_seconds": round(simulation.network.now, 6),
        "members": len(members),
        "byzantine_members": sum(not peer.honest for peer in members),
        "bans": bans,
        "suspensions": suspensions,
        "honest_banned": sum(ban.peer.honest for ban in chronicle.bans),
        "honest_suspended": sum(s.peer.honest for s in chronicle.suspensions),
        "attempts_failed": len(chronicle.voided),
        "admitted": simulation.admissions.admitted,
        "refused_states": simulation.admissions.refused_states,
        "steps_until_all_out": _steps_until_all_out(simulation),
        "halted": _halted(simulation),
        "unvalidated": _unvalidated(simulation),
        "bytes": _bytes_a_step(simulation),
        "parameters": simulation.final_digest,
    }
    if simulation.workload.loss is not None and chronicle.parameters is not None:
        found["loss"] = {
            "start": simulation.workload.loss(simulation.workload.start),
            "end": simulation.workload.loss(chronicle.parameters),
        }
    found["wall_seconds"] = round(simulation.wall_seconds, 3)
    return found


def _steps_until_all_out(simulation: Simulation) -> int | None:
    """Return how many steps after the first attack the last attacker was out; None while there is one, or was none."""
    out = simulation.chronicle.all_out
    return None if out is None else max(0, out - 1 - simulation.settings.attack_start)


def _halted(simulation: Simulation) -> str | None:
    """Return why no honest peer could go on, or None when all steps are done."""
    chronicle = simulation.chronicle
    if chronicle.finished + 1 >= simulation.settings.steps:
        return None
    return chronicle.stops[-1][2] if chronicle.stops else "no honest peer has anything left to wait for"


def _unvalidated(simulation: Simulation) -> str | None:
    """Return why no validators can be drawn of the last roster, or None where they can."""
    roster = simulation.chronicle.roster
    return None if roster is None else nobody_is_validated(len(roster.voters), simulation.settings.validators)


def _bytes_a_step(simulation: Simulation) -> dict[str, float]:
    """Return bytes a honest peer and step, beside what a plain butterfly all-reduce of as many peers sends."""
    steps = max(1, sum(peer.steps_done for peer in simulation.honest))
    traffic = simulation.traffic
    return {
        "control_sent": round(traffic.control_sent / steps, 1),
        "control_received": round(traffic.control_received / steps, 1),
        "parts_sent": round(traffic.parts_sent / steps, 1),
        "parts_received": round(traffic.parts_received / steps, 1),
        "butterfly_sent": round(butterfly_bytes(simulation.rules.dimension, simulation.settings.peers), 1),
    }


def tables(found: dict[str, Any]) -> str:
    """Return the same facts for people."""
    settings, traffic = found["settings"], found["bytes"]
    lines = [
        found["command"],
        "",
        f"steps done            {found['steps']} of {settings['steps']}",
        f"members at the end    {found['members']}, of whom {found['byzantine_members']} Byzantine",
        f"honest peers banned   {found['honest_banned']}",
        f"attempts that failed  {found['attempts_failed']}",
    ]
    if found["steps_until_all_out"] is not None:
        lines.append(f"all attackers out     {found['steps_until_all_out']} steps after the first attack")
    if found["unvalidated"]:
        lines.append(f"at the end            {found['unvalidated']}")
    if found["halted"]:
        lines.append(f"halted                {found['halted']}")
    if "loss" in found:
        lines.append(
            f"loss                  {found['loss']['start']:.4g} at the start, {found['loss']['end']:.4g} at the end"
        )
    lines += [
        f"final parameters      {found['parameters']}",
        f"time                  {found['wall_seconds']:.1f} s, {found['virtual_seconds']:.1f} s on the virtual clock",
        "",
        "bytes a peer and step       sent    received",
        f"  parts             {traffic['parts_sent']:>12,.0f}{traffic['parts_received']:>12,.0f}",
        f"  control           {traffic['control_sent']:>12,.0f}{traffic['control_received']:>12,.0f}",
        f"  plain butterfly   {traffic['butterfly_sent']:>12,.0f}{traffic['butterfly_sent']:>12,.0f}",
    ]
    if found["bans"]:
        lines += ["", "step  peer             offence            evidence"]
        lines += [
            f"{ban['step']:>4}  {ban['peer']:>4} {'honest' if ban['honest'] else 'Byzantine':<10}  "
            f"{ban['offence']:<18} {ban['evidence'] or '-'}"
            for ban in found["bans"]
        ]
    if found["suspensions"]:
        lines += ["", "step  peer             suspended because it"]
        lines += [
            f"{s['step']:>4}  {s['peer']:>4} {'honest' if s['honest'] else 'Byzantine':<10}  {s['reason']}"
            for s in found["suspensions"]
        ]
    return "\n".join(lines)
