"""Waits until a port of this host is listened at: listens.py PORT."""

import socket
import sys
import time

while True:
    try:
        socket.create_connection(("127.0.0.1", int(sys.argv[1])), 5).close()
        break
    except OSError:
        time.sleep(0.01)
