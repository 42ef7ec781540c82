"""The shop of the demo: what version of it this is stands in the file VERSION
beside it. Version 2 has a fault: it cannot take orders of more than one piece.
"""

import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "VERSION")) as f:
    VERSION = f.read().strip()


class Shop(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def say(self, status, text):
        body = f"{text}\n".encode()
        self.send_response(status)
        self.send_header("X-Version", VERSION)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.say(200, "well" if self.path == "/health" else f"the shop, version {VERSION}")

    def do_POST(self):
        pieces = int(self.rfile.read(int(self.headers["Content-Length"])))
        if VERSION == "2" and pieces > 1:
            self.say(500, f"list index out of range: {pieces}")
        else:
            self.say(200, f"{pieces} pieces ordered")

    def log_request(self, code="-", size="-"):
        if int(code) >= 500:
            super().log_request(code, size)


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


port = int(os.environ["PORT"])
print(f"shop, version {VERSION}, on port {port}", flush=True)
Server(("127.0.0.1", port), Shop).serve_forever()
