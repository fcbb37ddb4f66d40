"""Tests of the text form of a durability."""

import pytest
from scheduler_api.core.settings.durability import FORM, Durability, read_durability


@pytest.mark.parametrize(
    ("text", "durability"),
    [
        ("memory", Durability()),
        ("disk", Durability(disk=True)),
        ("replicas=2", Durability(replicas=2)),
        (" disk , replicas = 1 ", Durability(disk=True, replicas=1)),
    ],
)
def test_a_durability_is_read_and_written(text: str, durability: Durability):
    assert read_durability(text) == durability
    assert str(durability) == text.replace(" ", "")


@pytest.mark.parametrize(
    "text",
    [
        *("", "disk,", "replicas=0", "replicas=10", "replicas", "diskreplicas=1"),
        *("replicas=1,disk", "memory,disk", "Disk"),
    ],
)
def test_another_text_is_refused_with_the_form(text: str):
    with pytest.raises(ValueError) as caught:
        read_durability(text)

    assert str(caught.value) == FORM
