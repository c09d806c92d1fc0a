"""The page as a browser shows it, where there is a Chromium."""

import re
import shutil
import subprocess
import tempfile
import threading

import pytest

from lab.watch.server import PageServer

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
BROWSER = next(filter(None, map(shutil.which, BROWSERS)), None)
QUIETLY = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    "--virtual-time-budget=3000",
]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="no Chromium here to look at the page with"),
]


@pytest.fixture
def browse(watched, tmp_path):
    """Look at the page as it is three seconds after it was opened; return its text and where the picture is."""
    server = PageServer(watched, port=0)
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()

    def browse(*options, attempts=2):
        profile = tempfile.mkdtemp(dir=tmp_path)
        command = [BROWSER, *QUIETLY, f"--user-data-dir={profile}", *options, server.url]
        try:
            return subprocess.run(command, capture_output=True, timeout=60).stdout.decode()
        except subprocess.TimeoutExpired:  # of a headless Chromium, seen on a machine with much else to do
            if attempts == 1:
                raise
            return browse(*options, attempts=attempts - 1)

    yield browse
    server.close()
    thread.join(5)


def test_a_browser_shows_the_run_its_curve_and_its_texts_as_texts(browse, watched, begin):
    run = begin(plan_args={"epochs": 50}, sample="<img src=x onerror=document.title='broken-in'>")
    for epoch in range(1, 31):
        run.event("learning", epoch=epoch, loss=1.0 / epoch, loss_standard_error=0.02)
    watched.look()
    page = browse("--dump-dom")
    assert ">running<" in page
    assert "epoch 30 of 50" in page
    assert "HARDWARE" in page
    assert len(re.findall(r'class="point"', page)) == 30
    assert "&lt;img src=x" in page
    assert "broken-in</title>" not in page
    assert "60% running - train_by_hand</title>" in page


def test_the_page_is_drawn(browse, watched, begin, tmp_path):
    from matplotlib.image import imread

    run = begin()
    run.event("learning", epoch=1, loss=1.0)
    run.stop("fail", "the board is too hot")
    watched.look()
    picture = tmp_path / "page.png"
    browse(f"--screenshot={picture}", "--window-size=1400,900")
    pixels = imread(picture)[..., :3]
    assert pixels.shape == (900, 1400, 3)
    red = (abs(pixels - [0xB3 / 255, 0x26 / 255, 0x1E / 255]) < 0.02).all(axis=-1)
    assert red.sum() > 1000
    assert pixels.mean() > 0.85
