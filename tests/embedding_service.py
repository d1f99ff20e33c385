"""An OpenAI-compatible embedding service on this machine that serves the toy encoder: for tests of its client."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from toy_encoder import ToyEncoder


class Service(ThreadingHTTPServer):
    """Answers ``/v1/embeddings``; ``faults`` are played first, one a request; ``encoder`` may be changed meanwhile."""

    daemon_threads = True

    def __init__(self, faults=()):
        super().__init__(("127.0.0.1", 0), Handler)
        self.faults, self.seen, self.keys, self.encoder = list(faults), [], [], ToyEncoder()
        self.noise = 0.0
        self.url = f"http://127.0.0.1:{self.server_port}/v1"
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def close(self):
        self.shutdown()
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.keys.append(self.headers.get("Authorization"))
        fault = self.server.faults.pop(0) if self.server.faults else None
        if isinstance(fault, int):
            return self.reply(json.dumps({"error": "no"}), fault)
        if isinstance(fault, str):
            return self.reply(fault)
        if self.path != "/v1/embeddings" or body["model"] != "toy":
            return self.reply(json.dumps({"error": "no such model"}), 404)
        self.server.seen.append(body["input"])
        vectors = self.server.encoder.encode_uncached(body["input"])
        vectors[:, 0] += self.server.noise
        rows = [{"index": at, "embedding": [float(x) for x in 3 * row]} for at, row in enumerate(vectors)]
        # The last comes first: a client goes by the index. And they are not of unit length.
        return self.reply(json.dumps({"data": rows[::-1], "usage": {"total_tokens": 4 * len(rows)}}))

    def reply(self, text, status=200):
        data = text.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass
