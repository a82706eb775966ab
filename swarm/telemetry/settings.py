"""Settings about what daemons tell to those that watch them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from btard.configuration import Group, Option, Settings
from btard.swarm.http.address import Address, check_address
from btard.vocabulary import LogFormat, WandbMode


class TelemetrySettings(Settings):
    """Metrics for Prometheus, the form of the log, and Weights & Biases."""

    wandb: Annotated[WandbMode, Option("send metrics to Weights & Biases", group=Group.REPORTS)] = WandbMode.OFF
    wandb_project: Annotated[
        str, Field(min_length=1, max_length=100), Option("project at Weights & Biases", group=Group.REPORTS)
    ] = "btard"
    metrics: Annotated[
        str | None,
        Option(
            "serve metrics for Prometheus at :PORT/metrics of this machine alone, or at HOST:PORT with "
            "--metrics-token-file; none for no metrics",
            group=Group.REPORTS,
        ),
    ] = None
    metrics_token_file: Annotated[
        Path | None,
        Option(
            "file with the token that Prometheus must send, 16 characters or more; needed beyond this machine",
            group=Group.REPORTS,
        ),
    ] = None
    log_format: Annotated[LogFormat, Option("lines of the log on standard error", group=Group.REPORTS)] = LogFormat.TEXT

    @field_validator("metrics")
    @classmethod
    def _metrics_address(cls, text: str | None) -> str | None:
        return check_address(text)

    @model_validator(mode="after")
    def _token_beyond_loopback(self) -> Self:
        if self.metrics is not None and self.metrics_token_file is None and not Address.parse(self.metrics).loopback:
            raise ValueError(f"metrics at {self.metrics} can be read by other machines and need --metrics-token-file")
        return self


class DashboardSettings(Settings):
    """The page of a run."""

    dashboard: Annotated[
        str | None,
        Option(
            "serve a live page at :PORT of this machine alone, or at HOST:PORT with a token; none for no page",
            group=Group.REPORTS,
        ),
    ] = None
    dashboard_token_file: Annotated[
        Path | None,
        Option("file with the page's token, 16 characters or more; none makes one and logs it", group=Group.REPORTS),
    ] = None

    @field_validator("dashboard")
    @classmethod
    def _dashboard_address(cls, text: str | None) -> str | None:
        return check_address(text)
