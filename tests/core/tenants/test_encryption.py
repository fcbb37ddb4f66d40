"""What is encrypted opens with the same key in the same place, and nowhere else."""

import pytest
from scheduler_api.core.tenants.encryption import Cipher, WrongSecretKey


def test_what_was_closed_opens():
    encrypted = Cipher("k" * 16).encrypt("naïve secret", "tenant 1 jiter")

    assert Cipher("k" * 16).decrypt(encrypted, "tenant 1 jiter") == "naïve secret"
    assert encrypted.startswith("1.")
    assert "secret" not in encrypted


def test_the_same_text_never_looks_the_same():
    cipher = Cipher("k" * 16)

    assert cipher.encrypt("text", "c") != cipher.encrypt("text", "c")


def test_another_key_is_told_apart():
    encrypted = Cipher("k" * 16).encrypt("text", "c")

    with pytest.raises(WrongSecretKey):
        Cipher("l" * 16).decrypt(encrypted, "c")


def test_another_place_does_not_open_it():
    encrypted = Cipher("k" * 16).encrypt("text", "tenant 1 jiter")

    with pytest.raises(WrongSecretKey):
        Cipher("k" * 16).decrypt(encrypted, "tenant 2 jiter")


@pytest.mark.parametrize("damage", ["", "1", "1.2.3", "2{}", "{}A", "{}====", "\n{}"])
def test_damaged_text_is_refused(damage: str):
    cipher = Cipher("k" * 16)
    encrypted = cipher.encrypt("text", "c")

    with pytest.raises(WrongSecretKey):
        cipher.decrypt(damage.format(encrypted), "c")
