"""What a peer's training loop tells: once, for metrics, the log's context and Weights & Biases alike."""

from __future__ import annotations

from btard.identity import PeerId
from btard.logs import MOMENT
from btard.peer.settings import PeerSettings
from btard.peer.telemetry.meter import PeerMeter, PeerStep
from btard.round.actions import Stopped, Voided
from btard.round.roster import Roster
from btard.swarm.manifest import RunManifest
from btard.swarm.records.details import Found
from btard.swarm.telemetry.validation_watch import ValidationWatch
from btard.swarm.telemetry.wandb_run import WandbRun
from btard.vocabulary import WandbMode


class Recorder:
    """Passes on what happens to all recorders."""

    def __init__(self, meter: PeerMeter, wandb: WandbRun | None, watch: ValidationWatch) -> None:
        self._meter = meter
        self._wandb = wandb
        self._watch = watch

    def begins(self, roster: Roster) -> None:
        """A step begins."""
        MOMENT.step = roster.step
        self._meter.begins(roster, validated=self._watch.look(roster))

    def finished(self, step: PeerStep) -> None:
        """A step has been finished."""
        self._meter.finished(step)
        if self._wandb is not None:
            self._wandb.log(step.step, point(step))

    def voided(self, event: Voided) -> None:
        """An attempt has failed."""
        self._meter.voided(event)

    def examined(self, found: Found) -> None:
        """This peer has examined another one."""
        self._meter.examined(found)

    def stopped(self, outcome: Stopped) -> None:
        """This peer is no member any more."""
        self._meter.stopped(outcome)
        MOMENT.step = None

    def close(self) -> None:
        """Send what waits to be sent."""
        if self._wandb is not None:
            self._wandb.close()


def point(step: PeerStep) -> dict[str, float | None]:
    """Return a peer's step as Weights & Biases gets it; what the swarm's run tells too has the same name there."""
    stages = {f"seconds/{stage.value}": seconds for stage, seconds in step.stages.items()}
    return {"loss": step.loss, "samples": step.samples, "step": step.step, "seconds": step.seconds, **stages}


def begin_wandb(settings: PeerSettings, manifest: RunManifest, key: PeerId) -> WandbRun | None:
    """Return the run of this peer beside that of its swarm, None if the settings want none; raises UserError."""
    if settings.wandb is WandbMode.OFF:
        return None
    return WandbRun(
        settings.wandb,
        settings.wandb_project,
        run_id=f"{manifest.run_id}-{key}",
        name=f"{manifest.experiment} {key.short}",
        group=manifest.run_id,
        directory=settings.directory,
        config=manifest.model_dump(mode="json"),
    )
