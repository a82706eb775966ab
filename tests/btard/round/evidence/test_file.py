"""Evidence as files: what a peer writes another reads as the same proof; of all else nothing but Malformed comes."""

from __future__ import annotations

import base64
import copy
import dataclasses
import json
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from btard.errors import UserError
from btard.identity import Envelope, Malformed
from btard.round.attempt.seats import attempt_id_of
from btard.round.evidence import file as evidence_file
from btard.round.evidence.evidence import Evidence, Offence
from btard.round.evidence.file import (
    MAX_FILE,
    OtherVersion,
    file_name,
    from_json,
    load,
    rules_fingerprint,
    save,
    to_json,
)
from btard.round.messages.bodies import BROADCAST_FORMS, Reveal
from btard.round.proof import Unproven, verify
from tests.btard.round.bans import KEYS, SWARMS, evidence_of
from tests.btard.round.swarm import RULES

offences = pytest.mark.parametrize("offence", SWARMS, ids=lambda offence: offence.name)


def fields_of(offence: Offence) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(to_json(evidence_of(offence)))
    return fields


def read(fields: dict[str, Any]) -> Evidence:
    return from_json(json.dumps(fields).encode())


@offences
def test_it_goes_round_through_a_file_and_proves_the_same(offence: Offence, tmp_path: Path) -> None:
    evidence = evidence_of(offence)
    path = save(evidence, tmp_path / "deep" / "bans")
    assert path.name == file_name(evidence) and path.parent == tmp_path / "deep" / "bans"
    assert load(path) == evidence
    assert verify(load(path)) == verify(evidence)


@offences
def test_people_find_the_peer_the_step_and_the_offence_in_it(offence: Offence) -> None:
    evidence, fields = evidence_of(offence), fields_of(offence)
    assert fields["words"] == f"{evidence.accused} {offence}"
    assert (fields["step"], fields["offence"]) == (evidence.scene.roster.step, offence.name)
    assert fields["rules"]["run"] == evidence.rules.run.hex() == evidence.envelopes[0].run.hex()
    parts = (f"step-{fields['step']:06d}", evidence.accused.short, offence.name.lower().replace("_", "-"))
    assert file_name(evidence) == "-".join(parts) + ".json"


def test_votes_stand_for_bytes_too_long_for_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    evidence = evidence_of(Offence.WRONG_SUM)
    size = sum(len(row) for *_, row in (*evidence.rows, *evidence.aggregates))
    monkeypatch.setattr(evidence_file, "MAX_EXHIBITS", size)
    assert from_json(to_json(evidence)) == evidence
    monkeypatch.setattr(evidence_file, "MAX_EXHIBITS", size - 1)
    short = from_json(to_json(evidence))
    assert short == dataclasses.replace(evidence, rows=(), aggregates=())
    assert "signed votes" in verify(short)


def huge() -> Evidence:
    """Evidence of a run that makes a terabyte of every vector."""
    evidence = evidence_of(Offence.WRONG_SUM)
    rules = dataclasses.replace(evidence.rules, dimension=2**39)
    signers = {key.peer_id: key for key in KEYS}
    attempt_id = attempt_id_of(rules, evidence.scene.roster, evidence.scene.attempt, evidence.scene.members)
    envelopes = [
        Envelope.sign(
            signers[e.author],
            run=rules.run,
            step=e.step,
            attempt=e.attempt,
            kind=e.kind,
            body=in_context(e, attempt_id),
        )
        for e in evidence.envelopes
    ]
    return dataclasses.replace(evidence, rules=rules, envelopes=tuple(envelopes))


def in_context(envelope: Envelope, attempt_id: bytes) -> bytes:
    """Return the body as said in the attempt of this id."""
    form = BROADCAST_FORMS.get(envelope.kind)
    if form is None or form is Reveal:
        return envelope.body
    return dataclasses.replace(envelope.read(form), attempt_id=attempt_id).encode()


def test_a_dimension_that_no_machine_holds_costs_nothing() -> None:
    evidence = from_json(to_json(huge()))
    began = time.process_time()
    with pytest.raises(Unproven, match="another length"):
        verify(evidence)
    assert time.process_time() - began < 1.0


def changed(offence: Offence, *path: str | int, value: Any) -> dict[str, Any]:
    fields = fields_of(offence)
    inner: Any = fields
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return fields


