"""Asks Trino one statement: trino_sql.py PORT SQL. Ends with 0 when it is finished."""

import json
import sys
import urllib.request

port, sql = sys.argv[1:3]
request = urllib.request.Request(
    f"http://127.0.0.1:{port}/v1/statement",
    data=sql.encode(),
    headers={"X-Trino-User": "backout"},
)
while True:
    with urllib.request.urlopen(request, timeout=30) as answer:
        told = json.load(answer)
    if "error" in told:
        sys.exit(told["error"].get("message", "the statement failed"))
    if "nextUri" not in told:
        sys.exit(0)
    request = urllib.request.Request(told["nextUri"], headers={"X-Trino-User": "backout"})
