"""A task's own settings: closed types with bounds, since a stranger's manifest may hold any value of them."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import Field

from btard.configuration import Option
from btard.errors import UserError
from btard.tasks.settings import TaskSettings


class Shade(StrEnum):
    LIGHT = "light"
    DARK = "dark"


class Mixed(TaskSettings):
    width: Annotated[int, Field(ge=1, le=64), Option("columns", unit="columns")] = 8
    noise: Annotated[float, Field(ge=0, lt=1), Option("how much is wrong")] = 0.25
    round: Annotated[bool, Option("has no corners")] = False
    shade: Annotated[Shade, Option("of what")] = Shade.DARK


def test_what_is_not_given_has_its_default() -> None:
    assert TaskSettings().values == {}
    assert Mixed.read("x", {}).values == {"width": 8, "noise": 0.25, "round": False, "shade": "dark"}


def test_text_and_values_of_a_manifest_mean_the_same() -> None:
    typed = Mixed.read("x", {"width": "64", "noise": "0.5", "round": "true", "shade": "light"})
    assert typed == Mixed.read("x", typed.values)
    assert typed.values == {"width": 64, "noise": 0.5, "round": True, "shade": "light"}


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"widht": 1}, "the task x has no setting 'widht'; it has width, noise, round, shade"),
        ({"width": 65}, "the setting width of the task x is 65, but must be a whole number of columns from 1 to 64"),
        ({"width": 1.5}, "the setting width of the task x is 1.5, but must be a whole number of columns from 1 to 64"),
        ({"noise": 1}, "the setting noise of the task x is 1, but must be a number at least 0 and below 1"),
        ({"noise": float("nan")}, "the setting noise of the task x is nan, but must be a finite number"),
        ({"round": "maybe"}, "the setting round of the task x is 'maybe', but must be true or false"),
        ({"shade": "../x"}, "the setting shade of the task x is '../x', but must be one of light, dark"),
    ],
)
def test_a_bad_value_is_one_sentence(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        Mixed.read("x", values)
    assert str(caught.value).startswith(sentence)


def test_a_task_without_settings_takes_none() -> None:
    with pytest.raises(UserError, match="the task gpt has no setting 'width'; it has none"):
        TaskSettings.read("gpt", {"width": 1})


@pytest.mark.parametrize(
    ("kind", "default"),
    [
        (str, "text"),
        (Path, Path("/")),
        (int, 1),
        (Annotated[int, Field(ge=1)], 1),
        (Annotated[float, Field(le=1)], 1.0),
        (Annotated[int | None, Field(ge=1, le=2)], None),
        (list[bool], [True]),
        (Annotated[int, Field(ge=1, le=2)], ...),
    ],
    ids=str,
)
def test_an_open_setting_cannot_be_declared(kind: Any, default: Any) -> None:
    with pytest.raises(TypeError, match="must have a default, and be a switch, an enumeration, or a number"):
        type("Open", (TaskSettings,), {"__annotations__": {"it": Annotated[kind, Option("it")]}, "it": default})
