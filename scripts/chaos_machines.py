"""A system on several machines, for `scripts/chaos`: one network namespace for each.

They are inside the network namespace of `scripts/chaos`. The receiver and the load are
outside of all machines, at `OUTSIDE`.
"""

import subprocess
from pathlib import Path
from tests.system.cell import Cell
from tests.system.processes import wait_until
from types import TracebackType

NETWORK = "10.77.0.0/16"
OUTSIDE = "10.77.0.1"
# The receiver has these addresses too.
RECEIVERS = [f"10.77.1.{number}" for number in range(1, 41)]
RECEIVERS_NETWORK = "10.77.1.0/24"
BRIDGE = "machines"
# Nobody has this address, so packets to it are lost in silence.
NOBODY = "02:00:00:00:00:01"
STORE, FRONT, FIRST, SECOND = "store", "front", "worker", "worker-2"
ADDRESSES = {
    STORE: "10.77.0.2",
    FRONT: "10.77.0.3",
    FIRST: "10.77.0.4",
    SECOND: "10.77.0.5",
}


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


class Machine:
    """A network and a mount namespace, and a process that keeps them."""

    def __init__(self, name: str, address: str, folder: Path) -> None:
        self.address = address
        self._folder = folder / name
        self._folder.mkdir(parents=True)
        self._keeper = subprocess.Popen(
            ["unshare", "--net", "--mount", "sleep", "infinity"]
        )
        pid = self._keeper.pid
        self.prefix = ["nsenter", f"--target={pid}", "--net", "--mount", "--"]
        own, other = Path("/proc/self/ns/net"), Path(f"/proc/{pid}/ns/net")
        wait_until(lambda: other.readlink() != own.readlink())
        self._outer = f"v{address.rpartition('.')[2]}"
        _run(
            *("ip", "link", "add", self._outer, "type", "veth"),
            *("peer", "name", "e0", "netns", str(pid)),
        )
        self.plug()
        for command in (
            f"ip address add {address}/16 dev e0",
            "ip link set e0 up",
            "ip link set lo up",
        ):
            self.run(*command.split())

    def run(self, *command: str) -> None:
        """Run a command on this machine."""
        _run(*self.prefix, *command)

    def cut(self, address: str) -> None:
        """Lose all packets to an address in silence."""
        self.run(
            *("ip", "neighbour", "replace", address, "lladdr", NOBODY),
            *("dev", "e0", "nud", "permanent"),
        )

    def join(self, address: str) -> None:
        """End `cut`."""
        self.run("ip", "neighbour", "delete", address, "dev", "e0")

    def unplug(self) -> None:
        """Lose all packets from and to other machines in silence."""
        _run("ip", "link", "set", self._outer, "nomaster")

    def plug(self) -> None:
        """End `unplug`; also connects a new machine."""
        _run("ip", "link", "set", self._outer, "master", BRIDGE, "up")

    def unroute(self, addresses: str) -> None:
        """Refuse connections to these addresses: there is no route."""
        self.run("ip", "route", "add", "unreachable", addresses)

    def route(self, addresses: str) -> None:
        """End `unroute`."""
        self.run("ip", "route", "delete", "unreachable", addresses)

    def replace(self, path: str, text: str) -> None:
        """Replace a file on this machine only."""
        file = self._folder / Path(path).name
        file.write_text(text)
        self.run("mount", "--bind", str(file), path)

    def restore(self, path: str) -> None:
        """End the last `replace` of a file."""
        self.run("umount", path)

    def close(self) -> None:
        """Remove the machine; its processes must have ended."""
        # The kernel removes the link with the namespace, but later, and then the next
        # machine cannot have a link of this name.
        _run("ip", "link", "delete", self._outer)
        self._keeper.kill()
        self._keeper.wait()


class MachinesCell(Cell):
    """A cell with the store, the workers and all other processes on four machines."""

    addresses = ADDRESSES
    store_host = ADDRESSES[STORE]
    web_host = ADDRESSES[FRONT]

    def __init__(self, folder: Path, **settings: str) -> None:
        _run("ip", "link", "add", BRIDGE, "type", "bridge")
        for address in (OUTSIDE, *RECEIVERS):
            _run("ip", "address", "add", f"{address}/16", "dev", BRIDGE)
        _run("ip", "link", "set", BRIDGE, "up")
        self.machines = {
            name: Machine(name, address, folder / "machines")
            for name, address in self.addresses.items()
        }
        super().__init__(
            folder,
            receiver_host=OUTSIDE,
            SCHED_HOST="0.0.0.0",
            SCHED_ALLOW_NETWORKS=NETWORK,
            **settings,
        )

    def __exit__(
        self,
        kind: type[BaseException] | None,
        err: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        super().__exit__(kind, err, trace)
        for machine in self.machines.values():
            machine.close()
        _run("ip", "link", "delete", BRIDGE)

    def command_of(self, name: str, command: list[str]) -> list[str]:
        """Run the command on the machine of its process."""
        if name == STORE:
            command = [*command, "--bind", "0.0.0.0"]
        machine = self.machines.get(name, self.machines[FRONT])
        return [*machine.prefix, *command]

    def cut(self, one: str, other: str) -> None:
        """Lose all packets between two machines in silence."""
        first, second = self.machines[one], self.machines[other]
        first.cut(second.address)
        second.cut(first.address)

    def join(self, one: str, other: str) -> None:
        """End `cut`."""
        first, second = self.machines[one], self.machines[other]
        first.join(second.address)
        second.join(first.address)
