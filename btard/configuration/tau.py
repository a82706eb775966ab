"""The clipping radius, which peers apply and the coordinator publishes."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from btard.configuration.options import Option
from btard.configuration.settings import Settings


class TauSettings(Settings):
    """The clipping radius of CenteredClip under both of its published names."""

    tau: Annotated[
        float | None,
        Field(gt=0),
        Option(
            "clipping radius of CenteredClip, compared with the distance of a part from the aggregate",
            group="Aggregation",
            env=("HIVEMIND_TAU", "CCLIP_TAU"),
        ),
    ] = None
