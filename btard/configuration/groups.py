"""The headings under which settings stand."""

from __future__ import annotations

from enum import StrEnum


class Group(StrEnum):
    """A heading in `--help` and in the documents; every program shows those that it has in this order."""

    GENERAL = "General"
    DEMO = "Demo"
    SWARM = "Swarm"
    ACCOUNT = "Account"
    FLEET = "Fleet"
    MACHINES = "Machines"
    NETWORK = "Network"
    MACHINE = "Machine"
    PROGRAMS = "Programs"
    LIMITS = "Limits"
    TASK = "Task"
    TRAINING = "Training"
    PIPELINE = "Pipeline"
    AGGREGATION = "Aggregation"
    VERIFICATION = "Verification"
    DEADLINES = "Deadlines"
    CHECKPOINTS = "Checkpoints"
    MEASUREMENT = "Measurement"
    REPORTS = "Reports"
    BYZANTINE = "Byzantine behaviour (experiments)"
    OUTPUT = "Output"
