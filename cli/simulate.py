"""`btard simulate`: a whole swarm in one process on a virtual clock, checked after every step."""

from __future__ import annotations

from collections.abc import Sequence

_VIOLATED = 3


def main(argv: Sequence[str]) -> int:
    """Simulate as the words say, print what happened, and return the exit code: 3 when an invariant does not hold.

    Raises:
        UserError: the words are wrong, an attack is not installed, or the output cannot be written.
    """
    from btard.configuration import load_settings
    from btard.lab.simulation.settings import SimulateSettings

    settings = load_settings(SimulateSettings, argv, program="btard simulate")

    from btard.byzantine.installed import check_installed
    from btard.swarm.local_facts import check_can_be_made

    for attack in settings.attack:
        check_installed(attack, "--attack")
    if settings.output is not None:
        check_can_be_made(settings.output, "--output")

    import json
    import sys

    from btard.errors import UserError
    from btard.lab.simulation.invariants import Violation, run_checked
    from btard.lab.simulation.report import report, tables
    from btard.lab.simulation.simulation import Simulation

    simulation = Simulation(settings)
    try:
        if settings.check:
            run_checked(simulation)
        else:
            simulation.run()
    except Violation as violation:
        print(violation, file=sys.stderr)
        return _VIOLATED
    directory = settings.output
    try:
        found = report(simulation, None if directory is None else directory / "bans")
        text = json.dumps(found, indent=1)
        if directory is not None:
            directory.mkdir(parents=True, exist_ok=True)
            (directory / "report.json").write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise UserError(f"--output is {directory}, which cannot be written: {error.strerror}") from None
    print(text if settings.json else tables(found))
    return 0
