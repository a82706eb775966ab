"""The peer's image, really built and run, where podman or docker and a base image can be had.

The coordinator's is not built here, for time: test_images.py shows that its Dockerfile is the peer's with less in it,
and `make test-images` builds both and runs a swarm in them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.images.engine import ROOT, Absent, Container, Engine, until

MOST_BYTES = 1_700_000_000
"""torch with CUDA would be 4 GB more; what is measured is in docs/containers.md."""

_NOBODY = ("--initial-peers", "127.0.0.1:9", "--join-timeout", "30")
_EXIT_USER_ERROR = 2
_EXIT_INTERRUPTED = 130
_EXIT_TERMINATED_EARLY = 143


@pytest.fixture
def engine() -> Iterator[Engine]:
    """An engine that has built the peer's image."""
    try:
        engine = Engine.find()
    except Absent as reason:
        pytest.skip(str(reason))
    try:
        try:
            base = engine.make_base()
        except Absent as reason:
            pytest.skip(str(reason))
        print(engine.build(base, "peer"))
        yield engine
    finally:
        engine.close()


@pytest.mark.slow
@pytest.mark.engine
def test_the_image_of_a_peer_is_built_and_runs(engine: Engine) -> None:
    """One test, since several would be run by several workers, and the image be built for each."""
    check_configuration(engine)
    check_layers(engine)

    def start(name: str, **environment: str) -> Container:
        return engine.run(name, "btard-peer", *_NOBODY, network="none", environment=environment)

    peer, misspelt = start("alone"), start("misspelt", ATTACK_TYPE="SIGN_FLIPING")
    check_peer(peer)
    check_attack(misspelt)
    check_stop(start("stopped"))


def check_configuration(engine: Engine) -> None:
    (image,) = json.loads(engine.call("image", "inspect", engine.image("btard-peer")))
    config = image["Config"]
    assert config["User"] == "1000:1000"
    assert config["Entrypoint"] == ["btard-peer"]
    assert list(config["Volumes"]) == ["/data"]
    health = config.get("Healthcheck") or image["Healthcheck"]
    assert health["Test"] == ["CMD", "python", "-m", "btard.cli.health"]
    assert image["Size"] < MOST_BYTES


def check_layers(engine: Engine) -> None:
    """Neither the pip configuration that was lent, nor this checkout, nor what only the build needs."""
    name = engine.image("btard-peer")
    assert str(ROOT) not in engine.call("history", "--no-trunc", name)
    places = "/build /run/secrets/* /root/.cache /root/.config /data/*"
    find = "find / -xdev -name pip.conf; find /opt /tmp /home -name '*.whl'"
    command = f"(ls -d {places}; {find}) 2>/dev/null; true"
    words = ("--rm", "--pull", "never", "--network", "none", "--entrypoint", "sh")
    assert engine.call("run", *words, name, "-c", command) == ""


def check_peer(peer: Container) -> None:
    """With no network it comes as far as the address: imports, its key in the volume, its user, the sentence."""
    until("it looks for its swarm", 120, lambda: "trying for" in peer.log() or not peer.running())
    assert peer.running(), peer.log()
    assert peer.try_inside("id", "-u") == "1000\n"
    assert peer.try_inside("stat", "-c", "%a %u", "/data/identity.key") == "600 1000\n"
    assert peer.try_inside("pip", "--version") is None
    assert not peer.healthy(), "it has not joined"
    until("it gives up", 120, lambda: peer.exit_code() is not None)
    assert peer.exit_code() == _EXIT_USER_ERROR
    assert "refuses the connection; is a coordinator running there?" in peer.log().splitlines()[-1]


def check_attack(misspelt: Container) -> None:
    until("it has refused its environment", 120, lambda: misspelt.exit_code() is not None)
    assert misspelt.exit_code() == _EXIT_USER_ERROR
    assert "SIGN_FLIPPING" in misspelt.log()


def check_stop(stopped: Container) -> None:
    def ended() -> bool:
        stopped.terminate()
        return stopped.exit_code() is not None

    until("it has ended after SIGTERM", 60, ended)
    assert stopped.exit_code() in (_EXIT_INTERRUPTED, _EXIT_TERMINATED_EARLY)