STRANGE: list[tuple[tuple[str | int, ...], Any, str]] = [
    (("more",), 1, "more: Extra inputs"),
    (("offence",), "TREASON", "no offence 'TREASON'"),
    (("accused",), "somebody", "peer id"),
    (("words",), "an honest peer lied", "its words or its step"),
    (("step",), 7, "its words or its step"),
    (("step",), "soon", "step: "),
    (("messages",), None, "messages: "),
    (("messages", 0), "!", "base64|padding|alphabet"),
    (("messages", 0), "AAAA", "canonical|fields|expected"),
    (("messages", 0), 5, "messages.0: "),
    (("messages",), ["AAAA"] * 20_000, "messages: "),
    (("rows", 0, "part"), -1, "rows.0.part: "),
    (("rows", 0, "part"), 10**400, "rows.0.part: "),
    (("rows", 0, "bytes"), "\N{SNOWMAN}", "ASCII"),
    (("rows", 0, "author"), "", "peer id"),
    (("aggregates", 0, "bytes"), "====", "base64|padding"),
    (("scene", "roster"), "", "canonical"),
    (("scene", "roster"), base64.b64encode(b"\xdd\xff\xff\xff\xff").decode(), "canonical"),
    (("scene", "members"), [], "members"),
    (("scene", "attempt"), 2**16, "scene.attempt: "),
    (("past",), {}, "past.roster: "),
    (("rules",), [], "rules: "),
    (("rules",), {}, "hexadecimal"),
    (("rules", "nonce"), "00", "those of a run"),
    (("rules", "nonce"), None, "hexadecimal"),
    (("rules", "run"), "00" * 16, "not those of the run that it names"),
    (("rules", "run"), None, "not those of the run that it names"),
    (("rules", "settle"), 3.0, "not those of the run that it names"),
    (("rules", "aggregation", "tau"), 2.0, "not those of the run that it names"),
    (("rules", "verification", "momentum"), 0.9, "not those of the run that it names"),
    (("rules", "slowest"), 4.0, "not those of the run that it names"),
    (("rules", "slowest"), 3.0, "those of a run"),
    (("rules", "slowest"), 0.0, "those of a run"),
    (("rules", "slowest"), 1e9, "those of a run"),
    (("rules", "slowest"), float("nan"), "those of a run"),
    (("rules", "dimension"), 0, "those of a run"),
    (("rules", "dimension"), 2**40, "those of a run"),
    (("rules", "dimension"), 10**400, "those of a run"),
    (("rules", "wire"), "float8", "wire: "),
    (("rules", "more"), 1, "those of a run"),
    (("rules", "commit"), "20", "those of a run"),
    (("rules", "aggregation", "reference_peers"), 0, "those of a run"),
    (("rules", "aggregation", "reference_peers"), -1, "those of a run"),
    (("rules", "aggregation", "reference_peers"), 10**400, "those of a run"),
    (("rules", "aggregation", "tau"), 0.0, "those of a run"),
    (("rules", "aggregation", "tau"), float("nan"), "those of a run"),
    (("rules", "aggregation", "max_norm"), -1.0, "those of a run"),
    (("rules", "aggregation", "more"), 1, "those of a run"),
    (("rules", "verification", "accuse"), "nan", "those of a run"),
    (("rules", "verification", "probation"), -1, "those of a run"),
    (("rules", "verification", "probation"), 10**400, "those of a run"),
]


@pytest.mark.parametrize(("path", "value", "says"), STRANGE, ids=lambda value: str(value)[:40])
def test_a_field_that_cannot_be_is_malformed(path: tuple[str | int, ...], value: Any, says: str) -> None:
    with pytest.raises(Malformed, match=says):
        read(changed(Offence.WRONG_AGGREGATE, *path, value=value))


@pytest.mark.parametrize("version", ["1", "2", "3", "99999999"])
def test_a_file_of_another_version_is_named_as_one(version: str) -> None:
    data = json.dumps({"format": f"btard evidence {version}", "anything": "else"}).encode()
    with pytest.raises(OtherVersion, match="check it with the release that wrote it"):
        from_json(data)


@pytest.mark.parametrize(
    "format",
    ["btard evidence", "btard evidence 04", "evidence 1", "btard evidence ²", "btard evidence -1", "x" * 10_000],
)
def test_what_names_no_version_is_no_evidence(format: str) -> None:
    with pytest.raises(Malformed, match=r"its format is '.*', not 'btard evidence 7'") as caught:
        from_json(json.dumps({"format": format}).encode())
    assert not isinstance(caught.value, OtherVersion)


