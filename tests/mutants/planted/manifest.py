"""What strangers' manifests, records, states and checkpoints may make a peer do, and what people are told."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

MANIFEST = (
    Mutant(
        "a Hub name may be a path",
        "tasks/data/names.py",
        "return _NAME.fullmatch(text) is not None and",
        'return "/" in text and',
        "tests/tasks/data/test_public.py::test_whatever_else_a_manifest_names_is_refused",
    ),
    Mutant(
        "hub: with a local folder is read",
        "tasks/data/spec.py",
        "if source and not source.startswith(HUB_PREFIX) and _exists(path):",
        "path = Path(source.removeprefix(HUB_PREFIX)).expanduser()\n        if source and _exists(path):",
        "tests/tasks/data/test_spec.py::test_a_hub_name_is_never_a_path_even_if_one_is_there",
    ),
    Mutant(
        "the coordinator's own corpus is published as the built-in one",
        "tasks/data/public.py",
        "return cls(kind=PublicKind.OWN, own_tokenizer=own_tokenizer)",
        "return cls(own_tokenizer=own_tokenizer)",
        "tests/tasks/data/test_public.py::test_everybodys_data_are_named_and_the_own_are_not",
    ),
    Mutant(
        "a tokenizer that only the coordinator has is not asked for",
        "tasks/data/public.py",
        "if self.own_tokenizer and tokenizer is None:",
        "if False:",
        "tests/tasks/data/test_public.py::test_what_the_owner_must_name_is_asked_for",
    ),
    Mutant(
        "a data set's size is not looked at before it is fetched",
        "tasks/data/hub.py",
        "    _check_size(described_as, [known.sizes[name] for name in files], access.most_bytes)\n",
        "",
        "tests/tasks/data/test_hub.py::test_a_large_data_set_is_refused_before_anything_is_fetched",
    ),
    Mutant(
        "a packed data set is unpacked without a limit",
        "tasks/data/tables.py",
        "if self._most is not None and self._taken > self._most:",
        "if False:",
        "tests/tasks/data/test_tables.py::test_a_packed_bomb_is_not_unpacked",
    ),
    Mutant(
        "the owner's account is used for what a manifest names",
        "tasks/data/hub.py",
        "return None if signed_in else False",
        "return None",
        "tests/tasks/data/test_hub.py::test_the_package_is_asked_by_name_and_commit",
    ),
    Mutant(
        "a batch of any size is computed",
        "peer/meeting/joining.py",
        "    check_sizes(settings, manifest)\n",
        "",
        "tests/peer/meeting/test_joining.py::test_more_than_the_owner_allows_is_told_first",
    ),
    Mutant(
        "tensors are made of a state before its header is compared",
        "tasks/state_codec.py",
        "        self._check_layout(told, self._expected(stepped))\n        try:\n",
        "        try:\n",
        "tests/tasks/test_hostile_states.py::test_no_tensor_is_made_of_a_header_that_does_not_fit",
    ),
    Mutant(
        "a state of any length is read",
        "tasks/state_codec.py",
        "if len(data) > self.most_bytes:",
        "if False:",
        "tests/tasks/test_hostile_states.py::test_a_state_that_is_too_long_is_refused_before_it_is_read",
    ),
    Mutant(
        "a checkpoint's links are followed out of it",
        "tasks/training_state.py",
        "if path.parent != folder.resolve() or not path.is_file():",
        "if not path.is_file():",
        "tests/tasks/test_hostile_states.py::test_a_checkpoint_s_links_are_not_followed_out_of_it",
    ),
    Mutant(
        "a checkpoint's file is read whatever its size",
        "tasks/training_state.py",
        "data = stream.read(most + 1)",
        "data = stream.read(most)",
        "tests/tasks/test_hostile_states.py::test_a_checkpoint_s_files_are_read_within_what_is_expected",
    ),
    Mutant(
        "strangers' addresses may be socket files",
        "swarm/records/record.py",
        "Field(max_length=8), AfterValidator(only_dialable)]",
        "Field(max_length=8)]",
        "tests/peer/test_hostile_records.py::test_a_record_reaches_no_file_and_no_terminal",
    ),
    Mutant(
        "a stranger's reason steers the terminal",
        "swarm/records/details.py",
        "Field(max_length=MAX_REASON), _Words]",
        "Field(max_length=MAX_REASON)]",
        "tests/coordinator/telemetry/test_peer_details.py::test_a_text_that_a_terminal_would_obey_is_no_record",
    ),
    Mutant(
        "a log's line may begin another one",
        "btard/printable.py",
        '_INDENT = "\\n    "',
        '_INDENT = "\\n"',
        "tests/btard/test_logs.py::test_no_text_moves_the_cursor_or_begins_another_line",
    ),
    Mutant(
        "three voters are said to be validated",
        "btard/round/unvalidated.py",
        "if voters < VOTERS_NEEDED:",
        "if voters < VOTERS_NEEDED - 1:",
        "tests/btard/round/test_unvalidated.py::test_it_is_said_exactly_where_no_validator_is_ever_drawn",
    ),
    Mutant(
        "that nobody is validated is said in every step",
        "swarm/telemetry/validation_watch.py",
        "        if words == before:\n            return words is None\n",
        "",
        "tests/swarm/telemetry/test_validation_watch.py::test_it_is_told_once_and_taken_back_once",
    ),
    Mutant(
        "members on probation count as voters where people are told",
        "swarm/telemetry/validation_watch.py",
        "words = nobody_is_validated(len(roster.voters), self._rate)",
        "words = nobody_is_validated(len(roster.members), self._rate)",
        "tests/swarm/telemetry/test_validation_watch.py::test_a_peer_on_probation_has_no_vote",
    ),
)
