"""What a coordinator listens on beside its node, taken before anything long begins: a bad port is known at once."""

from __future__ import annotations

from dataclasses import dataclass

from btard.coordinator.dashboard.service import Dashboard
from btard.coordinator.settings import CoordinatorSettings
from btard.swarm.telemetry.endpoint import MetricsEndpoint


@dataclass(frozen=True)
class Ports:
    """Where people and Prometheus look, None where nothing is served."""

    dashboard: Dashboard | None
    metrics: MetricsEndpoint | None


def take_ports(settings: CoordinatorSettings) -> Ports:
    """Listen on the ports of the settings; raises UserError."""
    dashboard = metrics = None
    if settings.dashboard is not None:
        dashboard = Dashboard(settings.dashboard, settings.dashboard_token_file)
    if settings.metrics is not None:
        metrics = MetricsEndpoint(settings.metrics, settings.metrics_token_file)
    return Ports(dashboard, metrics)
