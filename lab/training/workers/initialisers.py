"""First weights by the names of torch.nn.init."""

from __future__ import annotations

import torch
from torch import nn

from btard.configuration.named import Named
from btard.errors import UserError


def initialise(model: nn.Module, matrices: str | None, vectors: str | None) -> None:
    """Draw a model's weights anew, from torch's generator.

    Args:
        matrices: for weights of two or more dimensions, the name of a function of torch.nn.init without its underscore,
            with arguments as in `xavier_uniform:gain=2`; None leaves them.
        vectors: for weights of one dimension.

    Raises:
        UserError: there is no such function, or it cannot be used on these weights.
    """
    for text, many in ((matrices, True), (vectors, False)):
        if text is None:
            continue
        chosen = Named.parse(text, "the initialiser")
        function = getattr(nn.init, f"{chosen.name}_", None)
        if function is None or chosen.name.startswith("_"):
            known = sorted(name[:-1] for name in vars(nn.init) if name.endswith("_") and not name.startswith("_"))
            raise UserError(f"there is no initialiser {chosen.name!r}; torch has {', '.join(known)}")
        arguments = {key: _read(str(value)) for key, value in chosen.values.items()}
        for weight in model.parameters():
            if (weight.dim() > 1) is many:
                try:
                    with torch.no_grad():
                        function(weight, **arguments)
                except (TypeError, ValueError, NotImplementedError) as error:
                    raise UserError(
                        f"the initialiser {text} does not fit weights of shape {tuple(weight.shape)}: {error}"
                    ) from None


def _read(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text
