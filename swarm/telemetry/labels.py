"""Labels of both daemons' metrics, which take values of enumerations: nobody's words can make new series."""

from __future__ import annotations

from enum import Enum

from prometheus_client import CollectorRegistry, Gauge

from btard import __version__


def build_info(registry: CollectorRegistry, program: str, numerics: str) -> None:
    """Register what runs here; `numerics` decides how numbers are rounded, empty where that does not matter."""
    info = Gauge(
        "btard_build_info",
        "Always 1; the version of the software, and what decides how a peer rounds numbers.",
        ["program", "version", "numerics"],
        registry=registry,
    )
    info.labels(program, __version__, numerics).set(1)


def label(member: Enum) -> str:
    """Return the value of a label for a member of an enumeration."""
    return member.name.lower()
