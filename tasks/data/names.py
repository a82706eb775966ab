"""The names that a Hub data set may have, wherever they come from: none of them can be a path that leads elsewhere."""

import re
from typing import Annotated

from pydantic import AfterValidator

_WORD = r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?"
_NAME = re.compile(f"{_WORD}/{_WORD}")
_CONFIGURATION = re.compile(_WORD)
_FILE = re.compile(r"(?:[A-Za-z0-9_][A-Za-z0-9_.=+,-]*/)*[A-Za-z0-9_][A-Za-z0-9_.=+,-]*")
_REVISION = re.compile("[0-9a-f]{40}")


def is_hub_name(text: str) -> bool:
    """Whether this is `owner/name` as the Hub writes it: no path, no address, no `..`."""
    return _NAME.fullmatch(text) is not None and not any(bad in text for bad in ("..", "--")) and text[-4:] != ".git"


def is_configuration(text: str) -> bool:
    """Whether this can be the configuration of a Hub data set: one word, no `..`."""
    return _CONFIGURATION.fullmatch(text) is not None and ".." not in text


def is_revision(text: str) -> bool:
    """Whether this is a commit: 40 hex digits."""
    return _REVISION.fullmatch(text) is not None


def is_hub_file(text: str) -> bool:
    """Whether this is the name of a file relative to a Hub data set: no `..`, no address, no blank."""
    return _FILE.fullmatch(text) is not None


def _hub_name(text: str) -> str:
    if not is_hub_name(text):
        raise ValueError("a Hub data set is named owner/name")
    return text


def _configuration(text: str) -> str:
    if not is_configuration(text):
        raise ValueError("the configuration of a Hub data set is one word")
    return text


def _revision(text: str) -> str:
    if not is_revision(text):
        raise ValueError("the revision of a Hub data set is a commit of 40 hex digits")
    return text


HubName = Annotated[str, AfterValidator(_hub_name)]
Configuration = Annotated[str, AfterValidator(_configuration)]
Revision = Annotated[str, AfterValidator(_revision)]
