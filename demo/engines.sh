# Part of the demo: a data engine that gets another version, and the one before
# again, while it is asked. Sourced by `demo`.
# shellcheck shell=bash

printf '\n'
title 'A data engine, switched and taken back while it is asked'

TRIPS=$WORK/warehouse/trips.csv
COUNTED=$WORK/statements
: >"$COUNTED"

# Adds up what the analysts have told since their line FROM: `right`, `other`, or
# `versions`, which version answered in each second.
told() {
  "$VENV/bin/python" - "$COUNTED" "$1" "$2" <<'END'
import json, sys
lines = [json.loads(line) for line in open(sys.argv[1])][int(sys.argv[2]):]
if sys.argv[3] == "right": print(sum(sum(l["right"].values()) for l in lines))
elif sys.argv[3] == "versions":
    marks = {"v1.3.2": "○", "v1.4.4": "●"}
    print("".join("◐" if len(l["right"]) > 1 else marks.get(*l["right"]) for l in lines if l["right"]))
else:
    other = [o for l in lines for o in l["other"]]
    print(len(other))
    for o in other[:5]: print(o, file=sys.stderr)
END
}
# What comes after now is told in lines after this one.
told_so_far() { local now; now=$(wc -l <"$COUNTED"); while [ "$(wc -l <"$COUNTED")" -le "$now" ]; do sleep 0.05; done; wc -l <"$COUNTED"; }
nobody_noticed() {
  local lost
  told_so_far >/dev/null
  lost=$(told "$1" other)
  [ "$lost" = 0 ] || die "answer each statement: $lost were not, or not rightly"
  good "$(told "$1" right) statements answered rightly meanwhile, none lost, none wrong"
  good "by 1.3 ○ or 1.4 ●, second by second:  $(told "$1" versions)"
}
# What the engine says of itself, and of all trips.
everything() {
  quietly engines query analytics "SELECT version(), current_setting('threads'), current_setting('preserve_insertion_order'), count(*), sum(cents) FROM trips"
}
runbook() { typed "python demo/dlc.py $(shown "$@")" >&2; "$VENV/bin/python" "$HERE/dlc.py" "$@" || die "call by the official SDK: $1"; }
# Follows the job of a vendor's call.
follow() {
  local job outcome
  job=$(quietly requests show "$1" | field job.id)
  typed "backout jobs watch $job"
  outcome=$(quietly jobs watch "$job" | field outcome)
  [ "$outcome" = applied ] || die "carry job $job out: it is $outcome"
  good "applied"
}

step 'Two versions in the catalogue: DuckDB 1.3 and 1.4, as they come from the Python registry'
entry() {
  cat >"$WORK/duckdb-$1.toml" <<END
version = "DuckDB $1"
kind = "DuckDB"
command = ["$ENGINES/duckdb-$2/bin/python", "{assets}/duckdb/server.py", "--port", "{port}", "--data", "$WORK/warehouse"]
health_sql = "SELECT 1"

[cluster_parameters]
threads = { type = "integer", default = 1 }
$3
END
  backout engines image add "$WORK/duckdb-$1.toml"
}
entry 1.3 1.3.2 'preserve_insertion_order = { type = "boolean", default = true }'
entry 1.4 1.4.4 ''

step 'An engine of version 1.3, asked about 200,000 trips'
mkdir -p "$WORK/warehouse"
"$VENV/bin/python" -c 'import random
random.seed(1)
print("city,cents")
for n in range(200_000): print(random.choice(["Oslo", "Quito", "Hanoi", "Accra"]), random.randrange(300, 9000), sep=",")' >"$TRIPS"
FIRST_TO_END+=('engines delete analytics --yes')
backout engines create analytics --kind DuckDB --image 'DuckDB 1.3' --set threads=2
ENGINE=$(quietly engines show analytics | field id)
ENDPOINT=$(quietly engines show analytics | field endpoint)
backout engines set analytics preserve_insertion_order=false --yes
backout engines query analytics 'SELECT city, count(*) AS trips, sum(cents) AS cents FROM trips GROUP BY city ORDER BY city'
BEFORE=$(everything)

step 'Its analysts: four of them, one statement after the other, from now on'
typed "python demo/statements.py ${ENDPOINT##*:} trips.csv counts"
setsid "$VENV/bin/python" "$HERE/statements.py" "${ENDPOINT##*:}" "$TRIPS" "$COUNTED" 2>"$WORK/analysts.log" &
ANALYSTS=$!
STARTED=("$ANALYSTS" "${STARTED[@]}")
SINCE=$(told_so_far)
good "$(told 0 right) statements answered, $(told 0 other) not"

step 'To version 1.4, by the official SDK. What becomes of parameters is told before'
backout engines switch analytics --image 'DuckDB 1.4' --dry-run
NEW=$(quietly engines images | "$VENV/bin/python" -c 'import json, sys; print(json.load(sys.stdin)[-1]["id"])')
REQUEST=$(runbook switch "$ENGINE" "$NEW")
follow "$REQUEST"
[ "$(everything)" != "$BEFORE" ] || die "switch the engine"
nobody_noticed "$SINCE"

step 'And back: the two records that the check tells, and then version and parameters as they were'
SINCE=$(told_so_far)
RECORDS=$(runbook check "$ENGINE")
read -r FROM TO <<<"$RECORDS"
good "from record $FROM, undoing $TO"
REQUEST=$(runbook rollback "$ENGINE" "$FROM" "$TO")
follow "$REQUEST"
nobody_noticed "$SINCE"
[ "$(everything)" = "$BEFORE" ] || die "take the engine back: it says $(everything), and said $BEFORE"
good "version, parameters and answers are as before the switch"

step 'What happened'
backout engines log analytics
TO_EXPLORE+=("backout engines show analytics; backout engines query analytics 'SELECT version()'; backout engines switch analytics --image 'DuckDB 1.4' --dry-run")
