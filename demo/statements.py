#!/usr/bin/env python3
"""The analysts of the demo: each asks one statement after the other, until
SIGTERM, and knows what the answer must be.

    statements.py PORT TRIPS COUNTS

Every second a line of JSON is added to COUNTS: how many statements were answered
rightly, by the version that answered, and every other answer, word for word.
"""

import csv
import http.client
import json
import signal
import sys
import threading
import time

ANALYSTS = 4
# What an analyst looks at an answer.
PAUSE_S = 0.02
# Far more than an answer takes; longer is a failure.
PATIENCE_S = 30

port, trips, counts = int(sys.argv[1]), sys.argv[2], sys.argv[3]
lock = threading.Lock()
over = threading.Event()
new = {"right": {}, "other": []}
totals = {}
with open(trips) as f:
    for trip in csv.DictReader(f):
        many, cents = totals.get(trip["city"], (0, 0))
        totals[trip["city"]] = (many + 1, cents + int(trip["cents"]))


def ask(connection, city):
    sql = f"SELECT version(), count(*), sum(cents) FROM trips WHERE city = '{city}'"
    connection.request("POST", "/sql", sql)
    answer = connection.getresponse()
    text = answer.read().decode()
    if answer.status != 200:
        return None, f"{answer.status} {text}"
    version, *row = json.loads(text)["rows"][0]
    return version, None if tuple(row) == totals[city] else f"a wrong answer of {version}: {row}"


def analyst(n):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    while not over.is_set():
        n += 1
        try:
            version, why = ask(connection, sorted(totals)[n % len(totals)])
        except Exception as e:
            version, why = None, f"{type(e).__name__}: {e}"
            connection.close()
        with lock:
            if why is None:
                new["right"][version] = new["right"].get(version, 0) + 1
            else:
                new["other"].append(why)
        over.wait(PAUSE_S)


def tell():
    global new
    with lock:
        line, new = json.dumps(new), {"right": {}, "other": []}
    with open(counts, "a") as f:
        f.write(line + "\n")


signal.signal(signal.SIGTERM, lambda *_: over.set())
analysts = [threading.Thread(target=analyst, args=(n,)) for n in range(ANALYSTS)]
for one in analysts:
    one.start()
due = time.monotonic() + 1
while not over.wait(max(0, due - time.monotonic())):
    due += 1
    tell()
for one in analysts:
    one.join()
tell()
