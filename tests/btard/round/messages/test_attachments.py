"""What reports carry of the messages of others is verified once."""

from __future__ import annotations

import dataclasses

import pytest

from btard.identity import Malformed
from btard.round.messages.attachments import Papers
from tests.btard.round.settlement import E, commit


def test_what_is_carried_again_is_not_verified_again(monkeypatch: pytest.MonkeyPatch) -> None:
    papers, genuine = Papers(), commit(1).encode()
    forged = dataclasses.replace(commit(2), body=E).encode()
    assert papers.read(genuine) == commit(1)
    with pytest.raises(Malformed):
        papers.read(forged)
    monkeypatch.setattr("btard.identity.peer_id.crypto_sign_open", None)
    assert papers.read(bytes(bytearray(genuine))) is papers.read(genuine)
    with pytest.raises(Malformed):
        papers.read(forged)
