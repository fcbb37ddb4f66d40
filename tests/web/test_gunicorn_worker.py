"""What a web process writes into a connection, write by write."""

from scheduler_api.web.gunicorn_worker import HeadWithBody


class Recorder:
    """A socket that keeps what is done with it."""

    def __init__(self) -> None:
        self.done: list[object] = []

    def sendall(self, data: bytes) -> None:
        self.done.append(data)

    def shutdown(self, how: int) -> None:
        self.done.append(how)


def test_head_and_body_are_one_write() -> None:
    sock = Recorder()
    joined = HeadWithBody(sock)

    joined.sendall(b"head ")
    joined.sendall(b"body")
    joined.send_held()

    assert sock.done == [b"head body"]


def test_a_head_alone_is_sent_once_the_answer_ends() -> None:
    sock = Recorder()
    joined = HeadWithBody(sock)

    joined.sendall(b"head")
    assert sock.done == []

    joined.send_held()
    joined.send_held()
    assert sock.done == [b"head"]


def test_parts_behind_the_first_are_sent_as_they_come() -> None:
    sock = Recorder()
    joined = HeadWithBody(sock)

    for part in (b"head ", b"1", b"2"):
        joined.sendall(part)
    assert sock.done == [b"head 1", b"2"]

    joined.sendall(b"3")
    assert sock.done == [b"head 1", b"2", b"3"]


def test_nothing_else_overtakes_the_head() -> None:
    sock = Recorder()
    joined = HeadWithBody(sock)

    joined.sendall(b"head")
    joined.shutdown(2)

    assert sock.done == [b"head", 2]
