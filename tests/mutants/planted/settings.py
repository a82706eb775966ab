"""How long people wait for a text of help, and where a setting stands in it."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

SETTINGS = (
    Mutant(
        "the help of a peer waits for torch",
        "peer/daemon.py",
        "from btard.peer.settings import PeerSettings\n",
        "import btard.byzantine.selection\nfrom btard.peer.settings import PeerSettings\n",
        "tests/cli/test_help.py::test_help_of_every_program_imports_nothing_heavy",
    ),
    Mutant(
        "a number on the wire has the wrong size",
        "btard/vocabulary.py",
        "WireType.BFLOAT16: 2}",
        "WireType.BFLOAT16: 4}",
        "tests/btard/test_vocabulary.py::test_a_number_has_the_size_of_its_type",
    ),
    Mutant(
        "a setting with another default changes its place",
        "btard/configuration/options.py",
        "name: owner for owner in cls.__mro__ for name in",
        "name: owner for owner in reversed(cls.__mro__) for name in",
        "tests/btard/test_configuration.py::test_another_default_leaves_a_setting_in_its_place",
    ),
    Mutant(
        "headings stand in the order in which settings name them",
        "btard/configuration/manual.py",
        "groups = list(Group)\n",
        "groups = list(dict.fromkeys(setting.option.group for setting in settings_of(cls).values()))\n",
        "tests/btard/test_configuration.py::test_groups_stay_together_in_the_order_of_headings",
    ),
    Mutant(
        "a pattern stands in a setting without words for it",
        "btard/configuration/options.py",
        "and not options[0].form:",
        "and False:",
        "tests/btard/test_configuration.py::test_a_pattern_that_has_no_words_is_refused",
    ),
    Mutant(
        "text that is too short is told to be text",
        "btard/configuration/messages.py",
        'case "string_too_short":',
        'case "text_too_short":',
        "tests/btard/test_configuration.py::test_text_is_told_what_it_must_be_like",
    ),
)
