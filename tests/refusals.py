"""Errors that a user can mend, told by their kind and their one line."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from ebm_tf.errors import ConfigError, EBMError


def refused(
    said: str, ask: Callable[..., Any], *arguments: Any, kind: type[EBMError] = ConfigError, **named: Any
) -> None:
    """Demand that a call is refused with one line, in which the regular expression `said` is found."""
    with pytest.raises(EBMError) as caught:
        ask(*arguments, **named)
    assert type(caught.value) is kind
    assert re.search(said, str(caught.value)), str(caught.value)
    assert "\n" not in str(caught.value)
