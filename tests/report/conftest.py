"""An audit key for whatever these tests open, so that nobody's own is touched."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True, scope="module")
def audit_key():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZHIJIAN_AUDIT_KEY_TEXT", "ZHIJIAN-AUDIT-KEY-1:" + "A" * 43)
        yield
