"""Bugs in what evidence proves."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

ROUND = "tests/btard/round"
HONEST = f"{ROUND}/test_proof_honest.py"

EVIDENCE = (
    Mutant(
        "what a run is called does not follow from its rules: evidence brings rules of its own",
        "btard/round/rules.py",
        "encode(_canonical(self))",
        "self.nonce",
        f"{HONEST}::test_under_other_rules_it_is_of_another_run[calm]",
    ),
    Mutant(
        "a rule within the rules is not part of what the run is called",
        "btard/round/rules.py",
        "            for name, inner in named.items()\n",
        "            for name, inner in list(named.items())[:9]\n",
        f"{ROUND}/test_rules.py::test_every_rule_and_the_nonce_are_part_of_the_name",
    ),
    Mutant(
        "an evidence file is believed what run its rules are of",
        "btard/round/evidence/file.py",
        'if fields.get("run") != rules.run.hex():',
        "if False:",
        f"{ROUND}/evidence/test_file.py::test_a_field_that_cannot_be_is_malformed",
    ),
    Mutant(
        "a manifest may give its run any name",
        "swarm/manifest.py",
        "if self.run != self.step_rules.run:",
        "if False:",
        "tests/swarm/test_manifest.py::test_a_run_that_its_rules_do_not_name_is_malformed",
    ),
    Mutant(
        "two requests of one attempt are proof of a lie",
        "btard/round/messages/bodies.py",
        "if first.kind not in SIGNED_ONCE or first.content_digest()",
        "if first.content_digest()",
        f"{HONEST}::test_no_message_nor_pair_of_one_author_proves_anything[lossy]",
    ),
    Mutant(
        "parts of two numbers are proof of a lie",
        "btard/round/messages/bodies.py",
        "part = envelope.read(PartHeader).part if envelope.kind is MessageKind.PART else 0",
        "part = 0",
        f"{ROUND}/messages/test_bodies.py::test_two_statements_contradict_where_honest_peers_make_one",
    ),
    Mutant(
        "messages of two attempts are proof of a lie",
        "btard/round/proof.py",
        "        _check_places(evidence)\n",
        "",
        f"{HONEST}::test_no_message_nor_pair_of_one_author_proves_anything[FRAME_OWNER]",
    ),
    Mutant(
        "a record is signed as messages of a step are",
        "btard/identity/envelope.py",
        "_STEP_DOMAIN if kind in STEP_KINDS else _RECORD_DOMAIN",
        "_STEP_DOMAIN",
        f"{HONEST}::test_a_record_cannot_be_taken_for_a_message_of_a_step",
    ),
    Mutant(
        "judges decide although peers have computed on different numbers",
        "btard/round/failure/court/court.py",
        "if (misled or accuser in unlike) and not charge.kind.about_last_step:",
        "if False:",
        f"{HONEST}::test_nothing_said_or_added_by_liars_convicts_an_honest_peer[tells one alone]",
    ),
    Mutant(
        "what no stranger can see proves a false accusation",
        "btard/round/failure/resolve.py",
        "blamed = accused == accuser and charge.kind is not ChargeKind.WITHHELD",
        "blamed = accused == accuser",
        "tests/btard/round/test_proof_votes.py::test_an_accuser_shown_no_momentum_is_no_false_accuser",
    ),
    Mutant(
        "an owner is convicted of a sum of numbers that it may not have seen",
        "btard/round/proof.py",
        "if not any(vouches(report, evidence.scene.members) for report in reports):",
        "if False:",
        f"{ROUND}/test_proof_votes.py::test_an_owner_that_did_not_sign_to_all_numbers_is_no_liar",
    ),
    Mutant(
        "evidence of a wrong sum forgets the owner's excuse",
        "btard/round/failure/resolve.py",
        "case Offence.WRONG_SUM if _excuses(vote, charge):",
        "case Offence.WRONG_SUM if False:",
        f"{ROUND}/test_proof_votes.py::test_votes_that_uphold_an_owners_excuse_do_not_convict_it",
    ),
    Mutant(
        "an accomplice named by ballots that acquit has covered up",
        "btard/round/failure/resolve.py",
        "return guilty and accused in ballot.accomplices",
        "return accused in ballot.accomplices",
        f"{ROUND}/test_proof_votes.py::test_ballots_that_acquit_name_no_accomplice",
    ),
    Mutant(
        "a dispute that nobody can decide is proof",
        "btard/round/proof.py",
        "if evidence.offence is Offence.ELIMINATED:",
        "if False:",
        f"{ROUND}/test_proof.py::test_an_elimination_proves_no_lie_and_says_so",
    ),
    Mutant(
        "a book of bans takes up evidence of another run",
        "swarm/bans.py",
        "if evidence.accused != banned or evidence.rules.reborn(0) != self._rules:",
        "if evidence.accused != banned:",
        "tests/swarm/test_bans.py::test_files_of_another_run_or_without_proof_are_left_out",
    ),
    Mutant(
        "evidence of another version is called no evidence at all",
        "btard/round/evidence/file.py",
        'if name == _FORMAT_NAME and re.fullmatch("[1-9][0-9]{0,7}", version):',
        "if False:",
        "tests/swarm/test_bans.py::test_a_file_of_the_version_before_is_named_and_left_out",
    ),
    Mutant(
        "a peer that dies while it notes a step may begin that step again, and contradict itself",
        "btard/durable.py",
        'path.with_name(f".{path.name}.{os.getpid()}")',
        "path",
        "tests/peer/keeping/test_progress.py::test_a_peer_that_dies_while_it_writes_knows_the_step_before",
    ),
    Mutant(
        "a peer that has lost its memory takes part in the step in which it died",
        "btard/round/admission.py",
        "peer in roster.members and last_begun < roster.step",
        "peer in roster.members",
        "tests/peer/test_lost_memory.py::test_a_loss_of_memory_costs_one_place_and_divides_nobody[court]",
    ),
)
