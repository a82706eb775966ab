"""Fetches files of the Hub: the training files of a data set, by its name alone and within what this machine's owner
allows.

Not by `datasets.load_dataset`: it takes a folder of that name for the data set, and follows paths and addresses in the
data set's card. Here the files are chosen by their names, their sizes are known before anything is fetched, and
nothing of the data set is run.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from btard.errors import UserError
from btard.tasks.data.names import is_hub_file
from btard.tasks.data.spec import DataSpec, SourceKind
from btard.tasks.data.tables import GIB, Table, too_large, training_files

DEFAULT_MOST = 4 * GIB
"""Bytes of a Hub data set's training files, packed and unpacked each, where the owner says nothing."""


@dataclass(frozen=True, slots=True)
class HubAccess:
    """What the owner of this machine allows.

    Attributes:
        most_bytes: of a data set's training files, as they are fetched and as they are read; None for no limit.
        signed_in: whether the owner's account may be used, if it is signed in: only for what the owner has named.
    """

    most_bytes: int | None = DEFAULT_MOST
    signed_in: bool = False


class RepositoryKind(StrEnum):
    """What a repository of the Hub holds."""

    DATASET = "dataset"
    MODEL = "model"

    @property
    def told(self) -> str:
        """In a sentence."""
        return "the data set" if self is RepositoryKind.DATASET else "the model"


@dataclass(frozen=True, slots=True)
class Listing:
    """The files of a repository at one commit.

    Attributes:
        revision: the commit, 40 hex digits.
        sizes: bytes of each file by its name, relative to the repository; None where the Hub does not tell.
    """

    revision: str
    sizes: Mapping[str, int | None]


class Hub(Protocol):
    """What is asked of the Hub; a test puts its own in its place."""

    def listing(self, name: str, revision: str | None, *, signed_in: bool) -> Listing:
        """Return the files of a repository; raises UserError if they cannot be had."""

    def fetch(self, name: str, revision: str, files: Sequence[str], *, signed_in: bool) -> list[Path]:
        """Return where the files are on this machine, fetched if need be; raises UserError if they cannot be had."""


class HuggingFaceHub:
    """The Hub at huggingface.co, or at HF_ENDPOINT, through the package huggingface_hub and its cache."""

    def __init__(self, kind: RepositoryKind) -> None:
        self._kind = kind

    def listing(self, name: str, revision: str | None, *, signed_in: bool) -> Listing:
        """Return the files of a repository; raises UserError if they cannot be had."""
        hub = _package()
        try:
            api = hub.HfApi(token=_token(signed_in))
            info = api.repo_info(name, repo_type=str(self._kind), revision=revision, files_metadata=True)
        except Exception as error:  # of the network, the Hub and the package: no common base
            raise self._failure(name, error) from error
        return Listing(str(info.sha), {file.rfilename: file.size for file in info.siblings or ()})

    def fetch(self, name: str, revision: str, files: Sequence[str], *, signed_in: bool) -> list[Path]:
        """Return where the files are on this machine, fetched if need be; raises UserError if they cannot be had."""
        hub = _package()
        try:
            token = _token(signed_in)
            return [
                Path(hub.hf_hub_download(name, file, repo_type=str(self._kind), revision=revision, token=token))
                for file in files
            ]
        except Exception as error:
            raise self._failure(name, error) from error

    def _failure(self, name: str, error: Exception) -> UserError:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        return UserError(f"{self._kind.told} {name} could not be loaded: {reason}")


HUB: Hub = HuggingFaceHub(RepositoryKind.DATASET)


def pinned(spec: DataSpec, access: HubAccess) -> DataSpec:
    """Return the specification with the commit of its Hub data set, if it is one: the newest, unless it names one.

    Raises:
        UserError: the Hub does not answer, or has no such data set.
    """
    if spec.kind is not SourceKind.HUB or spec.revision is not None:
        return spec
    try:
        revision = HUB.listing(spec.location, None, signed_in=access.signed_in).revision
    except UserError as error:
        raise UserError(f"{error} (a data set that was prepared before is found without the Hub by @COMMIT)") from None
    return DataSpec.model_validate(spec.model_dump() | {"revision": revision})


def open_hub(spec: DataSpec, access: HubAccess) -> Table:
    """Return the rows of a Hub data set's training part, fetched if need be.

    Raises:
        UserError: it cannot be had, or is larger than allowed.
    """
    described_as = f"the data set {spec.location}:{spec.configuration}" if spec.configuration else spec.location
    known = HUB.listing(spec.location, spec.revision, signed_in=access.signed_in)
    files = training_files(filter(is_hub_file, known.sizes), spec.configuration, described_as)
    _check_size(described_as, [known.sizes[name] for name in files], access.most_bytes)
    paths = HUB.fetch(spec.location, known.revision, files, signed_in=access.signed_in)
    _check_size(described_as, [path.stat().st_size for path in paths], access.most_bytes)
    return Table(paths, described_as, access.most_bytes)


def _check_size(described_as: str, sizes: Sequence[int | None], most: int | None) -> None:
    if most is None:
        return
    told = [size for size in sizes if size is not None]
    if len(told) < len(sizes):
        raise UserError(f"the Hub does not tell how large {described_as} is; get it yourself, and name it by --data")
    if sum(told) > most:
        raise UserError(too_large(described_as, sum(told), most))


def _package() -> Any:
    try:
        import huggingface_hub
    except ImportError:
        raise UserError("the Hub needs the package huggingface_hub: pip install huggingface_hub") from None
    return huggingface_hub


def _token(signed_in: bool) -> bool | None:
    """The package takes None for "if there is one", and True for "there must be one"."""
    return None if signed_in else False
