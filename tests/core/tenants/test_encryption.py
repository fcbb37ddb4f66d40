"""What is sealed opens with the same key in the same place, and nowhere else."""

import pytest
from scheduler_api.core.tenants.encryption import Seal, WrongSecretKey


def test_what_was_closed_opens():
    sealed = Seal("k" * 16).close("naïve secret", "tenant 1 jiter")

    assert Seal("k" * 16).open(sealed, "tenant 1 jiter") == "naïve secret"
    assert sealed.startswith("1.")
    assert "secret" not in sealed


def test_the_same_text_never_looks_the_same():
    seal = Seal("k" * 16)

    assert seal.close("text", "c") != seal.close("text", "c")


def test_another_key_is_told_apart():
    sealed = Seal("k" * 16).close("text", "c")

    with pytest.raises(WrongSecretKey):
        Seal("l" * 16).open(sealed, "c")


def test_another_place_does_not_open_it():
    sealed = Seal("k" * 16).close("text", "tenant 1 jiter")

    with pytest.raises(WrongSecretKey):
        Seal("k" * 16).open(sealed, "tenant 2 jiter")


@pytest.mark.parametrize("damage", ["", "1", "1.2.3", "2{}", "{}A", "{}====", "\n{}"])
def test_damaged_text_is_refused(damage: str):
    seal = Seal("k" * 16)
    sealed = seal.close("text", "c")

    with pytest.raises(WrongSecretKey):
        seal.open(damage.format(sealed), "c")
