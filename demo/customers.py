#!/usr/bin/env python3
"""The customers of the shop of the demo: requests at a constant rate, whatever
becomes of those before, until SIGTERM.

    customers.py PORT COUNTS

Every second a line of JSON is added to COUNTS: how many were answered well, by
the version that answered, how many version 2 answered with an error, and every
other failure, word for word.
"""

import asyncio
import json
import signal
import sys
import time

PER_SECOND = 100
# Far more than an answer takes; longer is a failure.
PATIENCE_S = 20
# As a proxy in front may close a connection that lies idle.
IDLE_S = 2
# Every so many requests is an order, which must not be sent twice.
ORDER_EVERY = 3

port, counts = int(sys.argv[1]), sys.argv[2]
idle = []
new = {"well": {}, "faulty": 0, "other": []}


async def ask(n):
    while idle and time.monotonic() - idle[-1][2] > IDLE_S:
        idle.pop()[1].close()
    reader, writer = idle.pop()[:2] if idle else await asyncio.open_connection("127.0.0.1", port)
    if n % ORDER_EVERY == 0:
        body = str(1 + n % 4).encode()
        writer.write(b"POST /orders HTTP/1.1\r\nHost: shop\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
    else:
        writer.write(b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n")
    lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    fields = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
    text = await reader.readexactly(int(fields["content-length"]))
    if fields.get("connection") == "close":
        writer.close()
    else:
        idle.append((reader, writer, time.monotonic()))
    return int(lines[0].split()[1]), fields.get("x-version"), text.decode().strip()


async def one(n):
    try:
        status, version, text = await asyncio.wait_for(ask(n), PATIENCE_S)
    except Exception as e:
        new["other"].append(f"request {n}: {type(e).__name__}: {e}")
        return
    if status == 200:
        new["well"][version] = new["well"].get(version, 0) + 1
    elif version == "2":
        new["faulty"] += 1
    else:
        new["other"].append(f"request {n}: {status} {text}")


def tell():
    global new
    line, new = json.dumps(new), {"well": {}, "faulty": 0, "other": []}
    with open(counts, "a") as f:
        f.write(line + "\n")


async def main():
    going = True

    def stop():
        nonlocal going
        going = False

    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop)
    began, told, sent, under_way = time.monotonic(), 0, 0, set()
    while going:
        now = time.monotonic() - began
        while sent < now * PER_SECOND:
            sent += 1
            task = asyncio.create_task(one(sent))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
        if now > told + 1:
            told += 1
            tell()
        await asyncio.sleep(0.005)
    await asyncio.gather(*under_way)
    tell()


asyncio.run(main())
