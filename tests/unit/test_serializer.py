"""Which serializer a client gets for its vsn."""

import pytest

from realtime_inspector.errors import UnsupportedVersion
from realtime_inspector.protocol.serializer import Serializer, choose


@pytest.mark.parametrize(
    ("vsn", "serializer"),
    [
        (None, Serializer.V1),
        ("1.0.0", Serializer.V1),
        ("1.0.7", Serializer.V1),
        ("2.0.0", Serializer.V2),
        ("2.0.12", Serializer.V2),
    ],
)
def test_a_known_version_is_spoken(vsn: str | None, serializer: Serializer) -> None:
    assert choose(vsn) is serializer


@pytest.mark.parametrize(
    "vsn", ["", "1", "2", "2.0", "2.1.0", "3.0.0", "1.0.0\n", "1.0.00", "2.0.0-rc", "٢.0.0", "2.0." + "9" * 5000]
)
def test_any_other_is_refused_with_403(vsn: str) -> None:
    with pytest.raises(UnsupportedVersion) as refused:
        choose(vsn)
    assert refused.value.status == 403
