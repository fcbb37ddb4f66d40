"""URLs that lead to addresses to which the service must not connect.

In all of them, {port} is a port on which something may listen.
"""

import socket
from collections.abc import Sequence

# Networks on this machine and around it, cloud metadata, and IPv6 forms of loopback.
ADDRESSES = (
    *("127.0.0.1", "127.9.9.9", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.0.1"),
    *("169.254.169.254", "100.100.100.200", "168.63.129.16", "192.0.0.192"),
    *("224.0.0.1", "255.255.255.255", "[::1]", "[0:0:0:0:0:0:0:1]", "[::]"),
    *("[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "[::ffff:0:7f00:1]"),
    *("[64:ff9b::7f00:1]", "[64:ff9b:1::7f00:1]", "[2002:7f00:1::]", "[::5efe:7f00:1]"),
    *("[fd00:ec2::254]", "[fe80::1]", "[fec0::1]", "[ff02::1]", "[2001::1]"),
)
# Other spellings of loopback, which the system's resolver accepts.
SPELLINGS = (
    *("127.1", "127.0.1", "0x7f.1", "0x7f000001", "2130706433", "0177.0.0.1"),
    *(
        "017700000001",
        "0",
        "127.0.0.1.",
        "①②⑦.0.0.1",
        "\uff11\uff12\uff17.0.0.1",
        "127。0。0。1",
    ),
    *("localhost", "LOCALHOST", "localhost.", "loc\u00adalhost"),
)
# Names whose owner answers with blocked addresses: `addresses_of`.
NAMES = ("inside.example", "mixed.example", "mixed6.example", "rebinding.example")
# URLs that some parsers read as another host, or not at all.
AMBIGUOUS = (
    "http://127.0.0.1:{port}\\@127.0.0.2:{port}/",
    "http://127.0.0.2:{port}\\@127.0.0.1:{port}/",
    "http://127.0.0.2:{port}@127.0.0.1:{port}/",
    "http://127.0.0.2@127.0.0.1:{port}/",
    "http://127.0.0.2%00@127.0.0.1:{port}/",
    "http://127.0.0.2%2f@127.0.0.1:{port}/",
    "http://127.0.0.1:{port}#@127.0.0.2:{port}/",
    "http://127.0.0.1:{port}?@127.0.0.2:{port}/",
    "http://127.0.0.1:{port};@127.0.0.2:{port}/",
    "http://127.0.0.1\t:{port}/",
    "http://\t127.0.0.1:{port}/",
    "http://127.0.0.1 127.0.0.2:{port}/",
    "http://127.0.0.2:{port}/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nGET /",
    "http://%31%32%37.0.0.1:{port}/",
    "http://127.0.0.1%3A{port}/",
    "http://[::1%25lo]:{port}/",
    "http://[::1]127.0.0.2:{port}/",
    "http:127.0.0.1:{port}/",
    "http:/127.0.0.1:{port}/",
    "http:///127.0.0.1:{port}/",
    "http:\\\\127.0.0.1:{port}/",
    "//127.0.0.1:{port}/",
    "HtTp://127.0.0.1:{port}/",
    "gopher://127.0.0.1:{port}/_x",
    "file:///etc/passwd",
    "ftp://127.0.0.1:{port}/",
    "unix:///run/redis.sock",
)


def corpus(port: int) -> list[str]:
    """Return all hostile URLs, with this port."""
    hosts = (*ADDRESSES, *SPELLINGS, *NAMES)
    plain = [f"http://{host}:{port}/" for host in hosts]
    return plain + [url.replace("{port}", str(port)) for url in AMBIGUOUS]


class Names:
    """Resolves hosts as a hostile name server and this machine's resolver do.

    `allowed` is an address to which the service may connect. Nothing is asked.
    """

    def __init__(self, allowed: str) -> None:
        self._answers = {
            "inside.example": [["127.0.0.1"]],
            "mixed.example": [[allowed, "127.0.0.1"]],
            "mixed6.example": [["::1", allowed]],
            "rebinding.example": [[allowed], ["127.0.0.1"], [allowed, "10.0.0.1"]],
            "localhost": [["127.0.0.1", "::1"]],
        }
        self._lookups = 0

    def lookup(self, host: str) -> Sequence[str]:
        """Return the addresses of a host. Raises: OSError, as `socket.getaddrinfo`."""
        if answers := self._answers.get(host.rstrip(".").lower()):
            self._lookups += 1
            return answers[self._lookups % len(answers)]
        found = socket.getaddrinfo(
            host, None, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST
        )
        return [str(address[0]) for *_, address in found]
