#!/usr/bin/env python3
"""The customers of the shop of the demo: transactions, one after the other,
until SIGTERM.

    load.py SOCKET orders|items SUMMARY

Each committed one is counted; the counts go to SUMMARY, as JSON. Ends with an
error as soon as the server refuses anything.

The two kinds are two processes. What `items` does is about that one table: to
take a table back, the strategy `table` reads its history alone, and is refused
where a transaction changed other tables too, as half of that would be undone.
A shop that takes an order and its stock in one transaction takes both tables
back, or uses the strategy `full`.
"""

import json
import random
import signal
import subprocess
import sys
import time

# Well below what a laptop does; on items few enough for a screen of history to
# reach some seconds.
PER_SECOND = {"orders": 40, "items": 6}

socket, kind, summary = sys.argv[1:]
going = True


def stop(*_):
    global going
    going = False


signal.signal(signal.SIGTERM, stop)
# The command line of the server's package, kept running: what it is sent it does
# at once, and ends with the first error.
shop = subprocess.Popen(
    ["mariadb", "--no-defaults", f"--socket={socket}", "--user=shop", "--batch", "--skip-column-names", "--unbuffered", "shop"],
    stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
    # Not by the signal that ends this script.
    start_new_session=True,
)
rng = random.Random(kind)
items = 0


def run(sql):
    """Runs statements, the last of which answers with one line; that line."""
    shop.stdin.write(sql + "\n")
    shop.stdin.flush()
    line = shop.stdout.readline()
    if not line:
        sys.exit(f"the {kind} of the shop stop: the server refused a statement")
    return line.strip()


def order():
    item, quantity = rng.randrange(1, items), rng.randrange(1, 4)
    return run(
        f"BEGIN; INSERT INTO orders (item, quantity) VALUES ({item}, {quantity});"
        f" UPDATE orders SET state = 'sent' WHERE state = 'new' ORDER BY id LIMIT 1; COMMIT; SELECT 1;"
    )


def item():
    what, which = rng.random(), rng.randrange(1, items)
    if what < 0.8:
        change = f"UPDATE items SET stock = stock + {rng.randrange(-3, 4)} WHERE id = {which}"
    elif what < 0.9:
        change = f"UPDATE items SET price = price + 0.01 WHERE id = {which}"
    elif what < 0.96:
        change = f"INSERT INTO items (name, price, stock) VALUES ('new {rng.randrange(10**9)}', {rng.randrange(1, 99)}.50, 100)"
    else:
        change = f"DELETE FROM items WHERE id = {which}"
    return run(f"{change}; SELECT 1;")


items = int(run("SELECT COUNT(*) FROM items;"))
one = {"orders": order, "items": item}[kind]
done, slowest, began = 0, 0.0, time.monotonic()
while going:
    start = time.monotonic()
    one()
    took = time.monotonic() - start
    done, slowest = done + 1, max(slowest, took)
    time.sleep(max(0.0, 1 / PER_SECOND[kind] - took))
lasted = time.monotonic() - began
shop.stdin.close()
shop.wait()
with open(summary, "w") as f:
    json.dump({"kind": kind, "done": done, "a_second": round(done / lasted), "slowest_ms": round(slowest * 1000)}, f)
