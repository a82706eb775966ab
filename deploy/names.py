"""What experiments are called: their names are parts of files, tags and machines' names."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

ExperimentName = Annotated[str, Field(min_length=1, max_length=60, pattern=r"^[\w.-]+$")]
NAME_FORM = "letters, digits, dots, dashes and underscores"
"""Of such a name, for the `Option` beside it."""
