"""Pass requests on to the model server, and count predictions in Redis where there is one.

MODEL_URL says where the model is, REDIS_HOST the name of Redis; without it nobody counts.
"""

import json
import os
import signal
import socket
import sys
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MODEL_URL = os.environ.get("MODEL_URL", "http://model:8000")
REDIS_HOST = os.environ.get("REDIS_HOST", "")


def redis(*words):
    """Send one command to Redis and return the number that it answers."""
    with socket.create_connection((REDIS_HOST, 6379), timeout=3) as line:
        text = "".join(f"${len(word)}\r\n{word}\r\n" for word in words)
        line.sendall(f"*{len(words)}\r\n{text}".encode())
        answer = line.makefile().readline().strip()
        if answer.startswith(":"):
            return int(answer[1:])
        raise OSError(answer or "no answer")


def counted(more):
    """Add `more` to the count and return it, or say why there is none."""
    if not REDIS_HOST:
        return {"error": "REDIS_HOST is not set, so nobody counts."}, 503
    try:
        return {"predictions": redis("INCRBY", "predictions", str(more))}, 200
    except OSError as error:
        return {"error": f"Redis at {REDIS_HOST!r} does not count: {error}"}, 503


class Gateway(BaseHTTPRequestHandler):
    def answer(self, value, status=200):
        text = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def do_GET(self):
        if self.path == "/healthz":
            return self.answer({"status": "alive"})
        if self.path == "/count":
            return self.answer(*counted(0))
        self.answer(*self.model(None))

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        value, status = self.model(body)
        if status == 200 and REDIS_HOST and "predictions" in value:
            value["counted"] = counted(len(value["predictions"]))[0]
        self.answer(value, status)

    def model(self, body):
        """Ask the model server for the same path."""
        try:
            with urllib.request.urlopen(urllib.request.Request(MODEL_URL + self.path, body), timeout=4) as answer:
                return json.load(answer), answer.status
        except urllib.error.HTTPError as error:
            return {"error": error.read().decode(errors="replace")}, error.code
        except (OSError, ValueError) as error:
            return {"error": f"The model server at {MODEL_URL} does not answer: {error}"}, 502


signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
ThreadingHTTPServer(("", 8080), Gateway).serve_forever()
