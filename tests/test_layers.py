"""Imports go only down the table of docs/architecture.md, and the protocol core knows no network."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

MAY_IMPORT = {
    "cli": {"deploy", "lab", "coordinator", "pipeline", "peer", "swarm", "byzantine", "tasks", "btard"},
    "deploy": {"lab", "coordinator", "pipeline", "peer", "swarm", "byzantine", "tasks", "btard"},
    "lab": {"pipeline", "byzantine", "tasks", "btard"},
    "coordinator": {"pipeline", "swarm", "tasks", "btard"},
    "pipeline": {"peer", "swarm", "byzantine", "tasks", "btard"},
    "peer": {"swarm", "byzantine", "tasks", "btard"},
    "swarm": {"byzantine", "tasks", "btard"},
    "byzantine": {"tasks", "btard"},
    "tasks": {"btard"},
    "btard": set(),
}
"""Folders at the top, which are all imported below `btard`; the folder `btard` is what is not in another."""

ROOMS = {
    "btard": [
        {"version"},
        {"errors"},
        {"vocabulary"},
        {"printable"},
        {"home"},
        {"hexadecimal"},
        {"hashing"},
        {"durable"},
        {"tensors"},
        {"plugins"},
        {"logs"},
        {"program"},
        {"configuration"},
        {"identity"},
        {"outline"},
        {"agreement"},
        {"aggregation"},
        {"vectors"},
        {"verification"},
        {"round"},
        {"reunion"},
        {"behaviour"},
        {"trainer"},
        {"exhibits"},
        {"executor"},
        {"transport"},
    ],
    "btard.round": [
        {"draw"},
        {"randomness"},
        {"roster"},
        {"rules"},
        {"messages"},
        {"evidence"},
        {"decisions"},
        {"admission"},
        {"aggregates"},
        {"attempt"},
        {"actions"},
        {"work"},
        {"context"},
        {"delivery"},
        {"phases"},
        {"failure"},
        {"proof"},
        {"step"},
        {"session"},
    ],
    "btard.peer": [
        {"keeping", "own_pace", "settings"},
        {"local_facts", "meeting", "trainer"},
        {"comparing", "lookback", "shown_material", "telemetry", "visit"},
        {"returning"},
        {"serving"},
        {"entrance"},
        {"doctor", "training"},
        {"assembly"},
        {"daemon"},
    ],
    "btard.coordinator": [
        {"dashboard", "pipeline_settings", "run_directory"},
        {"settings"},
        {"pipeline_terms"},
        {"manifest_maker", "network", "ports", "telemetry"},
        {"local_facts"},
        {"pipeline", "run"},
        {"assembly"},
        {"daemon"},
    ],
    "btard.swarm": [
        {"addresses", "members", "pipeline_terms", "tending", "tolerance"},
        {"calibration", "http", "manifest", "questions", "records"},
        {"local_facts"},
        {"bans", "door", "events", "lineage", "probe", "state_sync", "telemetry", "transfer"},
    ],
}
"""Files and folders directly in a folder, in rows from the bottom: each imports only from rows before its own."""

MOST_ROOMS, MOST_ARROWS = 20, 90
"""In `btard/round`: as much as a reader can hold in mind."""


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names if node.module in {"btard", *ROOMS})


def folder_of(module: str) -> str | None:
    root, _, rest = module.partition(".")
    if root != "btard" or not rest:
        return None
    folder = rest.split(".")[0]
    return folder if folder in MAY_IMPORT else "btard"


@pytest.mark.parametrize("folder", MAY_IMPORT)
def test_a_folder_imports_only_from_below(folder: str) -> None:
    files = list((ROOT / folder).rglob("*.py"))
    assert files
    for path in files:
        found = {folder_of(name) for name in imported(path)} - {None, folder}
        assert found <= MAY_IMPORT[folder], f"{path.relative_to(ROOT)} imports {found - MAY_IMPORT[folder]}"


@pytest.mark.parametrize("folder", MAY_IMPORT)
def test_all_is_imported_below_one_root(folder: str) -> None:
    for path in [*(ROOT / folder).rglob("*.py"), *(ROOT / "tests" / folder).rglob("*.py")]:
        bare = {name.split(".")[0] for name in imported(path)} & (MAY_IMPORT.keys() - {"btard"})
        assert not bare, f"{path.relative_to(ROOT)} imports {bare} from outside of btard"


def test_the_round_knows_neither_asyncio_nor_a_network() -> None:
    files = list((ROOT / "btard" / "round").rglob("*.py"))
    assert files
    for path in files:
        outside = {name.split(".")[0] for name in imported(path)}
        assert outside.isdisjoint({"asyncio", "hivemind", "socket", "threading", "time", "random", "uvloop"}), path.name


def arrows(package: str) -> dict[str, set[str]]:
    """Return which rooms of a package each of its rooms imports. Links lead to other folders, and are none."""
    folder = ROOT / package.replace(".", "/")
    rooms = [path for path in folder.iterdir() if not path.is_symlink()]
    rooms = [path for path in rooms if path.suffix == ".py" or (path / "__init__.py").is_file()]
    found: dict[str, set[str]] = {}
    for room in rooms:
        name = room.stem
        files = [room] if room.is_file() else list(room.rglob("*.py"))
        modules = {module for file in files for module in imported(file) if module.startswith(f"{package}.")}
        found[name] = {module.removeprefix(f"{package}.").split(".")[0] for module in modules} - {name}
    return {name: targets & found.keys() for name, targets in found.items() if name != "__init__"}


@pytest.mark.parametrize("package", ROOMS)
def test_a_room_imports_only_rooms_below_it(package: str) -> None:
    row_of = {room: number for number, row in enumerate(ROOMS[package]) for room in row}
    found = arrows(package)
    assert row_of.keys() == found.keys() and sum(map(len, ROOMS[package])) == len(row_of), "each room stands in one row"
    for room, targets in found.items():
        beside = {target for target in targets if row_of[target] >= row_of[room]}
        assert not beside, f"{package}.{room} imports {beside}, which are not below it"


def test_the_round_has_few_rooms_and_few_arrows() -> None:
    found = arrows("btard.round")
    assert len(found) <= MOST_ROOMS and sum(map(len, found.values())) <= MOST_ARROWS
