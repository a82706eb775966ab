"""All planted bugs, in the order of the guide's table."""

from __future__ import annotations

from tests.mutants.planted.adversary import ADVERSARY
from tests.mutants.planted.agreement import AGREEMENT
from tests.mutants.planted.arriving import ARRIVING
from tests.mutants.planted.away import AWAY
from tests.mutants.planted.chaos import CHAOS_BUGS
from tests.mutants.planted.codecs import CODECS
from tests.mutants.planted.corpora import CORPORA
from tests.mutants.planted.cost import COST
from tests.mutants.planted.door import DOOR
from tests.mutants.planted.drawn import DRAWN
from tests.mutants.planted.events import EVENTS
from tests.mutants.planted.evidence import EVIDENCE
from tests.mutants.planted.executor import EXECUTOR
from tests.mutants.planted.facts import FACTS
from tests.mutants.planted.float16 import FLOAT16
from tests.mutants.planted.justice import JUSTICE
from tests.mutants.planted.laboratory import LABORATORY
from tests.mutants.planted.link import LINK
from tests.mutants.planted.manifest import MANIFEST
from tests.mutants.planted.memory import MEMORY
from tests.mutants.planted.minutes import MINUTES
from tests.mutants.planted.openings import OPENINGS
from tests.mutants.planted.records import RECORDS
from tests.mutants.planted.relays import RELAYS
from tests.mutants.planted.replicas import REPLICAS
from tests.mutants.planted.restarts import RESTARTS
from tests.mutants.planted.reunion import REUNION
from tests.mutants.planted.rules import RULES
from tests.mutants.planted.seats import SEATS
from tests.mutants.planted.second_try import SECOND_TRY
from tests.mutants.planted.settings import SETTINGS
from tests.mutants.planted.stage_bans import STAGE_BANS
from tests.mutants.planted.stages import STAGES
from tests.mutants.planted.step import STEP
from tests.mutants.planted.thresholds import THRESHOLDS
from tests.mutants.planted.transfer import TRANSFER
from tests.mutants.planted.two_faces import TWO_FACES
from tests.mutants.planted.waiting import WAITING
from tests.mutants.planted.withholding import WITHHOLDING

MUTANTS = (
    STEP
    + EXECUTOR
    + SECOND_TRY
    + WITHHOLDING
    + OPENINGS
    + TWO_FACES
    + DRAWN
    + THRESHOLDS
    + RULES
    + EVIDENCE
    + RECORDS
    + DOOR
    + RELAYS
    + COST
    + MANIFEST
    + CORPORA
    + FACTS
    + EVENTS
    + SETTINGS
    + AGREEMENT
    + ADVERSARY
    + WAITING
    + REUNION
    + MINUTES
    + CHAOS_BUGS
    + TRANSFER
    + ARRIVING
    + AWAY
    + LABORATORY
    + CODECS
    + LINK
    + STAGES
    + FLOAT16
    + RESTARTS
    + MEMORY
    + SEATS
    + JUSTICE
    + STAGE_BANS
    + REPLICAS
)
