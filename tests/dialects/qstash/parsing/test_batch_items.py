"""Tests of how the body of a batch is split into items."""

import json
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scheduler_api.dialects.qstash.parsing import batch_items
from scheduler_api.dialects.qstash.parsing.batch_items import parse_items
from scheduler_api.dialects.qstash.parsing.header_values import BadValue
from scheduler_api.web.refusal import Refusal

TEXTS = st.text(alphabet='a"\\[]{},: \u00fc')
ITEMS = st.recursive(
    TEXTS | st.integers(0, 9) | st.none(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.lists(ITEMS, max_size=4), st.integers(0, 4), st.booleans())
def test_property_the_other_items_are_the_same_beside_an_item_that_is_not_json(
    items: list[object], place: int, is_ascii: bool
) -> None:
    texts = [json.dumps(item, ensure_ascii=is_ascii) for item in items]
    body = f"[{', '.join(texts)}]".encode()
    texts.insert(place, '{"a": NaN}')
    with_fault = f" [ {' , '.join(texts)} ] ".encode()

    parsed = parse_items(with_fault, max_items=5)

    assert isinstance(parsed.pop(min(place, len(items))), BadValue)
    assert parsed == parse_items(body, max_items=5) == orjson.loads(body)


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (
            b'[{"a": "\xc3\xbc\xff"}]',
            "item is not valid UTF-8: byte 0xff at position 9",
        ),
        (
            b'[{"a": "\xed\xa0\x80"}]',
            "item is not valid UTF-8: byte 0xed at position 7",
        ),
        (b"[0, \xc0]", "item is not valid UTF-8: byte 0xc0 at position 1"),
    ],
)
def test_an_item_that_is_not_utf_8_names_the_byte(body: bytes, fault: str) -> None:
    assert str(parse_items(body, max_items=5)[-1]) == fault


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "latin-1"])
def test_a_body_in_another_encoding_names_the_byte(encoding: str) -> None:
    with pytest.raises(Refusal, match=r"^body is not valid UTF-8: byte 0x"):
        parse_items('"\u00fc"'.encode(encoding), max_items=5)


def test_the_items_of_a_batch_that_is_too_long_are_not_parsed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batch_items, "_parse_item", None)

    for body in (b"[1, 2, 3]", b"[NaN, 1, NaN]"):
        with pytest.raises(Refusal, match="at most 2 messages, not 3: split the batch"):
            parse_items(body, max_items=2)
