import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request

import pytest
from click.testing import CliRunner

from lab.cli import main


def test_an_unknown_run_is_refused_before_anything_is_served(tmp_path):
    outcome = CliRunner().invoke(main, ["watch", "nothing", "--directory", str(tmp_path)], standalone_mode=False)
    assert outcome.return_value == 1
    assert "no run 'nothing'" in outcome.stderr


def test_a_token_file_without_a_token_is_refused(tmp_path):
    (tmp_path / "token").write_text("short")
    words = ["watch", "--directory", str(tmp_path), "--token-file", str(tmp_path / "token")]
    outcome = CliRunner().invoke(main, words, standalone_mode=False)
    assert outcome.return_value == 1
    assert "at least 16" in outcome.stderr


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_beyond_loopback_a_token_is_made_shown_once_and_asked_for_and_ctrl_c_ends(tmp_path):
    command = [sys.executable, "-m", "lab", "watch", "--directory", str(tmp_path / "runs"), "--port", "0"]
    environment = {**os.environ, "HOME": str(tmp_path)}
    with subprocess.Popen(
        [*command, "--address", "0.0.0.0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        url = process.stdout.readline().strip()
        token = url.partition("?token=")[2]
        assert (tmp_path / ".config" / "szilard" / "watch-token").read_text().strip() == token
        port = url.rpartition(":")[2].partition("/")[0]
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=20)
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        with opener.open(f"http://127.0.0.1:{port}/?token={token}", timeout=20) as page:
            assert page.status == 200
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        assert token not in process.stderr.read() + process.stdout.read()