@pytest.mark.parametrize(
    "data", [b"", b"null", b"[]", b"{}", b"\xff\xfe", b"[" * 100_000, b'{"format":' * 50_000], ids=lambda d: str(d[:10])
)
def test_what_is_no_evidence_at_all_is_malformed(data: bytes) -> None:
    with pytest.raises(Malformed):
        from_json(data)


def test_a_forged_signature_is_malformed() -> None:
    fields = fields_of(Offence.EQUIVOCATION)
    message = bytearray(base64.b64decode(fields["messages"][0]))
    message[-1] ^= 1
    fields["messages"][0] = base64.b64encode(message).decode()
    with pytest.raises(Malformed, match="signature"):
        read(fields)


def test_members_that_the_roster_does_not_have_are_malformed() -> None:
    fields = fields_of(Offence.GRADIENT)
    members = fields["scene"]["members"]
    other = fields_of(Offence.LOTTERY)["scene"]
    for wrong in (members[::-1], [*members, members[-1]], ["12D3KooWGRUVh7hJT4ZwUQfEqS9gZXNRHHaAFnV3cqWxEPyvVfjz"]):
        with pytest.raises(Malformed):
            read({**fields, "scene": {**other, "members": wrong}})


def test_a_file_that_is_too_long_is_not_read_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = to_json(evidence_of(Offence.LOTTERY))
    monkeypatch.setattr(evidence_file, "MAX_FILE", len(data))
    assert from_json(data) == evidence_of(Offence.LOTTERY)
    with pytest.raises(Malformed, match=f"more than {len(data)} bytes"):
        from_json(data + b" ")
    with pytest.raises(UserError, match="/dev/zero is no evidence of a ban: it has more than"):
        load(Path("/dev/zero"))
    assert MAX_FILE > 2 * evidence_file.MAX_EXHIBITS, "base64 makes four bytes of three"


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for path, says in ((tmp_path / "none.json", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(UserError, match=f"cannot read {path}: {says}"):
            load(path)
    (tmp_path / "torn.json").write_bytes(to_json(evidence_of(Offence.LOTTERY))[:-100])
    with pytest.raises(UserError, match=r"torn.json is no evidence of a ban: "):
        load(tmp_path / "torn.json")


def places(value: Any, *path: str | int) -> Iterator[tuple[str | int, ...]]:
    """Yield the path of everything inside."""
    items: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*path, key)
        yield from places(inner, *path, key)


JUNK: list[Any] = [
    None,
    0,
    -1,
    2**31,
    2**70,
    10**400,
    1e308,
    -0.5,
    "",
    "A" * 8,
    "!",
    True,
    [],
    {},
    [[]],
    {"a": 1},
    "nan",
]


def mutated(fields: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    result = copy.deepcopy(fields)
    *path, last = rng.choice(list(places(result)))
    inner: Any = result
    for key in path:
        inner = inner[key]
    match rng.randrange(4):
        case 0:
            del inner[last]
        case 1 if isinstance(inner, list):
            inner.append(copy.deepcopy(inner[last]))
        case 2 if isinstance(inner[last], str) and inner[last]:
            at = rng.randrange(len(inner[last]))
            inner[last] = inner[last][:at] + rng.choice("ABab01+/=") + inner[last][at + 1 :]
        case _:
            inner[last] = copy.deepcopy(rng.choice(JUNK))
    return result


@offences
def test_whatever_is_done_to_a_file_nothing_else_comes_of_it(offence: Offence) -> None:
    evidence, fields, rng = evidence_of(offence), fields_of(offence), random.Random(offence.name)
    refused = 0
    for _ in range(200):
        try:
            found = read(mutated(fields, rng))
            verify(found)
        except (Malformed, Unproven):
            refused += 1
            continue
        assert (found.offence, found.accused) == (offence, evidence.accused)
        assert found.scene.roster.step == evidence.scene.roster.step
    assert refused > 100


def test_rules_are_named_by_all_that_they_say() -> None:
    named = {rules_fingerprint(rules) for rules in (RULES, dataclasses.replace(RULES))}
    assert len(named) == 1
    others: list[dict[str, Any]] = [
        {"nonce": bytes(16)},
        {"delay_bound_seconds": 2.5},
        {"aggregation": dataclasses.replace(RULES.aggregation, tau=2.0)},
        {"aggregation": dataclasses.replace(RULES.aggregation, max_norm=1.0)},
        {"verification": dataclasses.replace(RULES.verification, probation=1)},
    ]
    named |= {rules_fingerprint(dataclasses.replace(RULES, **other)) for other in others}
    assert len(named) == 1 + len(others)
