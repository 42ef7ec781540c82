"""Asks an engine one statement: http_sql.py PORT SQL. Ends with 0 when it answers.

By a socket alone: the libraries for HTTP take longer to load than it takes.
"""

import socket
import sys

port, sql = sys.argv[1], sys.argv[2].encode()
head = f"POST /sql HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\nContent-Length: {len(sql)}\r\n\r\n"
try:
    with socket.create_connection(("127.0.0.1", int(port)), 30) as stream:
        stream.settimeout(30)
        stream.sendall(head.encode() + sql)
        answer = stream.makefile("rb").readline(200)
except OSError as e:
    sys.exit(f"ask at port {port}: {e}")
sys.exit(0 if answer.split(b" ")[1:2] == [b"200"] else f"ask at port {port}: {answer.decode('latin-1').strip()}")
