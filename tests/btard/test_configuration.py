"""Settings: order of strength, messages, help, and that three names are one."""

from __future__ import annotations

import subprocess
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, model_validator

from btard.configuration import Group, Option, Port, Probability, Settings, describe, load_settings, to_yaml
from btard.configuration.shared.protocol import TauSettings
from btard.errors import UserError


class Mode(StrEnum):
    EXACT = "exact"
    TOLERANT = "tolerant"


class Example(TauSettings):
    """A program for these tests.

    Not part of the help.
    """

    run_id: Annotated[str, Option("name of the run", group=Group.GENERAL)]
    mode: Annotated[Mode, Option("how validators compare", group=Group.GENERAL)] = Mode.EXACT
    identity_path: Annotated[Path | None, Option("key file", group=Group.GENERAL)] = None
    dht_port: Annotated[Port, Option("port of the DHT", unit="port", group=Group.NETWORK)] = 31337
    initial_peers: Annotated[tuple[str, ...], Option("peers to join", group=Group.NETWORK)] = ()
    client_mode: Annotated[bool, Option("do not listen", group=Group.NETWORK)] = False
    timeout: Annotated[float, Field(gt=0), Option("longest wait", unit="seconds", group=Group.NETWORK)] = 1.5
    start: Annotated[
        int, Field(ge=0), Option("first step", unit="steps", group=Group.BYZANTINE, env=("ATTACK_START",))
    ] = 3000
    check: Annotated[
        Probability | None, Option("lottery", unit="probability", group=Group.BYZANTINE, env=("CHECK_PROBA",))
    ] = None

    @model_validator(mode="after")
    def _client_needs_peers(self) -> Example:
        if self.client_mode and not self.initial_peers:
            raise ValueError("--client-mode needs --initial-peers, since a client cannot be found")
        return self


def load(words: str = "", config: Path | None = None, **environ: str) -> Example:
    argv = ["--run-id", "r", *words.split(), *(["--config", str(config)] if config else [])]
    return load_settings(Example, argv, program="example", environ=environ)


def sentence(words: str = "", config: Path | None = None, **environ: str) -> str:
    with pytest.raises(UserError) as caught:
        load(words, config, **environ)
    return str(caught.value)


