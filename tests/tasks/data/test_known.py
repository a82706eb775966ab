from __future__ import annotations

import pytest

from btard.errors import UserError
from btard.tasks.data.known import KNOWN_CORPORA, corpus_of
from btard.tasks.data.spec import SourceKind


@pytest.mark.parametrize("name", KNOWN_CORPORA)
def test_short_names_stand_for_sets_of_the_hub(name: str) -> None:
    assert corpus_of(name).kind is SourceKind.HUB


def test_all_else_is_read_as_before() -> None:
    assert corpus_of("builtin").kind is SourceKind.BUILTIN
    assert corpus_of("hub:Salesforce/wikitext:wikitext-2-raw-v1") == corpus_of("wikitext-2")
    with pytest.raises(UserError, match="neither 'builtin'"):
        corpus_of("wikitext-9")
