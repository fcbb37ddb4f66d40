"""Tests that a web process sends head and body of a response in one write."""

from scheduler_api.web.gunicorn_worker import HeadWithBody


class Recorder:
    """A socket that records its calls."""

    def __init__(self) -> None:
        self.calls: list[object] = []

    def sendall(self, data: bytes) -> None:
        self.calls.append(data)

    def shutdown(self, how: int) -> None:
        self.calls.append(how)


def test_head_and_body_are_one_write() -> None:
    sock = Recorder()
    buffered = HeadWithBody(sock)

    buffered.sendall(b"head ")
    buffered.sendall(b"body")
    buffered.flush()

    assert sock.calls == [b"head body"]


def test_a_head_without_a_body_is_sent_when_the_response_ends() -> None:
    sock = Recorder()
    buffered = HeadWithBody(sock)

    buffered.sendall(b"head")
    assert sock.calls == []

    buffered.flush()
    buffered.flush()
    assert sock.calls == [b"head"]


def test_later_parts_of_a_body_are_sent_at_once() -> None:
    sock = Recorder()
    buffered = HeadWithBody(sock)

    for part in (b"head ", b"1", b"2"):
        buffered.sendall(part)
    assert sock.calls == [b"head 1", b"2"]

    buffered.sendall(b"3")
    assert sock.calls == [b"head 1", b"2", b"3"]


def test_another_call_sends_the_head_first() -> None:
    sock = Recorder()
    buffered = HeadWithBody(sock)

    buffered.sendall(b"head")
    buffered.shutdown(2)

    assert sock.calls == [b"head", 2]
