"""A server that speaks OpenAI's chat completions, and a demo whose assistant it is."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ANSWER = (
    "Here it is.\n```sql\ncreate policy own on tweets using (user_id = (select auth.uid()));\n```\nOnly owners see their rows."
)


class Stub(ThreadingHTTPServer):
    """Answers chat completions, and keeps what it was sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str | None, str]] = []
        self.content: object = ANSWER
        self.status = 200
        super().__init__(("127.0.0.1", 0), _Chat)


class _Chat(BaseHTTPRequestHandler):
    server: Stub

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        self.server.sent.append((self.path, self.headers["authorization"], body))
        answer = json.dumps({"choices": [{"message": {"role": "assistant", "content": self.server.content}}]}).encode()
        self.send_response(self.server.status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Not on the terminal."""


@contextmanager
def assisting() -> Iterator[tuple[dict[str, Any], Stub]]:
    """What the demo said when it was ready, and the server that it asks."""
    stub = Stub()
    threading.Thread(target=stub.serve_forever, daemon=True).start()
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RTI_")}
    url = f"http://127.0.0.1:{stub.server_address[1]}/v1"
    more = {"RTI_ASSISTANT_URL": url, "RTI_ASSISTANT_KEY": "the key", "RTI_ASSISTANT_MODEL": "m", "RTI_LOG_LEVEL": "error"}
    command = [sys.executable, "-m", "realtime_inspector", "demo", "--port", "0", "--no-activity", "--ready-json"]
    with subprocess.Popen(command, env=kept | more, stdout=subprocess.PIPE, text=True) as service:
        assert service.stdout is not None
        try:
            yield json.loads(service.stdout.readline()), stub
        finally:
            service.terminate()
            service.wait(30)
            stub.shutdown()
            stub.server_close()