def test_precedence_is_flag_environment_file_default(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("dht_port: 1\ntimeout: 2\nstart: 3\n")
    settings = load("--dht-port 5", file, BTARD_DHT_PORT="4", BTARD_TIMEOUT="6")
    assert (settings.dht_port, settings.timeout, settings.start, settings.mode) == (5, 6.0, 3, Mode.EXACT)


def test_the_file_may_be_named_by_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("dht_port: 1\n")
    assert load(BTARD_CONFIG=str(file)).dht_port == 1


def test_an_empty_variable_counts_as_absent() -> None:
    assert load(ATTACK_START="", BTARD_INITIAL_PEERS="").start == 3000


@pytest.mark.parametrize("words", ["--initial-peers a b c", "--initial-peers a --initial-peers b,c"])
def test_lists_on_the_command_line(words: str) -> None:
    assert load(words).initial_peers == ("a", "b", "c")


def test_lists_in_environment_and_file(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    for text in ("initial_peers: [a, b]", "initial_peers: a, b", "initial_peers:\n- a\n- b\n"):
        file.write_text(text)
        assert load(config=file).initial_peers == ("a", "b")
    assert load(BTARD_INITIAL_PEERS="a, b").initial_peers == ("a", "b")


def test_switches_go_both_ways() -> None:
    assert load("--client-mode --initial-peers a").client_mode
    assert load("--initial-peers a", BTARD_CLIENT_MODE="true").client_mode
    assert not load("--no-client-mode", BTARD_CLIENT_MODE="1").client_mode


def test_a_negative_number_is_a_value_and_not_a_flag() -> None:
    assert sentence("--start -3") == "--start is -3, but must be a whole number of steps, at least 0"


@pytest.mark.parametrize(
    ("words", "environ", "expected"),
    [
        ("", {"CHECK_PROBA": "1.5"}, "CHECK_PROBA is 1.5, but must be a probability from 0 to 1"),
        ("", {"CHECK_PROBA": "nan"}, "CHECK_PROBA is nan, but must be a probability from 0 to 1"),
        ("", {"ATTACK_START": "soon"}, "ATTACK_START is 'soon', but must be a whole number of steps"),
        ("--start 2.5", {}, "--start is 2.5, but must be a whole number of steps"),
        ("--dht-port 70000", {}, "--dht-port is 70000, but must be a port number from 0 to 65535"),
        ("--timeout 0", {}, "--timeout is 0, but must be a number of seconds above 0"),
        ("--tau inf", {}, "--tau is inf, but must be a finite number above 0"),
        ("--mode loose", {}, "--mode is 'loose', but must be one of exact, tolerant"),
        ("", {"BTARD_CLIENT_MODE": "perhaps"}, "BTARD_CLIENT_MODE is 'perhaps', but must be true or false"),
        ("--timeout", {}, "--timeout needs a value"),
        ("--client-mode=yes", {}, "--client-mode takes no value"),
        ("--dht-prot 3", {}, "there is no flag --dht-prot; perhaps --dht-port was meant"),
        ("--zzz", {}, "there is no flag --zzz; example --help lists those that exist"),
        ("zzz", {}, "there is no flag 'zzz'; example --help lists those that exist"),
        ("--client-mode", {}, "--client-mode needs --initial-peers, since a client cannot be found"),
        (
            "",
            {"BTARD_DHTPORT": "1"},
            "BTARD_DHTPORT is set, but no such environment variable exists; perhaps BTARD_DHT_PORT was meant",
        ),
        (
            "",
            {"BTARD_ATTACK_START": "1"},
            "BTARD_ATTACK_START is set, but no such environment variable exists; perhaps ATTACK_START was meant",
        ),
    ],
)
def test_what_is_wrong_is_one_sentence(words: str, environ: dict[str, str], expected: str) -> None:
    assert sentence(words, **environ) == expected


class Named(Settings):
    """Text that has a length and a form."""

    colour: Annotated[
        str, Field(min_length=2, max_length=5, pattern="^[a-z]*$"), Option("of the run", form="small letters")
    ] = "red"


@pytest.mark.parametrize(
    ("colour", "expected"),
    [
        ("R2", "--colour is 'R2', but must be small letters"),
        ("r", "--colour is 'r', but must be text of at least 2 characters"),
        ("purple", "--colour is 'purple', but must be text of at most 5 characters"),
    ],
)
def test_text_is_told_what_it_must_be_like(colour: str, expected: str) -> None:
    with pytest.raises(UserError) as caught:
        load_settings(Named, ["--colour", colour], program="example", environ={})
    assert str(caught.value) == expected


def test_a_missing_value_names_all_its_places() -> None:
    with pytest.raises(
        UserError, match="--run-id is missing: give the flag, the environment variable BTARD_RUN_ID, or"
    ):
        load_settings(Example, [], program="example", environ={})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("dht_prt: 3", "dht_prt in {file} is not a setting; perhaps dht_port was meant"),
        ("dht_port: [1]", "dht_port in {file} is [1], but must be a port number from 0 to 65535"),
        ("timeout: yes", "timeout in {file} is true, as YAML reads yes and no, but is no switch"),
        ("timeout:", "timeout in {file} is None, but must be a number of seconds"),
        ("words", "the settings file {file} must hold lines such as `name: value`, not a str"),
    ],
)
def test_what_is_wrong_in_a_file_is_one_sentence(tmp_path: Path, text: str, expected: str) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text(text)
    assert sentence(config=file) == expected.format(file=file)


