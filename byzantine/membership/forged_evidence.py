"""Shows newcomers evidence of bans that is judged by other rules than those of the run."""

from __future__ import annotations

import json

from btard.behaviour import View
from btard.byzantine.attacker import Attacker
from btard.byzantine.settings import BehaviourSettings
from btard.round.messages.bodies import Commit


class ForgedEvidence(Attacker):
    """The signed messages are true ones, and the file says of which run it is; only the rules are those under which
    anything is a lie. While it attacks: a newcomer asks between two commitments."""

    name = "FORGED_EVIDENCE"

    def __init__(self, settings: BehaviourSettings, seed: bytes) -> None:
        super().__init__(settings, seed)
        self._forges = False

    def commit(self, step: int, commit: Commit, view: View) -> Commit | None:
        self._forges = self.attacks(step)
        return commit

    def served_evidence(self, evidence: bytes | None) -> bytes | None:
        """Return the evidence with rules under which anything is a lie."""
        if evidence is None or not self._forges:
            return evidence
        fields = json.loads(evidence)
        fields["rules"]["aggregation"]["tau"] = 1e-9
        fields["rules"]["verification"]["momentum"] = 0.9
        return json.dumps(fields).encode()
