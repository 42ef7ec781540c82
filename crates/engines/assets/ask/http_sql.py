"""Asks an engine one statement: http_sql.py PORT SQL. Ends with 0 when it answers."""

import sys
import urllib.request

port, sql = sys.argv[1:3]
request = urllib.request.Request(f"http://127.0.0.1:{port}/sql", data=sql.encode())
with urllib.request.urlopen(request, timeout=30) as answer:
    sys.exit(0 if answer.status == 200 else 1)