def test_an_unreadable_or_broken_file_is_one_sentence(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    assert sentence(config=file) == f"the settings file {file} cannot be read: No such file or directory"
    file.write_text("a: [")
    assert sentence(config=file).startswith(f"the settings file {file} is not YAML: ")
    assert "\n" not in sentence(config=file)


def test_an_empty_file_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("# nothing yet\n")
    assert load(config=file) == load()


def test_tau_has_two_names_that_must_agree() -> None:
    assert load(HIVEMIND_TAU="1", CCLIP_TAU="1.0").tau == 1.0
    assert load(HIVEMIND_TAU="0.125").tau == load(CCLIP_TAU="0.125").tau == load("--tau 0.125").tau == 0.125
    assert load().tau is None
    message = sentence(HIVEMIND_TAU="0.125", CCLIP_TAU="1.0")
    assert message.startswith("HIVEMIND_TAU is 0.125 but CCLIP_TAU is 1.0, and both name the same setting")
    assert sentence(CCLIP_TAU="-1") == "CCLIP_TAU is -1, but must be a number above 0"


@given(
    st.builds(
        Example,
        run_id=st.text(max_size=20),
        tau=st.none() | st.floats(min_value=1e-6, max_value=1e6),
        initial_peers=st.lists(st.text("abc/:0.", min_size=1), max_size=3).map(tuple),
        mode=st.sampled_from(Mode),
        check=st.none() | st.floats(0, 1),
    )
)
def test_what_to_yaml_writes_config_reads(tmp_path_factory: pytest.TempPathFactory, settings: Example) -> None:
    file = tmp_path_factory.mktemp("run") / "settings.yaml"
    file.write_text(to_yaml(settings), encoding="utf-8")
    assert load_settings(Example, ["--config", str(file)], program="example", environ={}) == settings


def test_help_tells_every_flag_with_default_unit_and_environment(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        load("--help --nonsense")
    assert left.value.code == 0
    text = capsys.readouterr().out
    for row in describe(Example):
        assert f"  {row.flag} {row.metavar}".rstrip() in text
        assert all(name in text for name in row.environment)
    assert "default: 31337 (port); environment: BTARD_DHT_PORT" in text
    assert "default: 3000 (steps); environment: ATTACK_START" in text
    assert "default: none; environment: HIVEMIND_TAU or CCLIP_TAU" in text
    assert "how validators compare: one of exact, tolerant" in text
    assert "default: required; environment: BTARD_RUN_ID" in text
    assert "A program for these tests." in text and "Not part of the help." not in text
    assert "--config PATH" in text and "--[no-]client-mode" in text
    assert max(map(len, text.splitlines())) <= 120


def test_groups_stay_together_in_the_order_of_headings() -> None:
    groups = [row.group for row in describe(Example)]
    assert list(dict.fromkeys(groups)) == [Group.GENERAL, Group.NETWORK, Group.AGGREGATION, Group.BYZANTINE]
    assert groups == sorted(groups, key=list(Group).index)


def test_another_default_leaves_a_setting_in_its_place() -> None:
    class Nearer(Example):
        timeout: Annotated[float, Field(gt=0), Option("longest wait", unit="seconds", group=Group.NETWORK)] = 0.5

    assert [row.flag for row in describe(Nearer)] == [row.flag for row in describe(Example)]
    assert [row.default for row in describe(Nearer) if row.flag == "--timeout"] == ["0.5"]


def test_a_heading_that_is_none_is_refused() -> None:
    with pytest.raises(TypeError, match="misplaced stands under 'Elsewhere'"):

        class Broken(Settings):
            misplaced: Annotated[int, Option("x", group="Elsewhere")] = 1  # type: ignore[arg-type]


def test_a_settings_class_refuses_a_field_without_help() -> None:
    with pytest.raises(TypeError, match="wordless"):

        class Broken(Settings):
            wordless: int = 1


def test_a_pattern_that_has_no_words_is_refused() -> None:
    with pytest.raises(TypeError, match="coded has a pattern"):

        class Broken(Settings):
            coded: Annotated[str | None, Field(pattern="^[a-z]$"), Option("x")] = None


@pytest.mark.parametrize("annotation", [dict[str, int], int | str])
def test_a_type_that_a_flag_cannot_express_is_refused(annotation: Any) -> None:
    with pytest.raises(TypeError, match="odd"):
        type(Settings)(
            "Odd", (Settings,), {"__annotations__": {"odd": Annotated[annotation, Option("x")]}, "odd": None}
        )


def test_variables_of_sibling_programs_are_tolerated(tmp_path: Path) -> None:
    """A sibling is an entry point; here one that an installed distribution would bring."""
    (tmp_path / "sibling.py").write_text(
        "from typing import Annotated\n"
        "from btard.configuration import Option, Settings\n"
        "class S(Settings):\n"
        "    sibling_only: Annotated[int, Option('x')] = 1\n"
    )
    information = tmp_path / "sibling-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: sibling\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text("[btard.settings]\nsibling = sibling:S\nabsent = absent_program:S\n")
    script = (
        "from btard.configuration import load_settings, installed_settings\n"
        "from btard.configuration.shared.protocol import TauSettings\n"
        "print(load_settings(TauSettings, ['--tau', '2'], program='p').tau, 'absent' in installed_settings())"
    )
    result = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONPATH": f"{tmp_path}:{Path(__file__).parents[2]}", "BTARD_SIBLING_ONLY": "2"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.stdout.strip(), result.stderr) == ("2.0 False", "")
