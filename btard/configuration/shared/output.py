"""What a command prints."""

from __future__ import annotations

import warnings
from typing import Annotated

from btard.configuration.groups import Group
from btard.configuration.options import Option
from btard.configuration.settings import Settings

warnings.filterwarnings("ignore", 'Field name "json"', UserWarning)  # pydantic has a deprecated method of that name

PrintJson = Annotated[bool, Option("print one JSON object instead of tables", group=Group.OUTPUT)]


class JsonSettings(Settings):
    """Whether people or programs read what a command prints."""

    json: PrintJson = False  # type: ignore[assignment]
