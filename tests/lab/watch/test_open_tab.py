"""A tab that stays open: what it shows over many renewals, ends of runs and silences, where there is a Chromium."""

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from contextlib import suppress

import pytest

from lab.watch import page
from lab.watch.server import PageServer

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
BROWSER = next(filter(None, map(shutil.which, BROWSERS)), None)
QUIETLY = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--remote-debugging-pipe"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
AT_PIPES_3_AND_4 = """
import fcntl, os, sys
pipes = [fcntl.fcntl(int(pipe), fcntl.F_DUPFD, 10) for pipe in sys.argv[1:3]]
os.dup2(pipes[0], 3)
os.dup2(pipes[1], 4)
os.execv(sys.argv[3], sys.argv[3:])
"""
TOKEN = "a-token-that-is-long-enough"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None or os.name != "posix", reason="no Chromium here to leave a tab open in"),
]


class Chromium:
    """A browser that is spoken to through the pipes of its DevTools."""

    def __init__(self, profile):
        commands, self._commands = os.pipe()
        self._answers, answers = os.pipe()
        words = [sys.executable, "-c", AT_PIPES_3_AND_4, str(commands), str(answers)]
        self._process = subprocess.Popen(
            [*words, BROWSER, *QUIETLY, f"--user-data-dir={profile}", "about:blank"],
            pass_fds=(commands, answers),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(commands)
        os.close(answers)
        self._unread = b""
        self._number = 0

    def ask(self, method, session=None, **parameters):
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        message |= {"sessionId": session} if session else {}
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while (answer := self._next()).get("id") != self._number:
            pass
        return answer["result"]

    def _next(self):
        while b"\0" not in self._unread:
            read = os.read(self._answers, 2**20)
            assert read, "the browser has gone"
            self._unread += read
        message, _, self._unread = self._unread.partition(b"\0")
        return json.loads(message)

    def close(self):
        with suppress(AssertionError, OSError):
            self.ask("Browser.close")
        self._process.wait(20)
        os.close(self._commands)
        os.close(self._answers)


class Tab:
    """One tab, at an address."""

    def __init__(self, chromium, url):
        self._chromium = chromium
        self._target = chromium.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = chromium.ask("Target.attachToTarget", targetId=self._target, flatten=True)["sessionId"]
        self.ask("Performance.enable")
        self.ask("Page.navigate", url=url)

    def ask(self, method, **parameters):
        return self._chromium.ask(method, self._session, **parameters)

    def value(self, script):
        return self.ask("Runtime.evaluate", expression=script, returnByValue=True)["result"].get("value")

    def text(self, part):
        return self.value(f"(document.getElementById('{part}') || {{}}).innerText") or ""

    def shows(self, part, text):
        until(lambda: text in self.text(part), lambda: f"{text!r} is not in {part}: {self.text(part)!r}")

    def kept(self):
        """Return how many nodes, listeners and bytes are kept."""
        for _ in range(2):
            self.ask("HeapProfiler.collectGarbage")
        numbers = {entry["name"]: entry["value"] for entry in self.ask("Performance.getMetrics")["metrics"]}
        return numbers["Nodes"], numbers["JSEventListeners"], numbers["JSHeapUsedSize"]

    def close(self):
        self._chromium.ask("Target.closeTarget", targetId=self._target)


def until(condition, complaint=lambda: "it did not come about", seconds=30.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, complaint()
        threading.Event().wait(0.05)


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    browser = Chromium(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture
def serve(watched, monkeypatch):
    """Serve the page, which asks ten times a second and is patient for half of one; return the server."""
    monkeypatch.setattr(page, "ASKING", 100)
    monkeypatch.setattr(page, "SILENCE", 500)
    stops = []

    def serve(**options):
        server = PageServer(watched, **{"port": 0, **options})
        thread = threading.Thread(target=server.serve, daemon=True)
        thread.start()
        stops.append(lambda: (server.close(), thread.join(10)))
        server.stop = stops[-1]
        return server

    yield serve
    for stop in stops:
        stop()


@pytest.fixture
def patient(serve, monkeypatch):
    """Let a busy machine answer late."""
    monkeypatch.setattr(page, "SILENCE", 60000)


@pytest.fixture
def open_tab(chromium):
    tabs = []

    def open_tab(url):
        tabs.append(Tab(chromium, url))
        return tabs[-1]

    yield open_tab
    for tab in tabs:
        tab.close()


def test_a_tab_follows_a_run_to_its_end_and_the_next_one(serve, open_tab, watched, begin):
    run = begin("first_run", plan_args={"epochs": 4})
    run.event("learning", epoch=1, step=1, loss=1.0)
    watched.look()
    tab = open_tab(serve().url)
    tab.shows("head", "running")
    tab.shows("progress", "epoch 1 of 4")
    run.stop("fail", "the board did not answer")
    watched.look()
    tab.shows("head", "failed")
    tab.shows("messages", "the board did not answer")
    begin("second_run", plan_args={"epochs": 9}).event("learning", epoch=2, step=2, loss=1.0)
    watched.look()
    tab.shows("head", "second run")
    tab.shows("progress", "epoch 2 of 9")
    tab.shows("messages", "none in this run")
    tab.shows("messages", "first_run")
    until(lambda: "running - second_run" in tab.value("document.title"))


def test_a_tab_says_that_it_lost_contact_and_comes_back_by_itself(serve, open_tab, watched, begin):
    run = begin()
    run.event("learning", epoch=1, step=1, loss=1.0)
    watched.look()
    server = serve()
    tab = open_tab(server.url)
    tab.shows("head", "running")
    until(lambda: tab.text("lost") == "")
    server.stop()
    tab.shows("lost", "No answer from lab watch for")
    tab.shows("lost", "What is shown below is from")
    until(lambda: tab.value("document.title") == "no contact - lab watch")
    run.stop()
    watched.look()
    serve(port=server.port)
    tab.shows("head", "finished")
    tab.shows("gap", "lab watch did not answer")
    until(lambda: tab.text("lost") == "" and "finished" in tab.value("document.title"))


def test_a_tab_says_that_a_restarted_server_wants_its_new_token(serve, open_tab, watched):
    watched.look()
    server = serve(token=TOKEN)
    tab = open_tab(server.url)
    tab.shows("head", "No run yet")
    server.stop()
    serve(port=server.port, token=TOKEN[::-1])
    tab.shows("lost", "open the address that it printed")


def test_a_tab_whose_answers_take_longer_than_its_next_question_is_not_empty(
    serve, open_tab, watched, begin, monkeypatch
):
    def slowly(_):
        threading.Event().wait(0.3)
        return "slow"

    begin()
    watched.look()
    monkeypatch.setattr(page, "_title", slowly)
    open_tab(serve().url).shows("head", "running")


@pytest.mark.usefixtures("patient")
def test_a_tab_whose_computer_slept_does_not_call_that_a_loss_of_contact(serve, open_tab, watched, begin):
    run = begin()
    watched.look()
    tab = open_tab(serve().url)
    tab.shows("head", "running")
    tab.value("window.told = []; setInterval(() => told.push(document.getElementById('lost').innerText), 20)")
    tab.value("const awake = Date.now; Date.now = () => awake() + 8 * 3600 * 1000")
    run.stop()
    watched.look()
    tab.shows("head", "finished")
    assert set(tab.value("told")) <= {""}
    assert tab.text("gap") == ""


@pytest.mark.usefixtures("patient")
def test_what_a_tab_keeps_does_not_grow_with_its_renewals(serve, open_tab, watched, begin, monkeypatch):
    monkeypatch.setattr(page, "ASKING", 20)
    run = begin()
    for step in range(1, 11):
        run.event("learning", step=step, loss=1.0 / step)
    watched.look()
    tab = open_tab(serve().url)
    tab.shows("charts", "Loss")

    def renew(times):
        for number in range(times):
            run = _moved(watched.view["run"], number)
            watched.view = {**watched.view, "run": run, "trouble": f"{number} of {times}"}
            tab.shows("head", f"{number} of {times}")

    renew(10)
    before = tab.kept()
    renew(30)
    nodes, listeners, heap = (after - earlier for after, earlier in zip(tab.kept(), before, strict=True))
    assert nodes < 200  # a chart has more
    assert listeners < 15  # half of one at each renewal
    assert heap < 4e6  # while the browser still compiles


def _moved(run, number):
    """Return a view of a run whose curve is another one."""
    (chart,) = run["charts"]
    (trace,) = chart["traces"]
    moved = [0.5 + 0.4 * (-1) ** (number + place) for place in range(len(trace["y"]))]
    return {**run, "charts": [{**chart, "traces": [{**trace, "y": moved}]}]}
