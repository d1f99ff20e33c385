"""A chat completion service on this machine that plays faults: for tests of its client."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

USAGE = 50


class Service(ThreadingHTTPServer):
    """Answers chat completions; ``faults`` are played first, one a request."""

    daemon_threads = True

    def __init__(self, faults=()):
        super().__init__(("127.0.0.1", 0), Handler)
        self.faults, self.seen, self.keys, self.guard = list(faults), [], [], threading.Lock()
        self.answer = lambda prompt: f"1. the first query about {prompt.split()[-2]}\n2. another query about it"
        self.retry_after = "0"
        self.at_once = self.most_at_once = 0
        self.url = f"http://127.0.0.1:{self.server_port}/v1"


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        server = self.server
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with server.guard:
            fault = server.faults.pop(0) if server.faults else None
            server.seen.append(body["messages"][0]["content"])
            server.keys.append(self.headers.get("Authorization"))
            server.at_once += 1
            server.most_at_once = max(server.most_at_once, server.at_once)
        try:
            self.play(fault, body)
        finally:
            with server.guard:
                server.at_once -= 1

    def play(self, fault, body):
        if fault == "slow":
            time.sleep(0.6)
        if isinstance(fault, int):
            return self.reply(json.dumps({"error": "no"}), fault, {"Retry-After": self.server.retry_after})
        if fault == "garbage":
            return self.reply("<html>a proxy's page</html>")
        if fault == "other json":
            return self.reply('{"choices": []}')
        time.sleep(0.02)
        reason = "length" if fault == "cut" else "stop"
        message = {"content": self.server.answer(body["messages"][0]["content"])}
        text = json.dumps(
            {"choices": [{"message": message, "finish_reason": reason}], "usage": {"total_tokens": USAGE}}
        )
        return self.reply(text, half=fault == "half")

    def reply(self, text, status=200, headers=(), half=False):
        data = text.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        for name, value in dict(headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data[: len(data) // 2] if half else data)
        self.close_connection = half

    def log_message(self, *_):
        pass
