"""A real swarm in a real browser: the page shows a ban while it happens, and afterwards from the files."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from btard.cli.verdict import main as verdict
from tests.deploy.standins import ROOT, environment
from tests.swarm.events.lines import coordinator_line

playwright = pytest.importorskip("playwright.sync_api", reason="the package playwright is not installed")
expect = playwright.expect
expect.set_options(timeout=90_000)
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
SCREENSHOTS = ROOT / "runs" / "screenshots"
"""Where the pictures of the latest run stay, for people to look at."""

MOST_BYTES = 200_000
PATIENCE = 90.0

GATED_SWARM = """
import sys
from pathlib import Path
from btard.cli.main import main
from btard.deploy.local import swarm
gate, listens = Path(sys.argv.pop(1)), swarm.listens
swarm.listens = lambda port: gate.exists() and listens(port)
sys.exit(main())
"""
"""`btard` whose peers start once a file is there: what the page shows of a run that has not begun can be looked at."""

pytestmark = [
    pytest.mark.swarm,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium here: apt-get install chromium"),
]

CONTRASTS = """() => {
  const probe = document.createElement('i');
  document.body.append(probe);
  const light = (name) => {
    probe.style.color = `var(--${name})`;
    const [r, g, b] = getComputedStyle(probe).color.match(/[0-9.]+/g).map((v) => {
      const c = v / 255;
      return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const pairs = ['ink/bg', 'ink/card', 'soft/bg', 'soft/card', 'accent/card', 'bad/card', 'warn/card', 'warn/bg',
                 'bad/bad-bg', 'good/good-bg', 'warn/warn-bg', 'ink/line'];
  const found = Object.fromEntries(pairs.map((pair) => {
    const [a, b] = pair.split('/').map(light).sort((x, y) => y - x);
    return [pair, (a + 0.05) / (b + 0.05)];
  }));
  probe.remove();
  return found;
}"""

NAMELESS = """() => { const LABEL = 'aria-labelledby'; return [
  ...[...document.querySelectorAll('table')].filter((e) => !e.querySelector('caption')?.textContent),
  ...[...document.querySelectorAll('section')].filter((e) => e.querySelector('h2').id !== e.getAttribute(LABEL)),
  ...[...document.querySelectorAll('svg')].filter((e) => e.role !== 'img' || !e.getAttribute('aria-label')),
  ...[...document.querySelectorAll('.scroll')].filter((e) => e.tabIndex !== 0 || !e.getAttribute('aria-label')),
].map((node) => node.outerHTML.slice(0, 200)); }"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        words = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=words)
        yield chromium
        chromium.close()


def eventually(found: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + PATIENCE
    while not (value := found()):
        assert time.monotonic() < deadline, what
        time.sleep(0.1)
    return value


def dashboard_of(directory: Path) -> str | None:
    """The address that the coordinator tells in its log of events."""
    log = directory / "coordinator" / "events.jsonl"
    lines = log.read_text().splitlines() if log.exists() else []
    told = [json.loads(line) for line in lines if '"dashboard"' in line]
    return str(told[0]["address"]) if told else None


class Watcher:
    """A page, and everything that it loads or complains about."""

    def __init__(self, browser: Any, url: str, **context: Any) -> None:
        self.page = browser.new_context(accept_downloads=True, **context).new_page()
        self.complaints: list[str] = []
        self.urls: list[str] = []
        self.bytes = 0
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.urls.append(request.url))
        network = self.page.context.new_cdp_session(self.page)
        network.send("Network.enable")
        network.on("Network.dataReceived", self._count)
        self.page.goto(url)
        self.page.wait_for_selector("body[data-ready]")
        self.first_bytes = self.bytes

    def _count(self, event: dict[str, Any]) -> None:
        self.bytes += event["dataLength"]

    def picture(self, name: str) -> None:
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.wait_for_timeout(300)
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)


def test_a_ban_is_seen_while_it_happens_and_replayed_afterwards(browser: Any, tmp_path: Path) -> None:
    run, gate = tmp_path / "run", tmp_path / "gate"
    words = "--task digits --peers 5 --byzantine 1 --attack-start 12 --validators 2 --checkpoint-every 20"
    options = ["--steps", "100000", "--dashboard", ":0", "--directory", str(run)]
    swarm = subprocess.Popen(
        [sys.executable, "-c", GATED_SWARM, str(gate), "swarm", *words.split(), *options],
        env=environment(),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        url = eventually(lambda: dashboard_of(run), "the coordinator serves no page")
        watcher = Watcher(browser, url, viewport={"width": 1280, "height": 900}, color_scheme="light")
        page = watcher.page
        expect(page.locator("#experiment")).to_have_text("swarm")
        expect(page.get_by_text("Nobody is banned.")).to_be_visible()
        gate.touch()
        expect(page.locator("#news")).to_contain_text("Proven")
        expect(page.locator("#news")).to_have_attribute("aria-live", "polite")
        expect(page.locator("#ban-list li p:nth-child(2)")).to_contain_text(
            "it sent a vector that is not the gradient of its public seed; by the signed votes of"
        )
        banned = page.inner_text("#ban-list li p.id")
        with page.expect_download() as download:
            page.get_by_role("link", name="Evidence against").click()
        evidence = tmp_path / "downloaded" / download.value.suggested_filename
        download.value.save_as(evidence)
        assert verdict([str(evidence), "--run", str(run / "coordinator")]) == 0
        check_panels(page)
        watcher.picture("live")
        swarm.send_signal(signal.SIGINT)
        output, _ = swarm.communicate(timeout=PATIENCE)
        assert swarm.returncode == 130, output
        expect(page.get_by_text("The coordinator has ended")).to_be_visible()
        assert page.inner_text("#state") == "stopped"
        assert {url.split("/", 3)[2] for url in watcher.urls} == {url.split("/", 3)[2]}
        assert watcher.first_bytes < MOST_BYTES
        assert all("ERR_" in text for text in watcher.complaints), watcher.complaints  # the coordinator has gone
    finally:
        if swarm.poll() is None:
            swarm.terminate()
            swarm.communicate(timeout=PATIENCE)
    assert f"dashboard {url}" in output
    (run / "summary.json").write_text(json.dumps({"attack_start": 12}))  # as a swarm that has ended by itself leaves it
    check_replay(browser, run, banned)


def check_panels(page: Any) -> None:
    """Every panel comes to show something, and says it in words too; each is told at a time of its own."""
    expect(page.locator("#checkpoints tbody td").nth(1)).not_to_be_empty()
    length = "document.querySelector('#loss path.main')?.getTotalLength() ?? 0"
    eventually(lambda: page.evaluate(length) > 100, "the curve of the loss grows")
    expect(page.locator("#window line.ban")).to_be_attached()
    expect(page.locator("#window-words")).to_contain_text("Before step")
    expect(page.locator("#stages tbody tr")).to_have_count(4)
    expect(page.locator("#stages-words")).to_contain_text("Slowest to compute")
    expect(page.locator("#roster tbody tr")).to_have_count(5)
    expect(page.locator("#roster .badge.bad")).to_have_count(1)
    expect(page.locator("#machines")).to_contain_text("torch")
    expect(page.locator("#verdict-words")).to_contain_text("it differs")
    assert page.evaluate(NAMELESS) == []
    assert page.evaluate("[...document.querySelectorAll('h1,h2,h3')].map((h) => h.tagName)")[:3] == ["H1", "H2", "H3"]
    for landmark in ("header", "main", "footer"):
        assert page.locator(landmark).count() == 1


def test_that_nobody_is_validated_stands_on_the_page(browser: Any, tmp_path: Path) -> None:
    words = "nobody is validated: 3 voters, 4 are needed"
    begun = coordinator_line("genesis", step=0, members=["A", "B", "C"])
    events = [begun, coordinator_line("unvalidated", time=2.0, step=4, words=words)]
    (tmp_path / "manifest.json").write_text("{}")
    (tmp_path / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    with replayed(tmp_path) as url:
        watcher = Watcher(browser, url)
        expect(watcher.page.locator("#unvalidated")).to_have_text(f"From step 4 on {words}.")
        assert watcher.page.is_visible("#unvalidated") and watcher.complaints == []
    (tmp_path / "events.jsonl").write_text(json.dumps(begun) + "\n")
    with replayed(tmp_path) as url:
        page = Watcher(browser, url).page
        assert not page.is_visible("#unvalidated") and not page.is_visible("#paused")


def test_a_pause_stands_on_the_page(browser: Any, tmp_path: Path) -> None:
    pause = coordinator_line("paused", time=2.0, step=4, voters=3, missing=["AAAAAAB", "<b>CCC"])
    (tmp_path / "manifest.json").write_text("{}")
    (tmp_path / "events.jsonl").write_text(json.dumps(pause) + "\n")
    with replayed(tmp_path) as url:
        watcher = Watcher(browser, url)
        words = "The run pauses: step 4 waits for more than half of its 3 voters: 1 is here; missing: <b>CCC, AAAAAB."
        expect(watcher.page.locator("#paused")).to_have_text(words)
        assert watcher.complaints == []


@contextmanager
def replayed(run: Path) -> Iterator[str]:
    """`btard replay` of a run, at the address that it tells."""
    replay = subprocess.Popen(
        [sys.executable, "-m", "btard.cli.main", "replay", str(run), "--dashboard", ":0"],
        env=environment(),
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert replay.stderr is not None
        yield replay.stderr.readline().split()[-1]
    finally:
        replay.terminate()
        assert replay.wait(10) == 0


def check_replay(browser: Any, run: Path, banned: str) -> None:
    """The same page, for the run that is over: in the dark, on a phone, by keyboard."""
    with replayed(run) as url:
        for scheme in ("light", "dark"):
            watcher = Watcher(browser, url, viewport={"width": 1280, "height": 900}, color_scheme=scheme)
            assert watcher.page.inner_text("#state") == "stopped"
            assert watcher.page.inner_text("#ban-list li p.id") == banned
            assert "attack from 12" in watcher.page.text_content("#loss svg")
            assert watcher.first_bytes < MOST_BYTES and watcher.complaints == []
            too_weak = {pair: ratio for pair, ratio in watcher.page.evaluate(CONTRASTS).items() if ratio < 4.5}
            assert too_weak == {}, scheme
            watcher.picture(f"replay-{scheme}")
        phone = Watcher(browser, url, viewport={"width": 360, "height": 740}, reduced_motion="reduce", is_mobile=True)
        assert phone.page.evaluate("document.documentElement.scrollWidth") == 360
        phone.picture("replay-phone")
        phone.page.keyboard.press("Tab")
        assert phone.page.evaluate("document.activeElement.textContent") == "Skip to bans"
        assert phone.page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        phone.page.keyboard.press("Enter")
        phone.page.keyboard.press("Tab")
        assert "Evidence against" in phone.page.evaluate("document.activeElement.textContent")
