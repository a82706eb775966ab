"""Evidence as a file that people can open and programs check: JSON, with signed messages and bytes in base64."""

from __future__ import annotations

import json
import math
import os
import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from btard.aggregation.registry import canonical
from btard.errors import UserError
from btard.hashing import digest
from btard.identity import Envelope, Malformed, PeerId
from btard.identity.codec import decode, encode, from_base64, to_base64
from btard.round.evidence.evidence import Evidence, Offence, Scene
from btard.round.roster import Roster
from btard.round.rules import ADDED_NAMES, NONCE_SIZE, SIGNED_NAMES, StepRules
from btard.version import PROTOCOL_VERSION
from btard.vocabulary import LEAST_SLOWEST, MAX_INCARNATIONS, MAX_PEERS, MOST_SLOWEST, SLOWEST

_FORMAT_NAME = "btard evidence"
FORMAT = f"{_FORMAT_NAME} {PROTOCOL_VERSION}"

MAX_FILE = 64 << 20
"""Bytes of an evidence file."""

MAX_EXHIBITS = 24 << 20
"""Bytes of rows and aggregates in one file; larger ones are left out, and the votes of the court stand for them."""

_MAX_ROSTER = 1 << 20
_MAX_MESSAGES = 16 * MAX_PEERS

Base64 = Annotated[str, Field(max_length=MAX_FILE)]


class OtherVersion(Malformed):
    """An evidence file that another version of the protocol wrote, and only that version can check."""


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _FormatModel(BaseModel):
    format: str


class _SceneModel(_Strict):
    roster: Base64
    attempt: Annotated[int, Field(ge=0, lt=2**16)]
    members: Annotated[list[str], Field(max_length=MAX_PEERS)]


class _RowModel(_Strict):
    author: str
    part: Annotated[int, Field(ge=0, lt=MAX_PEERS)]
    bytes: Base64


class _AggregateModel(_Strict):
    part: Annotated[int, Field(ge=0, lt=MAX_PEERS)]
    bytes: Base64


class _EvidenceModel(_Strict):
    format: str
    words: str
    offence: str
    accused: str
    step: int
    rules: dict[str, Any]
    scene: _SceneModel
    past: _SceneModel | None
    messages: Annotated[list[Base64], Field(max_length=_MAX_MESSAGES)]
    rows: Annotated[list[_RowModel], Field(max_length=MAX_PEERS)]
    aggregates: Annotated[list[_AggregateModel], Field(max_length=MAX_PEERS)]


_RULES: TypeAdapter[StepRules] = TypeAdapter(StepRules)
_FIELDS = {signed: field for field, signed in SIGNED_NAMES.items()}


def to_json(evidence: Evidence) -> bytes:
    """Return the file's bytes."""
    size = sum(len(row) for _, _, row in evidence.rows) + sum(len(part) for _, part in evidence.aggregates)
    exhibits = size <= MAX_EXHIBITS
    model = _EvidenceModel(
        format=FORMAT,
        words=_words(evidence),
        offence=evidence.offence.name,
        accused=str(evidence.accused),
        step=evidence.scene.roster.step,
        rules=_pack_rules(evidence.rules),
        scene=_pack_scene(evidence.scene),
        past=None if evidence.past is None else _pack_scene(evidence.past),
        messages=[to_base64(envelope.encode()) for envelope in evidence.envelopes],
        rows=[_RowModel(author=str(a), part=p, bytes=to_base64(b)) for a, p, b in evidence.rows if exhibits],
        aggregates=[_AggregateModel(part=p, bytes=to_base64(b)) for p, b in evidence.aggregates if exhibits],
    )
    return model.model_dump_json(indent=1).encode()


def from_json(data: bytes) -> Evidence:
    """Read a file's bytes, which may come from anybody.

    Raises:
        OtherVersion: written by another version of the protocol.
        Malformed: too long, not of this form, or a message whose signature does not verify.
    """
    if len(data) > MAX_FILE:
        raise Malformed(f"it has more than {MAX_FILE} bytes")
    try:
        _check_format(data)
        model = _EvidenceModel.model_validate_json(data)
        evidence = Evidence(
            offence=Offence[model.offence],
            accused=_peer(model.accused),
            rules=_unpack_rules(model.rules),
            scene=_unpack_scene(model.scene),
            envelopes=tuple(Envelope.decode(from_base64(text)) for text in model.messages),
            past=None if model.past is None else _unpack_scene(model.past),
            rows=tuple((_peer(row.author), row.part, from_base64(row.bytes)) for row in model.rows),
            aggregates=tuple((item.part, from_base64(item.bytes)) for item in model.aggregates),
        )
        if (model.words, model.step) != (_words(evidence), evidence.scene.roster.step):
            raise Malformed("its words or its step are not those of what it proves")
        return evidence
    except OtherVersion:
        raise
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        where = ".".join(map(str, problem["loc"])) or "the file"
        raise Malformed(f"{where}: {problem['msg']}") from None
    except KeyError as error:
        raise Malformed(f"there is no offence {error}") from None
    except UserError as error:
        raise Malformed(f"its rules cannot be read here: {error}") from None
    except (ValueError, RecursionError) as error:
        raise Malformed(str(error)) from None


