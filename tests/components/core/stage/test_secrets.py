"""Keys and passwords in texts are hidden, at a cost that grows with the text and no faster."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.core.stage.secrets import hide

# What is said of passwords in addresses, tried at every place.
EVERYWHERE = re.compile(r"(\w+://)[^/@\s'\"]+@")


@given(st.text(alphabet="ab_é:/@ '\"", max_size=40))
def test_passwords_in_addresses_are_hidden_wherever_they_stand(text):
    assert hide(text) == EVERYWHERE.sub(r"\1[hidden]@", text)


@pytest.mark.parametrize("part", ["a", "a://", "a:/", "a://b", "bearer ", "bearer  ", "@"])
def test_long_texts_cost_no_more_than_their_length(part):
    """Two million characters take a tenth of a second, or hours where the cost is the square."""
    started = time.process_time()
    hide(part * (2_000_000 // len(part)))
    assert time.process_time() - started < 10
