#!/usr/bin/env python3
"""Rollbacks, and `kill -9` at random instants, for a while: ./run soak [SECONDS]

Some disks, each with two snapshots of known contents. Over and over each is
taken back to one of them, or that is undone, while the server is killed and
started again. Whatever happens, each disk must be one of its two contents,
whole, and in the end every job must be over and none held.
"""

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

BIN = os.environ["BACKOUT_BIN"]
SECONDS = int(sys.argv[1]) if len(sys.argv) > 1 else 300
SEED = int(os.environ.get("BACKOUT_SOAK_SEED", time.time_ns() % 1_000_000))
DISKS = 4
SIZE = 8 << 20

rng = random.Random(SEED)
work = tempfile.mkdtemp(prefix="backout-soak.")
data = os.path.join(work, "data")
log = open(os.path.join(work, "server.log"), "ab")
env = {k: v for k, v in os.environ.items() if not k.startswith("BACKOUT_")}


def start():
    args = [BIN, "serve", "--data", data, "--listen", "127.0.0.1:0", "--rate-limit", "100000"]
    child = subprocess.Popen(args, stdout=subprocess.PIPE, stderr=log, stdin=subprocess.DEVNULL, env=env)
    line = child.stdout.readline().decode()
    if not line.startswith("ready "):
        sys.exit(f"the server does not start, see {log.name}")
    return child


def cli(*args, check=True):
    out = subprocess.run([BIN, *args, "--json", "--data", data], capture_output=True, text=True, env=env)
    if check and out.returncode != 0:
        sys.exit(f"failed: {args}: {out.stdout}{out.stderr}")
    return json.loads(out.stdout)


def digest(path):
    with open(path, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


print(f"soak for {SECONDS} s in {work}; the same again: BACKOUT_SOAK_SEED={SEED}", flush=True)
server = start()
known = {}
for n in range(DISKS):
    name, path = f"disk{n}", os.path.join(work, f"disk{n}.img")
    contents = set()
    for point in ["one", "two"]:
        with open(path, "r+b" if point == "two" else "wb") as f:
            f.write(rng.randbytes(SIZE))
        if point == "one":
            cli("servers", "add", name, "--disk", path)
        cli("snapshots", "create", name, "--name", point)
        contents.add(digest(path))
    known[name] = (path, contents)

started = kills = refused = 0
end = time.monotonic() + SECONDS
while time.monotonic() < end:
    name = rng.choice(list(known))
    done = [j for j in cli("jobs", "list", "--resource", "server/" + cli("servers", "show", name)["id"], "--limit", "5")
            if j["procedure"] == "servers.apply_snapshot" and j["outcome"] == "applied"]
    if done and rng.random() < 0.3:
        answer = cli("undo", done[0]["id"], "--yes", "--no-wait", check=False)
    else:
        answer = cli("rollback", name, "--to", rng.choice(["one", "two"]), "--yes", "--no-wait", check=False)
    if "error" in answer:
        # Another job is in the way: what it is meant to say.
        refused += 1
    else:
        started += 1
    time.sleep(rng.random() * 0.05)
    if rng.random() < 0.25:
        kills += 1
        server.send_signal(signal.SIGKILL)
        server.wait()
        server = start()

deadline = time.monotonic() + 60
while True:
    jobs = cli("jobs", "list", "--limit", "10000")
    open_jobs = [j for j in jobs if j["state"] != "done"]
    if not open_jobs:
        break
    if time.monotonic() > deadline:
        sys.exit(f"these jobs do not end: {[j['id'] for j in open_jobs]}; seed {SEED}, see {log.name}")
    time.sleep(0.2)
held = [j["id"] for j in jobs if j["outcome"] == "held"]
wrong = [name for name, (path, contents) in known.items() if digest(path) not in contents]
server.terminate()
code = server.wait()
print(f"{started} started, {refused} refused, {kills} kills; {len(jobs)} jobs ended, {len(held)} held; {len(wrong)} disks not whole")
if held or wrong or code != 0:
    sys.exit(f"held: {held}, not whole: {wrong}, exit code {code}; seed {SEED}, see {work}")
shutil.rmtree(work)
