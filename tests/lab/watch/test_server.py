import json
import socket
import stat
import threading
import urllib.request
from contextlib import ExitStack, contextmanager

import pytest

from lab.watch.page import PARTS
from lab.watch.server import PageServer, TokenError, is_loopback, make_token, read_token

TOKEN = "a-token-that-is-long-enough"


def ask(client, seen=None):
    """Ask what a browser asks once a second."""
    return client.get("/parts", query_string=seen)


def test_the_page_and_all_it_needs_come_from_here(served):
    client = served().client
    page = client.get("/").text
    sources = [part.split('"')[0] for part in page.split('src="')[1:]]
    assert sources
    assert all(source.startswith("/") for source in sources)
    for source in sources:
        with client.get(source) as answer:
            assert answer.status_code == 200
            assert answer.data
    assert "default-src 'self'" in client.get("/").headers["Content-Security-Policy"]


def test_the_run_under_way_is_in_the_answer(served, begin):
    page = served()
    begin("train_this", plan_args={"epochs": 4}).event("learning", epoch=1, loss=0.5)
    page.watcher.look()
    text = ask(page.client).text
    assert "train this" in text
    assert "epoch 1 of 4" in text
    assert "HARDWARE" in text


def test_only_what_has_changed_is_sent(served, begin):
    page = served()
    run = begin()
    run.event("learning", epoch=1, loss=0.5)
    page.watcher.look()
    first = ask(page.client).json
    run.stop()
    page.watcher.look()
    again = ask(page.client, first["seen"]).json
    assert set(first["parts"]) == set(first["seen"]) == set(PARTS)
    assert "head" in again["parts"]
    assert "charts" not in again["parts"]
    assert ask(page.client, again["seen"]).json["parts"] == {}


def test_texts_of_a_run_stay_texts(served, begin):
    page = served()
    evil = "<script>alert(1)</script>"
    run = begin(evil, sample=evil, plan_args={"note": evil})
    run.stop("fail", evil)
    page.watcher.look()
    assert evil not in page.client.get("/").text
    parts = ask(page.client).json["parts"]
    held = [text for text in texts(parts) if evil in text]
    assert len(held) >= 4
    assert "dangerously" not in json.dumps(parts)
    assert not {node["type"] for node in nodes(parts)} & {"Markdown", "Script", "Iframe"}


def nodes(part):
    if isinstance(part, dict):
        if "namespace" in part:
            yield part
        for value in part.values():
            yield from nodes(value)
    elif isinstance(part, list):
        for value in part:
            yield from nodes(value)


def texts(part):
    for node in nodes(part):
        children = node["props"].get("children")
        yield from (
            child for child in (children if isinstance(children, list) else [children]) if isinstance(child, str)
        )


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "POST"])
@pytest.mark.parametrize("path", ["/", "/anything", "/parts", "/_dash-layout", "/_dash-update-component"])
def test_nothing_can_be_written(served, method, path):
    assert served().client.open(path, method=method).status_code == 405


@pytest.mark.parametrize(
    "path", ["/assets/../server.py", "/assets/%2e%2e/page.py", "/assets//etc/passwd", "/../../etc/passwd"]
)
def test_no_other_file_can_be_read(served, path):
    response = served().client.get(path)
    assert "root:" not in response.text
    assert "import " not in response.text


@pytest.mark.parametrize("garbage", ["?", "?head", "?head=%ff%fe", "?head=1&head=2", "?seen={}", f"?x={'y' * 10_000}"])
def test_garbage_harms_only_who_sends_it(served, begin, garbage):
    page = served()
    begin()
    page.watcher.look()
    assert set(page.client.get(f"/parts{garbage}").json["parts"]) == set(PARTS)
    assert ask(page.client).status_code == 200


def test_a_question_that_is_too_long_is_refused(watched):
    with serving(watched) as server, socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(b"GET /parts HTTP/1.1\r\nContent-Length: 100000\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 413")


def test_another_sites_name_is_not_answered_to_on_loopback(served):
    assert served().client.get("/", headers={"Host": "evil.example"}).status_code == 400


def test_without_the_token_there_is_nothing(served):
    page = served(token=TOKEN, loopback=False)
    for path in ("/", "/_dash-layout", "/_dash-dependencies", "/assets/watch.css", "/?token=wrong", "/?token=é"):
        assert page.client.get(path).status_code == 401
    assert ask(page.client).status_code == 401


def test_the_token_is_taken_from_the_address_once(served):
    client = served(token=TOKEN, loopback=False).client
    response = client.get(f"/?token={TOKEN}")
    assert response.status_code == 302
    assert response.location == "/"
    cookie = response.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert client.get("/").status_code == 200
    assert TOKEN not in client.get("/").text
    assert ask(client).status_code == 200


def test_a_program_may_send_the_token_in_a_header(served):
    client = served(token=TOKEN, loopback=False).client
    assert client.get("/", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
    assert client.get("/", headers={"Authorization": "Bearer "}).status_code == 401


def test_beyond_loopback_a_token_is_needed(watched):
    with pytest.raises(TokenError, match="needs a token"):
        PageServer(watched, address="0.0.0.0", port=0)


@pytest.mark.parametrize(
    ("address", "loopback"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("lab7", False)],
)
def test_loopback_is_told_from_the_rest(address, loopback):
    assert is_loopback(address) is loopback


def test_a_new_token_is_for_its_owner_only(tmp_path):
    path = tmp_path / "keys" / "token"
    token = make_token(path)
    assert read_token(path) == token
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert make_token(path) != token


@pytest.mark.parametrize("text", ["", "short", "with\ttab and long enough", "é" * 40])
def test_a_token_that_keeps_nobody_out_is_refused(tmp_path, text):
    path = tmp_path / "token"
    path.write_text(text)
    with pytest.raises(TokenError, match="at least 16"):
        read_token(path)


def test_a_token_file_that_is_missing_is_told(tmp_path):
    with pytest.raises(TokenError, match="No such file"):
        read_token(tmp_path / "token")


def test_a_port_that_is_taken_is_told(watched):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=f"cannot listen at 127.0.0.1, port {port}"):
            PageServer(watched, port=port)


@contextmanager
def serving(watcher):
    server = PageServer(watcher, port=0)
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.close()
        thread.join(5)


def test_many_watchers_are_answered_beside_one_that_stalls_and_one_that_talks_nonsense(watched, begin):
    begin().event("learning", epoch=1, loss=0.5)
    watched.look()
    with serving(watched) as server, ExitStack() as stalled:
        for number in range(8):
            connection = stalled.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            stalling = b"POST /parts HTTP/1.1\r\nContent-Length: 1000\r\n\r\n{"
            connection.sendall(stalling if number < 4 else b"\x00\xff\r\n\r\n")
        answers = []

        def look():
            with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/parts", timeout=20) as answer:
                answers.append(answer.status)

        watchers = [threading.Thread(target=look) for _ in range(20)]
        for watcher in watchers:
            watcher.start()
        for watcher in watchers:
            watcher.join()
        assert answers == [200] * 20
