"""What a run's manifest may say of its data: what everybody can have, never a path, an address or a program.

A manifest comes from a stranger. So it names what the task ships with, or a data set of the Hub at one commit; of
anything else it says only that each peer's owner must give it.
"""

from enum import StrEnum
from typing import Self

from pydantic import BaseModel, ConfigDict, model_validator

from btard.errors import UserError
from btard.tasks.data.names import Configuration, HubName, Revision
from btard.tasks.data.spec import DataSpec, SourceKind


class PublicKind(StrEnum):
    """Where the documents come from."""

    BUILTIN = "builtin"
    """What the task ships with."""
    HUB = "hub"
    """A data set of the Hub, at one commit."""
    OWN = "own"
    """A corpus of the coordinator's own: each peer's owner names the same one."""


class PublicData(BaseModel):
    """The data of a run, as its manifest tells them.

    Attributes:
        kind: where the documents come from.
        name: `owner/name` of a HUB data set, None for other kinds.
        configuration: of a HUB data set that has several.
        revision: commit of a HUB data set, so that all peers read the same files.
        own_tokenizer: each peer's owner must name the tokenizer, too; else it is trained from the corpus.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: PublicKind = PublicKind.BUILTIN
    name: HubName | None = None
    configuration: Configuration | None = None
    revision: Revision | None = None
    own_tokenizer: bool = False

    @model_validator(mode="after")
    def _fields_fit_the_kind(self) -> Self:
        hub = self.kind is PublicKind.HUB
        if (self.name is not None) != hub or (self.revision is not None) != hub:
            raise ValueError("a Hub data set has a name and a revision, every other kind has none")
        if self.configuration is not None and not hub:
            raise ValueError("only a Hub data set has a configuration")
        return self

    @classmethod
    def of(cls, spec: DataSpec) -> Self:
        """Return what strangers may be told of a corpus; of one on this machine, only that they must give it.

        Raises:
            ValueError: a Hub data set without its revision.
        """
        own_tokenizer = spec.tokenizer is not None
        match spec.kind:
            case SourceKind.BUILTIN:
                return cls(own_tokenizer=own_tokenizer)
            case SourceKind.HUB:
                return cls(
                    kind=PublicKind.HUB,
                    name=spec.location,
                    configuration=spec.configuration,
                    revision=spec.revision,
                    own_tokenizer=own_tokenizer,
                )
            case SourceKind.TEXT | SourceKind.SAVED | SourceKind.TABLES:
                return cls(kind=PublicKind.OWN, own_tokenizer=own_tokenizer)

    def spec(self, own: DataSpec | None, tokenizer: str | None, fingerprint: str) -> DataSpec:
        """Return what a peer reads.

        Args:
            own: the corpus that the peer's owner has named, which wins; None if it has not.
            tokenizer: the tokenizer that the owner has named, or None.
            fingerprint: of the run's data, for the sentence.

        Raises:
            UserError: the owner must name something that it has not.
        """
        if own is None and self.kind is PublicKind.OWN:
            flags = "--data and --tokenizer" if self.own_tokenizer else "--data"
            raise UserError(
                f"the run trains on a corpus of its coordinator's own, with the fingerprint {fingerprint[:16]}: get it "
                f"from the owner of the coordinator, and say where it is by {flags}"
            )
        if self.own_tokenizer and tokenizer is None:
            raise UserError(
                "the run uses a tokenizer of its coordinator's own: get it from the owner of the coordinator, and say "
                "where it is by --tokenizer"
            )
        if own is not None:
            return own.model_copy(update={"tokenizer": tokenizer})
        if self.kind is PublicKind.BUILTIN:
            return DataSpec(tokenizer=tokenizer)
        return DataSpec(
            kind=SourceKind.HUB,
            location=str(self.name),
            configuration=self.configuration,
            revision=self.revision,
            tokenizer=tokenizer,
        )
