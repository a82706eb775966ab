"""The settings of a peer: their defaults, the names that published experiments use, and refusals of one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from btard.configuration import load_settings, to_yaml
from btard.errors import UserError
from btard.peer.settings import PeerSettings
from btard.vocabulary import Device


def load(words: str = "--initial-peers host:31337", **environ: str) -> PeerSettings:
    return load_settings(PeerSettings, words.split(), program="btard-peer", environ=environ)


def refusal(words: str, **environ: str) -> str:
    with pytest.raises(UserError) as caught:
        load(words, **environ)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_an_address_is_enough() -> None:
    settings = load()
    assert settings.initial_peers == ["host:31337"]
    assert (settings.directory, settings.host, settings.port) == (Path("btard-peer"), "0.0.0.0", 0)
    assert (settings.device, settings.threads, settings.public, settings.announce) == (Device.AUTO, 0, False, [])
    assert (settings.tau, settings.attack_type, settings.check_proba) == (None, "NONE", None)


def test_the_variables_of_published_experiments() -> None:
    settings = load(
        HIVEMIND_TAU="0.5",
        ATTACK_TYPE="SIGN_FLIPPING",
        ATTACK_START="10",
        ATTACK_PROBA="0.25",
        MAX_ATTACKS="3",
        CHECK_PROBA="0.1",
        DIRECTION_SEED="7",
        BTARD_PORT="4000",
    )
    assert (settings.tau, settings.attack_type, settings.attack_start) == (0.5, "SIGN_FLIPPING", 10)
    assert (settings.attack_proba, settings.max_attacks, settings.check_proba) == (0.25, 3, 0.1)
    assert (settings.direction_seed, settings.port) == (7, 4000)


@pytest.mark.parametrize(
    "words, about",
    [
        ("", "initial"),
        ("--initial-peers a:1 --port 70000", "port"),
        ("--initial-peers a:1 --port -1", "port"),
        ("--initial-peers a:1 --join-timeout 0", "join-timeout"),
        ("--initial-peers a:1 --join-timeout nan", "join-timeout"),
        ("--initial-peers a:1 --device tpu", "device"),
        ("--initial-peers a:1 --threads -1", "threads"),
        ("--initial-peers a:1 --tau 0", "tau"),
        ("--initial-peers a:1 --attack-proba 1.5", "attack-proba"),
        ("--initial-peers a:1 --learning-rate 0.1", "learning-rate"),
    ],
)
def test_what_is_wrong_is_named(words: str, about: str) -> None:
    assert about in refusal(words)


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("CHECK_PROBA", "1.5", "CHECK_PROBA is 1.5, but must be a probability from 0 to 1"),
        ("CHECK_PROBA", "-0.1", "CHECK_PROBA is -0.1, but must be a probability from 0 to 1"),
        ("HIVEMIND_TAU", "0", "above 0"),
    ],
)
def test_a_variable_that_makes_no_sense_is_named(variable: str, value: str, says: str) -> None:
    assert says in refusal("--initial-peers a:1", **{variable: value})


def test_both_names_of_the_radius_must_agree() -> None:
    assert load(HIVEMIND_TAU="0.5", CCLIP_TAU="0.5").tau == 0.5
    assert "CCLIP_TAU" in refusal("--initial-peers a:1", HIVEMIND_TAU="0.5", CCLIP_TAU="0.7")


def test_the_written_configuration_gives_the_same_settings(tmp_path: Path) -> None:
    settings = load("--initial-peers a:1 b:2 --directory here --device cpu --tau 0.5 --public --data hub:x")
    file = tmp_path / "config.yaml"
    file.write_text(to_yaml(settings), encoding="utf-8")
    assert load(f"--config {file}") == settings


def test_settings_do_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load().port = 1  # type: ignore[misc]
