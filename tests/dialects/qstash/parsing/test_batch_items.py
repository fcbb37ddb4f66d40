"""Tests of how the body of a batch is split into items."""

import json
import orjson
from hypothesis import given
from hypothesis import strategies as st
from scheduler_api.dialects.qstash.parsing.batch_items import parse_items
from scheduler_api.dialects.qstash.parsing.header_values import BadValue

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

    parsed = parse_items(with_fault)

    assert isinstance(parsed.pop(min(place, len(items))), BadValue)
    assert parsed == parse_items(body) == orjson.loads(body)