def _check_format(data: bytes) -> None:
    """Look at the format before anything else: files of other versions have other fields."""
    found = _FormatModel.model_validate_json(data).format
    if found == FORMAT:
        return
    name, _, version = found.rpartition(" ")
    if name == _FORMAT_NAME and re.fullmatch("[1-9][0-9]{0,7}", version):
        raise OtherVersion(
            f"written by another version of the protocol (its format is {found!r}, this program checks {FORMAT!r}): "
            "check it with the release that wrote it"
        )
    raise Malformed(f"its format is {found[:40]!r}, not {FORMAT!r}")


def _words(evidence: Evidence) -> str:
    return f"{evidence.accused} {evidence.offence}"


def _pack_rules(rules: StepRules) -> dict[str, Any]:
    fields: dict[str, Any] = _RULES.dump_python(rules, mode="json", exclude={"nonce"})
    for group in (fields, fields["verification"]):
        for name in ADDED_NAMES & group.keys():
            if group[name] is None:
                del group[name]
    named = {SIGNED_NAMES.get(name, name): value for name, value in fields.items()}
    return {"run": rules.run.hex(), "nonce": rules.nonce.hex(), **named}


def _unpack_rules(fields: dict[str, Any]) -> StepRules:
    """Read the rules; raises Malformed for any that no manifest can have, or that are not those of the run named."""
    named = {_FIELDS.get(name, name): value for name, value in fields.items()}
    rules = _RULES.validate_python({**named, "nonce": bytes.fromhex(str(fields.get("nonce")))})
    aggregation = rules.aggregation
    possible = (
        len(rules.nonce) == NONCE_SIZE
        and 0 < rules.dimension < 2**40
        and 0 <= rules.verification.probation < 2**31
        and 0 < aggregation.reference_peers <= MAX_PEERS
        and 0 < aggregation.tau < math.inf
        and (aggregation.max_norm is None or 0 < aggregation.max_norm < math.inf)
        and (rules.incarnation is None or 0 < rules.incarnation < MAX_INCARNATIONS)
        and rules.same_randomness is not False
        and (rules.slowest is None or LEAST_SLOWEST <= rules.slowest <= MOST_SLOWEST)
        and rules.slowest != SLOWEST
        and (rules.verification.auditors is None or 0 < rules.verification.auditors <= MAX_PEERS)
        and canonical(aggregation.rule) == aggregation.rule
    )
    if not possible or _pack_rules(rules) != {**fields, "run": rules.run.hex()}:
        raise Malformed("the rules cannot be those of a run")
    if fields.get("run") != rules.run.hex():
        raise Malformed("its rules are not those of the run that it names")
    return rules


def rules_fingerprint(rules: StepRules) -> str:
    """Return the hex digest by which logs name the rules of a run, the same in all of its incarnations."""
    return fingerprint(json.dumps(_pack_rules(rules.reborn(0)), sort_keys=True).encode())


def _pack_scene(scene: Scene) -> _SceneModel:
    return _SceneModel(
        roster=to_base64(encode(scene.roster.pack())),
        attempt=scene.attempt,
        members=[str(peer) for peer in scene.members],
    )


def _unpack_scene(model: _SceneModel) -> Scene:
    roster = Roster.unpack(decode(from_base64(model.roster), limit=_MAX_ROSTER))
    members = tuple(_peer(text) for text in model.members)
    if not members or not set(members) <= set(roster.members) or list(members) != sorted(set(members)):
        raise Malformed("the attempt's members are not among the roster's")
    return Scene(roster, model.attempt, members)


def _peer(text: str) -> PeerId:
    try:
        return PeerId.parse(text)
    except UserError as error:
        raise Malformed(str(error)) from None


def file_name(evidence: Evidence) -> str:
    """Return the name of an evidence file: step, peer, offence."""
    offence = evidence.offence.name.lower().replace("_", "-")
    return f"step-{evidence.scene.roster.step:06d}-{evidence.accused.short}-{offence}.json"


def save(evidence: Evidence, directory: Path) -> Path:
    """Write an evidence file, whole or not at all, into a directory, which is made when missing; raises OSError."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / file_name(evidence)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        unfinished.write_bytes(to_json(evidence))
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return path


def load(path: Path) -> Evidence:
    """Read an evidence file.

    Raises:
        UserError: it cannot be read, or is no evidence.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE + 1)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    try:
        return from_json(data)
    except OtherVersion as error:
        raise UserError(f"{path} was {error}") from None
    except Malformed as error:
        raise UserError(f"{path} is no evidence of a ban: {error}") from None


def fingerprint(data: bytes) -> str:
    """Return the hex digest by which records name an evidence file."""
    return digest(data).hex()
