"""Tests of encryption: only the same key and context can decrypt a text."""

import pytest
from scheduler_api.core.tenants.encryption import Cipher, WrongSecretKey


def test_an_encrypted_text_can_be_decrypted():
    encrypted = Cipher("k" * 16).encrypt("naïve secret", "tenant 1 jiter")

    assert Cipher("k" * 16).decrypt(encrypted, "tenant 1 jiter") == "naïve secret"
    assert encrypted.startswith("1.")
    assert "secret" not in encrypted


def test_the_same_text_is_encrypted_differently_each_time():
    cipher = Cipher("k" * 16)

    assert cipher.encrypt("text", "c") != cipher.encrypt("text", "c")


def test_decryption_with_another_key_fails():
    encrypted = Cipher("k" * 16).encrypt("text", "c")

    with pytest.raises(WrongSecretKey):
        Cipher("l" * 16).decrypt(encrypted, "c")


def test_decryption_in_another_context_fails():
    encrypted = Cipher("k" * 16).encrypt("text", "tenant 1 jiter")

    with pytest.raises(WrongSecretKey):
        Cipher("k" * 16).decrypt(encrypted, "tenant 2 jiter")


@pytest.mark.parametrize("damage", ["", "1", "1.2.3", "2{}", "{}A", "{}====", "\n{}"])
def test_decryption_of_a_damaged_text_fails(damage: str):
    cipher = Cipher("k" * 16)
    encrypted = cipher.encrypt("text", "c")

    with pytest.raises(WrongSecretKey):
        cipher.decrypt(damage.format(encrypted), "c")


def test_s24_an_older_key_decrypts_what_it_encrypted():
    encrypted = Cipher("k" * 16).encrypt("text", "c")
    rotated = Cipher("l" * 16, ["k" * 16])

    assert rotated.decrypt(encrypted, "c") == "text"
    assert Cipher("l" * 16).decrypt(rotated.encrypt("text", "c"), "c") == "text"
