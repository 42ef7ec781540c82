# Part of the demo: an application that was deployed with a fault, and is taken
# back while its customers go on. Sourced by `demo`.
# shellcheck shell=bash

printf '\n'
title 'An application with a fault, taken back while it serves'

SHOP_PORT=$("$VENV/bin/python" -c 'import socket
s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
COUNTS=$WORK/counts
: >"$COUNTS"

# Adds up what the load has told since its line FROM: `well`, `faulty`, `other`.
# (What it tells of a second comes at its end.)
counted() {
  "$VENV/bin/python" - "$COUNTS" "$1" "$2" <<'END'
import json, sys
lines = [json.loads(line) for line in open(sys.argv[1])][int(sys.argv[2]):]
if sys.argv[3] == "well": print(sum(sum(l["well"].values()) for l in lines))
elif sys.argv[3] == "faulty": print(sum(l["faulty"] for l in lines))
elif sys.argv[3] == "shares":
    # A bar for each second: how many of a hundred requests failed in version 2.
    bars = " ▁▂▃▄▅▆▇█"
    print("".join(bars[min(8, (8 * l["faulty"] + 24) // 25)] for l in lines))
else:
    other = [o for l in lines for o in l["other"]]
    print(len(other))
    for o in other[:5]: print(o, file=sys.stderr)
END
}
seconds() { wc -l <"$COUNTS"; }
# What comes after now is told in lines after this one.
mark() { local now; now=$(seconds); while [ "$(seconds)" -le "$now" ]; do sleep 0.05; done; seconds; }

step 'A shop: version 1, eight replicas behind one port'
for version in 1 2; do
  mkdir -p "$WORK/shop-$version"
  cp "$HERE/shop/shop.py" "$WORK/shop-$version/"
  printf '%s\n' "$version" >"$WORK/shop-$version/VERSION"
done
FIRST_TO_END+=('apps delete shop --yes')
backout apps deploy shop --from "$WORK/shop-1" --command 'python3 shop.py' --replicas 8 --port "$SHOP_PORT" --health /health --label v1
good "$(curl -s "http://127.0.0.1:$SHOP_PORT/") at port $SHOP_PORT"

step 'Its customers: 100 requests a second from now on'
typed "python demo/customers.py $SHOP_PORT counts"
setsid "$VENV/bin/python" "$HERE/customers.py" "$SHOP_PORT" "$COUNTS" 2>"$WORK/customers.log" &
CUSTOMERS=$!
STARTED=("$CUSTOMERS" "${STARTED[@]}")
mark >/dev/null
good "$(counted 0 well) requests answered well, $(counted 0 other) not"

step 'Version 2 is deployed. It starts, it is healthy, and it has a fault'
BEFORE=$(mark)
backout apps deploy shop --from "$WORK/shop-2" --label v2 --batches 2 --min-ready 4
mark >/dev/null
[ "$(counted "$BEFORE" faulty)" -gt 0 ] || die "make version 2 fail"
bad "$(counted "$BEFORE" faulty) requests answered with an error by version 2 by now: $(curl -s -d 3 "http://127.0.0.1:$SHOP_PORT/orders")"
[ "$(counted "$BEFORE" other)" = 0 ] || die "deploy without losing a request"
good "$(counted "$BEFORE" well) answered well; the deploy itself lost none"

step 'Back: one replica first, then the others in three batches, never fewer than six ready'
HOW=(--gray 1 --batches 3 --wait-between 1s --min-ready 6)
backout apps rollback shop --to v1 "${HOW[@]}" --dry-run
BEFORE=$(mark)
backout apps rollback shop --to v1 "${HOW[@]}" --yes
AFTER=$(mark)
good "errors of version 2, second by second:  $(counted "$BEFORE" shares)"
LOST=$(counted "$BEFORE" other)
[ "$LOST" = 0 ] || die "take the shop back without losing a request: $LOST were lost"
good "$(counted "$BEFORE" well) requests answered well meanwhile, $(counted "$BEFORE" faulty) failed by version 2 itself, 0 for any other reason"
mark >/dev/null
[ "$(counted "$AFTER" faulty)" = 0 ] || die "take all replicas back"
good "and since then $(counted "$AFTER" well) of $(counted "$AFTER" well): $(curl -s -d 3 "http://127.0.0.1:$SHOP_PORT/orders")"

step 'What happened'
backout apps versions shop
backout apps orders shop
TO_EXPLORE+=("backout apps show shop; backout apps rollback shop --to v2 --dry-run; curl 127.0.0.1:$SHOP_PORT")
