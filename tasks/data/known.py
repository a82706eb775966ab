"""Short names of published corpora of text, and where the Hub has them."""

from __future__ import annotations

from btard.tasks.data.spec import DataSpec

KNOWN_CORPORA = {
    "wikitext-2": "hub:Salesforce/wikitext:wikitext-2-raw-v1",
    "wikitext-103": "hub:Salesforce/wikitext:wikitext-103-raw-v1",
    "openwebtext": "hub:Elriggs/openwebtext-100k",
    "arxiv": "hub:ds3lab/ac-sgd-arxiv21",
}
"""Of openwebtext 100,000 documents. A file or folder is named by its path, and needs no short name."""


def corpus_of(text: str, tokenizer: str | None = None) -> DataSpec:
    """Read what a user types for a corpus: a short name, or what `DataSpec.parse` reads.

    Raises:
        UserError: neither of these.
    """
    return DataSpec.parse(KNOWN_CORPORA.get(text, text), tokenizer)
