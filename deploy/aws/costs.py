"""What a run will cost, before it begins."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict

from btard.deploy.aws.cloud import Cloud
from btard.deploy.aws.errors import CloudError
from btard.deploy.aws.settings import FleetSettings
from btard.errors import UserError

_TABLE = Path(__file__).with_name("prices.yaml")
_SYSTEM = "Linux/UNIX"


class PriceTable(BaseModel):
    """USD an hour on demand, by region and instance type, as of a date."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    date: date
    regions: dict[str, dict[str, float]]


@dataclass(frozen=True)
class Estimate:
    """What a run costs at most, machines only.

    Attributes:
        coordinator, worker: USD an hour each.
        workers: how many.
        hours: the time limit.
        basis: where the prices are from.
    """

    coordinator: float
    worker: float
    workers: int
    hours: float
    basis: str

    @property
    def hourly(self) -> float:
        """USD an hour of the whole fleet."""
        return self.coordinator + self.workers * self.worker

    @property
    def total(self) -> float:
        """USD until the time limit."""
        return self.hourly * self.hours

    @property
    def sentence(self) -> str:
        """The estimate in words."""
        return (
            f"1 coordinator at {self.coordinator:.3f} USD and {self.workers} peers at {self.worker:.3f} USD an hour: "
            f"{self.hourly:.2f} USD an hour, at most {self.total:.2f} USD within {self.hours:g} h, without disks and "
            f"traffic ({self.basis})"
        )


@cache
def price_table() -> PriceTable:
    """Return the table of prices on demand that comes with the program."""
    return PriceTable.model_validate(yaml.safe_load(_TABLE.read_text(encoding="utf-8")))


def on_demand(region: str, kind: str) -> float:
    """Return the price of a machine on demand; raises UserError if the table lacks it."""
    price = price_table().regions.get(region, {}).get(kind)
    if price is None:
        raise UserError(
            f"the price table of {price_table().date} has no {kind} in {region}; add it to {_TABLE}, or take another"
        )
    return price


def estimate(cloud: Cloud, settings: FleetSettings) -> Estimate:
    """Return what a run costs: the coordinator on demand, peers at the latest spot price of the dearest zone."""
    table = f"prices on demand of {price_table().date}"
    coordinator = on_demand(settings.region, settings.coordinator_type)
    price = _spot_price(cloud, settings.worker_type) if settings.spot else None
    if price is None:
        worker = on_demand(settings.region, settings.worker_type)
        basis = f"{table}; spot prices are not known, and lower" if settings.spot else table
    else:
        worker, basis = price, f"{table}, spot prices of today"
    if settings.spot and settings.max_price is not None:
        worker = min(worker, settings.max_price)
    return Estimate(coordinator, worker, settings.workers, settings.time_limit, basis)


def _spot_price(cloud: Cloud, kind: str) -> float | None:
    """The latest price of the dearest zone; None when AWS does not tell, which is no reason not to begin."""
    latest: dict[str, tuple[datetime, float]] = {}
    try:
        with cloud.doing("ask for spot prices"):
            history = cloud.ec2.describe_spot_price_history(
                InstanceTypes=[kind], ProductDescriptions=[_SYSTEM], MaxResults=100
            )["SpotPriceHistory"]
    except CloudError as error:
        if not error.passing and error.code in ("AuthFailure", ""):
            raise
        return None
    for entry in history:
        zone, when, price = entry["AvailabilityZone"], entry["Timestamp"], float(entry["SpotPrice"])
        if zone not in latest or when > latest[zone][0]:
            latest[zone] = (when, price)
    return max((price for _, price in latest.values()), default=None)
