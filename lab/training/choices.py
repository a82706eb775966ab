"""The words of an experiment's settings that are one of a few."""

from __future__ import annotations

from enum import StrEnum


class Insight(StrEnum):
    """What attackers know of the others' vectors.

    OMNISCIENT: those of all honest workers. COLLUDERS: the honest ones that they compute themselves.
    """

    OMNISCIENT = "omniscient"
    COLLUDERS = "colluders"


class MomentumAt(StrEnum):
    """Where momentum is kept: in the update of the model, at the server before aggregation, or by every worker."""

    UPDATE = "update"
    SERVER = "server"
    WORKER = "worker"


class ServerOptimizer(StrEnum):
    """What moves the model: the published step with its momentum, or an optimizer that keeps moments of its own."""

    SGD = "sgd"
    ADAM = "adam"
    LAMB = "lamb"


class Topology(StrEnum):
    """How vectors become one: SERVER applies the rule to whole ones, BUTTERFLY to every part, BTARD is the protocol."""

    SERVER = "server"
    BUTTERFLY = "butterfly"
    BTARD = "btard"


class BanPolicy(StrEnum):
    """What bans attackers: nothing, the published lottery after each attack, or the protocol's verdicts."""

    OFF = "off"
    LOTTERY = "lottery"
    VERDICT = "verdict"


class AfterBan(StrEnum):
    """What becomes of a banned worker: it leaves, or stays and sends true gradients from then on."""

    LEAVES = "leaves"
    TURNS_HONEST = "turns-honest"


class Batching(StrEnum):
    """Whether the workers' gradients are computed one after the other or many at once; AUTO takes what is faster."""

    AUTO = "auto"
    ON = "on"
    OFF = "off"


class TableFormat(StrEnum):
    """How a run's tables are written; LEGACY are the published files `study`, `eval`, `config` and `config.json`."""

    CSV = "csv"
    PARQUET = "parquet"
    LEGACY = "legacy"
