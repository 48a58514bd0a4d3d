"""Where the terminal's client finds the socket of a service."""

import pytest

from realtime_inspector.server.client import socket_address


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://127.0.0.1:4000", "ws://127.0.0.1:4000/socket/websocket?vsn=2.0.0"),
        ("http://127.0.0.1:4000/", "ws://127.0.0.1:4000/socket/websocket?vsn=2.0.0"),
        ("ws://127.0.0.1:4000/socket", "ws://127.0.0.1:4000/socket/websocket?vsn=2.0.0"),
        ("wss://shop.example/realtime/v1", "wss://shop.example/realtime/v1/websocket?vsn=2.0.0"),
        ("https://shop.example/realtime/v1/websocket?apikey=x#y", "wss://shop.example/realtime/v1/websocket?vsn=2.0.0"),
        ("http://[::1]:4000", "ws://[::1]:4000/socket/websocket?vsn=2.0.0"),
    ],
)
def test_every_usual_form_of_an_address_leads_to_the_socket(url: str, address: str) -> None:
    assert socket_address(url) == address
