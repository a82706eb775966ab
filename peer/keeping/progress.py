"""Where this peer stands, also before a restart: no step may be begun twice, and the run has to go on somewhere."""

from __future__ import annotations

import logging
from pathlib import Path

from btard.durable import sealed, unsealed, write_durably
from btard.identity import Malformed, PeerId
from btard.identity.codec import as_bytes, as_fields, as_int, decode, encode
from btard.peer.keeping.cadence import ROUND_STEPS
from btard.reunion.messages import MAX_PLACES, Memory, Place
from btard.round.admission import may_begin
from btard.round.roster import Roster
from btard.vocabulary import MAX_INCARNATIONS

logger = logging.getLogger(__name__)

PROGRESS_FILE = "progress"
"""In the directory of a peer."""

_LATE_PLACES = 64
"""The last places, which are all remembered."""

_ROUND_PLACES = 64
"""Places at multiples of ROUND_STEPS that are remembered beside them."""

_MOST_BYTES = 4 << 20
_NO_STEP = 2**62


class Progress:
    """A small file: the step that was begun last, in which incarnation, with its roster, and the places before it.

    A peer that began a step has signed messages in it. Beginning it again after a restart could sign others, which
    would be proof of a lie. So the file is on the disk, not only with the operating system, before anything is signed.
    Which attempts of the step it had signed in does not matter: it begins none of them again.

    Attributes:
        incarnation, step: the last step begun in this run, -1 for none.
        roster: of the newest place that this peer remembers, None for none.
        restarted: whether this peer may have begun steps that the file does not name: after a restart, until it has
            heard where the others are. The file may be torn, lost, of another disk, or a copy.
    """

    def __init__(self, path: Path, run_id: str, *, traces: bool = False) -> None:
        """Read the file.

        Args:
            traces: whether there is anything else of an earlier start, so that a file that is missing was lost.
        """
        self._path = path
        self._run = bytes.fromhex(run_id)
        self.incarnation, self.step = 0, -1
        self.roster: Roster | None = None
        self._places: tuple[Place, ...] = ()
        self.restarted = traces or path.exists()
        try:
            written = path.read_bytes()
            data = unsealed(written)
            if data is None:
                self._read_first_form(written)
            else:
                self._read(data)
        except (OSError, Malformed) as error:
            logger.debug("%s says nothing: %s", path, error)

    def _read(self, data: bytes) -> None:
        run, incarnation, step, memory, roster = as_fields(decode(data, limit=_MOST_BYTES), 5)
        if as_bytes(run, len(self._run)) != self._run:
            self.restarted = False  # it tells of another run
            return
        places = Memory.decode(as_bytes(memory, most=_MOST_BYTES)).places
        incarnation, step = as_int(incarnation, 0, MAX_INCARNATIONS), as_int(step, 0, _NO_STEP)
        self.roster, self._places = Roster.unpack(roster), places
        self.incarnation, self.step = incarnation, step

    def _read_first_form(self, data: bytes) -> None:
        """Read what earlier releases wrote: the run's id and the last step begun, in words."""
        words = data.split()
        if len(words) != 2 or not data.endswith(b"\n") or not words[1].isdigit():
            return
        if words[0] == self._run.hex().encode():
            self.step = int(words[1])
        else:
            self.restarted = False

    def finds_run_begun(self) -> None:
        """The run had begun before this peer first knocked, under a key that is older than this start: it may have been
        a member, and its folder be lost."""
        self.restarted = True

    @property
    def memory(self) -> Memory | None:
        """The places that this peer remembers, None for none."""
        return Memory(self._places) if self._places else None

    def may_begin(self, roster: Roster, peer: PeerId, incarnation: int) -> bool:
        """Whether this peer may begin the step of a roster: as a member that has not begun it before."""
        if incarnation < self.incarnation:
            return False
        return may_begin(roster, peer, self.step if incarnation == self.incarnation else -1)

    def begin(self, roster: Roster, state: bytes, incarnation: int = 0) -> None:
        """Note that a step begins, on the training state of this digest; before the peer signs anything in it."""
        place = Place(roster.step, roster.digest, state)
        self._places = _remembered((*(p for p in self._places if p.step < place.step), place))
        self.roster = roster
        self._note(max((self.incarnation, self.step), (incarnation, roster.step)))

    def _note(self, begun: tuple[int, int]) -> None:
        (self.incarnation, self.step), self.restarted = begun, False
        if self.roster is None:
            return
        packed = [self._run, self.incarnation, self.step, Memory(self._places).encode(), self.roster.pack()]
        try:
            write_durably(self._path, sealed(encode(packed)))
        except OSError as error:
            logger.error("cannot write %s: %s; do not restart this peer within a step", self._path, error.strerror)

    def saw(self, roster: Roster, state: bytes | None, incarnation: int = 0, *, new: bool = False) -> None:
        """Note the newest step that a majority reports, as the first that this peer hears of after a restart: it may
        have begun that one, and the next, since it may have had all that ends a step before most others.

        Args:
            new: whether it cannot have: it is no member, or that incarnation has begun since the restart.
        """
        if not self.restarted:
            return
        self.restarted = False
        begun = incarnation, roster.step + 1
        if not new and begun > (self.incarnation, self.step):
            if self.roster is None and state is not None:
                self.roster, self._places = roster, (Place(roster.step, roster.digest, state),)
            self._note(begun)


def _remembered(places: tuple[Place, ...]) -> tuple[Place, ...]:
    early = [place for place in places[:-_LATE_PLACES] if place.step % ROUND_STEPS == 0]
    kept = (*early[-_ROUND_PLACES:], *places[-_LATE_PLACES:])
    assert len(kept) <= MAX_PLACES
    return kept
