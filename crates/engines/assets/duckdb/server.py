"""A small HTTP server before DuckDB: the light engine.

    POST /sql      a statement as the body; or JSON {"sql": "...", "session": {...}}
                   200 {"columns": [...], "rows": [[...], ...], "version": "..."}
                   400 {"error": "..."} when DuckDB refuses it
    GET  /health   200 {"version": "..."} once it answers statements

The database is in memory. What is in the data folder is what engines of all
versions share: each `NAME.parquet` and `NAME.csv` there is the view NAME. So
instances of two versions may run beside each other.
"""

import argparse
import json
import os
import signal
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import duckdb

# A statement of more bytes is refused: programs write shorter ones.
SQL_MAX_BYTES = 1 << 20
# Rows of one answer; more are cut off, and the answer says so.
ROWS_MAX = 100_000


def quoted(name):
    return '"' + name.replace('"', '""') + '"'


def literal(text):
    return "'" + str(text).replace("'", "''") + "'"


def connect(data, parameters):
    base = duckdb.connect(":memory:", config={k: v for k, v in parameters.get("cluster", {}).items()})
    for file in sorted(os.listdir(data)) if data and os.path.isdir(data) else []:
        name, suffix = os.path.splitext(file)
        if suffix in (".parquet", ".csv"):
            reader = "read_parquet" if suffix == ".parquet" else "read_csv_auto"
            path = literal(os.path.join(data, file))
            base.execute(f"CREATE VIEW {quoted(name)} AS SELECT * FROM {reader}({path})")
    return base


def set_all(cursor, session):
    for name, value in session.items():
        cursor.execute(f"SET SESSION {quoted(name)} = {literal(value)}")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    base = None
    session = {}

    def log_message(self, *_):
        pass

    def answer(self, status, body):
        data = json.dumps(body, default=str).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        if self.path != "/health":
            return self.answer(404, {"error": "there is GET /health and POST /sql"})
        try:
            self.base.cursor().execute("SELECT 1").fetchall()
        except duckdb.Error as e:
            return self.answer(503, {"error": str(e)})
        self.answer(200, {"version": duckdb.__version__})

    def do_POST(self):
        length = int(self.headers.get("Content-Length") or 0)
        if length > SQL_MAX_BYTES:
            self.close_connection = True
            return self.answer(413, {"error": f"a statement has at most {SQL_MAX_BYTES} bytes"})
        body = self.rfile.read(length).decode("utf-8", "replace")
        if self.path != "/sql":
            return self.answer(404, {"error": "there is GET /health and POST /sql"})
        session = dict(self.session)
        if self.headers.get("Content-Type", "").startswith("application/json"):
            try:
                asked = json.loads(body)
                body = asked["sql"]
                session.update(asked.get("session", {}))
            except (ValueError, KeyError, TypeError, AttributeError):
                return self.answer(400, {"error": 'the body is JSON: {"sql": "..."}'})
        try:
            cursor = self.base.cursor()
            set_all(cursor, session)
            cursor.execute(body)
            rows = cursor.fetchmany(ROWS_MAX + 1) if cursor.description else []
            columns = [c[0] for c in cursor.description or []]
        except duckdb.Error as e:
            return self.answer(400, {"error": str(e)})
        self.answer(
            200,
            {
                "columns": columns,
                "rows": [list(row) for row in rows[:ROWS_MAX]],
                "more": len(rows) > ROWS_MAX,
                "version": duckdb.__version__,
            },
        )


class Server(ThreadingHTTPServer):
    request_queue_size = 128
    allow_reuse_address = True


def main():
    arguments = argparse.ArgumentParser(description="DuckDB over HTTP")
    arguments.add_argument("--port", type=int, required=True)
    arguments.add_argument("--data", default="")
    given = arguments.parse_args()
    parameters = json.loads(os.environ.get("ENGINE_PARAMETERS") or "{}")
    Handler.base = connect(given.data, parameters)
    Handler.session = parameters.get("session", {})
    set_all(Handler.base.cursor(), Handler.session)
    server = Server(("127.0.0.1", given.port), Handler)
    # `shutdown` waits for the loop, which runs in this very thread.
    end = lambda *_: threading.Thread(target=server.shutdown).start()
    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    print(f"DuckDB {duckdb.__version__} answers on port {given.port}", flush=True)
    server.serve_forever(poll_interval=0.05)
    # Neither connections without a statement are waited for, nor statements that
    # run: who asks it to end has waited for those.
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
