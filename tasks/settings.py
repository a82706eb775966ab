"""The settings of a task's own. They travel in the manifest of a run, so a stranger may send any value of them.

Therefore a setting is a switch, one of a few names, or a number between two bounds: none can name a file, a module or
an address, and none can ask for more than its author has allowed.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

from pydantic import ValidationError

from btard.configuration import Settings
from btard.configuration.messages import user_error
from btard.configuration.named import Value
from btard.configuration.options import settings_of
from btard.configuration.sources import Given
from btard.errors import UserError


class TaskSettings(Settings):
    """The settings of a task that has none; a task with settings names a subclass.

    A field is `name: Annotated[type, Field(ge=..., le=...), Option(meaning, unit=...)] = default`, where the type is
    bool, int, float or an Enum. A default is part of what a manifest means, so it never changes.

    Raises:
        TypeError: when the class is written: a field has no default, a number no bounds, or the type is another one.
    """

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        for name, setting in settings_of(cls).items():
            closed = setting.value_type is bool or issubclass(setting.value_type, Enum)
            number = setting.value_type in (int, float) and setting.bounds.two_sided
            if setting.default is None or setting.is_list or not (closed or number):
                raise TypeError(
                    f"the setting {name} of a task must have a default, and be a switch, an enumeration, or a number "
                    "with a lower and an upper bound"
                )

    @classmethod
    def read(cls, task: str, values: Mapping[str, Value]) -> TaskSettings:
        """Return the settings that these values make; all others have their defaults.

        Args:
            task: the task's name, for the sentence.
            values: as typed, or as a manifest has them.

        Raises:
            UserError: an unknown setting, or a value that it cannot have.
        """
        known = settings_of(cls)
        for name in values:
            if name not in known:
                those = f"it has {', '.join(known)}" if known else "it has none"
                raise UserError(f"the task {task} has no setting {name!r}; {those}")
        given = {name: Given(f"the setting {name} of the task {task}", value) for name, value in values.items()}
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            raise user_error(error, known, given) from None

    @property
    def values(self) -> dict[str, Value]:
        """All settings with their effective values, as a manifest has them."""
        return self.model_dump(mode="json")
