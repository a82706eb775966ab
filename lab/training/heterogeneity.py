"""How unequal the samples of workers are, as a user says it."""

from __future__ import annotations

from collections.abc import Mapping

from btard.configuration.named import Named
from btard.errors import UserError

_KINDS: Mapping[str, Mapping[str, tuple[float, float, float]]] = {
    "iid": {},
    "dirichlet": {"alpha": (1.0, 1e-6, 1e9)},
    "gamma": {"similarity": (0.5, 0.0, 1.0)},
    "sorted": {},
}
"""The parameters of each kind: default, least and most."""


def check_spread(text: str) -> tuple[str, dict[str, float]]:
    """Return kind and parameters of a spread.

    Raises:
        ValueError: it has another form; a phrase that begins with "must".
    """
    try:
        chosen = Named.parse(text, "the heterogeneity")
    except UserError:
        raise ValueError("must be NAME or NAME:KEY=VALUE") from None
    if chosen.name not in _KINDS:
        raise ValueError(f"must be one of {', '.join(_KINDS)}")
    known = _KINDS[chosen.name]
    found = {key: default for key, (default, _, _) in known.items()}
    for key, value in chosen.values.items():
        if key not in known:
            raise ValueError(f"must have no {key!r}: {chosen.name} has {', '.join(known) or 'no parameters'}")
        try:
            found[key] = float(value)
        except ValueError:
            raise ValueError(f"must give {key} a number, not {value!r}") from None
        _, least, most = known[key]
        if not least <= found[key] <= most:
            raise ValueError(f"must have {key} from {least:g} to {most:g}")
    return chosen.name, found
