"""What `btard deploy aws experiment FILE` is told beside the file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from btard.configuration import Option, Settings
from btard.deploy.aws.settings import Consent
from btard.deploy.experiment.plan import Where


class FleetExperimentSettings(Settings):
    """Settings of `btard deploy aws experiment`; the first word is the experiment's file."""

    directory: Annotated[
        Path | None, Option("where runs and report are written, and found again; runs/NAME if not given")
    ] = None
    backend: Annotated[Where | None, Option("where the runs happen, if not where the file says")] = None
    yes: Consent = False
