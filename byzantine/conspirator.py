"""The base of attackers that know each other and share what they compute."""

from __future__ import annotations

import torch

from btard.byzantine.attacker import Attacker
from btard.byzantine.channel import open_channel, wait_for
from btard.byzantine.settings import BehaviourSettings
from btard.identity import IdentityKey, PeerId
from btard.tensors import bytes_of

_TOPIC = "gradient"


class Conspirator(Attacker):
    """Joins the channel of COLLUDE_AT. Without one it knows only itself."""

    def __init__(self, settings: BehaviourSettings, seed: bytes) -> None:
        super().__init__(settings, seed)
        self.channel = open_channel(settings.collude_at)

    def attach(self, key: IdentityKey) -> None:
        super().attach(key)
        self.channel.join(key.peer_id)

    @property
    def colluders(self) -> frozenset[PeerId]:
        """All colluders, this peer included."""
        return self.channel.members()

    def known_gradients(self, step: int, gradient: torch.Tensor) -> list[torch.Tensor]:
        """Share the own true gradient, and return those of all colluders that came in time, in order of their ids.

        Nobody sees the gradients of honest peers before the barrier, so these stand for them: all are computed honestly
        on batches of one distribution.
        """
        self.foretell(step, gradient)
        own = gradient.detach().cpu()
        notes = wait_for(self.channel, step, _TOPIC, len(self._computing()), self.settings.collude_patience)
        notes.pop(self.me, None)
        others = [(peer, note) for peer, note in notes.items() if len(note) == 4 * len(own)]
        vectors = {peer: torch.frombuffer(bytearray(note), dtype=torch.float32) for peer, note in others}
        return [vector for _, vector in sorted((vectors | {self.me: own}).items())]

    def foretell(self, step: int, vector: torch.Tensor) -> None:
        self.channel.post(step, _TOPIC, self.me, bytes(bytes_of(vector.cpu())))

    def _computing(self) -> frozenset[PeerId]:
        """The colluders that compute a gradient in this step, as far as the roster tells."""
        if self.roster is None:
            return self.colluders
        return self.colluders.intersection(self.roster.members) - self.roster.validators.keys()
