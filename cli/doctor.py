"""`btard doctor`: what keeps this machine out of a swarm, one sentence a check."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from btard.peer.doctor.finding import CheckResult

_FAILED = 1
_SIGNS = {"ok": "ok", "failed": "FAILED", "untested": "?"}


def main(argv: Sequence[str]) -> int:
    """Print the findings as they come, and return the exit code: 0 when none failed, 1 when one did.

    Raises:
        UserError: the words are wrong, or an address is none.
    """
    from btard.configuration import load_settings
    from btard.peer.doctor.settings import DoctorSettings

    settings = load_settings(DoctorSettings, argv, program="btard doctor")

    import uvloop

    from btard.peer.doctor.examination import Checkup
    from btard.peer.doctor.finding import CheckOutcome
    from btard.swarm.addresses import announce_maddrs, listen_maddrs

    listen = listen_maddrs(settings.host, settings.port)
    announce = announce_maddrs(settings.announce, settings.port)

    async def run() -> int:
        code = 0
        async for finding in Checkup(settings, listen, announce).run():
            _show(finding, as_json=settings.json)
            if finding.outcome is CheckOutcome.FAILED:
                code = _FAILED
        return code

    return uvloop.run(run())


def _show(finding: CheckResult, *, as_json: bool) -> None:
    """Print one finding; what strangers said in it cannot steer the terminal."""
    from btard.printable import printable

    if as_json:
        import dataclasses
        import json

        print(json.dumps(dataclasses.asdict(finding)), flush=True)
    else:
        print(f"{_SIGNS[finding.outcome]:6}  {finding.check}: {printable(finding.sentence)}", flush=True)
