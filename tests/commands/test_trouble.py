"""Tests that the outputs in docs/trouble.md are those of the commands."""

import pytest
import re
from collections.abc import Callable
from scheduler_api.core.store import keys
from scheduler_api.core.store.epoch import EpochWatch, establish
from scheduler_api.core.store.epoch_memory import StoreMemory
from scheduler_api.core.store.processes import SignOfLife
from socket import gethostname
from tests.commands.cells import TENANT, OperatedCell, new_cell
from tests.dialects.breakers import open_origin
from tests.pages import ROOT, blocks

PAGE = ROOT / "docs" / "trouble.md"
ROLES = ("ticker", "worker", "web", "clock", "chores")
HOOK = "http://127.0.0.1:9000/hook"

Plant = Callable[[OperatedCell], object]


def no_ticker(cell: OperatedCell) -> None:
    cell.live(*(role for role in ROLES if role != "ticker"))
    cell.at(ago_ms=90_000).create(HOOK)


def busy_workers(cell: OperatedCell) -> None:
    cell.live(*ROLES)
    cell.at(ago_ms=90_000).create(HOOK)


def paused(cell: OperatedCell) -> None:
    cell.live(*ROLES)
    cell.pause(HOOK)
    cell.wait_at_gate(HOOK, 1)


def failing(cell: OperatedCell) -> None:
    cell.live(*ROLES)
    open_origin(cell.engine.worker(), TENANT, HOOK)
    cell.wait_at_gate(HOOK, 2)


def dead_letter(cell: OperatedCell) -> None:
    cell.live(*ROLES)
    event = cell.at(ago_ms=1_000).create(HOOK)
    begun = cell.engine.begin(event)
    cell.engine.settle(begun, "dead", status=503, reason="exhausted")


def full(cell: OperatedCell) -> None:
    cell.live(*ROLES)
    used = cell.cell.client.info("memory")["used_memory"]
    cell.cell.client.config_set("maxmemory", used // 2)


def hung_ticker(cell: OperatedCell) -> None:
    cell.live(*ROLES)
    cell.cell.client.delete(keys.alive(cell.cell.prefix, "ticker"))


def different_settings(cell: OperatedCell) -> None:
    cell.live(*(role for role in ROLES if role != "worker"))
    for ago_ms, networks in ((500, {}), (0, {"SCHED_ALLOW_NETWORKS": "10.0.0.0/8"})):
        shared, at = {"SECRET_KEY": "a digest"} | networks, cell.at(ago_ms=ago_ms)
        SignOfLife(at.cell, "worker", settings=str(networks), shared=shared).report()


def emptied(cell: OperatedCell) -> None:
    watch = EpochWatch(cell.cell, StoreMemory(cell.cell, ""))
    watch.judge(establish(cell.cell.client, cell.cell.prefix), None)
    watch.keep(newest_id=7, server="", claimed_ms=0)
    cell.cell.client.flushall()
    cell.live(*ROLES)


def older(cell: OperatedCell) -> None:
    cell.live(*ROLES)
    cell.cell.client.set(keys.lost_tail(cell.cell.prefix), 90_000)


# The trouble of each output on the page, in order.
PLANTS = (
    no_ticker,
    paused,
    failing,
    busy_workers,
    dead_letter,
    full,
    hung_ticker,
    different_settings,
    emptied,
    older,
)
# What differs each time: times, durations, versions, process ids.
VARYING = re.compile(r"\d+")
HOST = "vm"


def outputs() -> list[tuple[str, str]]:
    """The command and the text of each output on the page."""
    plain = [block.text for block in blocks(PAGE) if not block.language]
    starts = [text.partition("\n") for text in plain]
    return [(first.removeprefix("$ scheduler "), rest) for first, _, rest in starts]


def normal(text: str) -> str:
    """A text without what differs each time, such as the width of the lines."""
    return VARYING.sub("0", " ".join(text.replace(gethostname(), HOST).split()))


@pytest.mark.parametrize(
    ("plant", "output"),
    [*zip(PLANTS, outputs(), strict=True)],
    ids=[plant.__name__ for plant in PLANTS],
)
def test_an_output_on_the_page_is_that_of_the_command(
    plant: Plant, output: tuple[str, str], own_valkey: tuple[str, int]
):
    cell = new_cell(own_valkey[0])
    plant(cell)
    command, text = output

    assert normal(text) in normal(cell.run(command).output)
