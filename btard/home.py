"""Where the project lives: help and errors send readers to addresses, since a wheel holds no documents."""

HOME = "https://github.com/btard/btard"
"""The address of the project; pyproject.toml names it, too."""


def document(name: str) -> str:
    """Return the address of a document: `document("protocol")` is that of docs/protocol.md."""
    return f"{HOME}/blob/main/docs/{name}.md"
