# Part of the demo: a table of a database under load, damaged and taken back.
# Sourced by `demo`.
# shellcheck shell=bash

# How many things the shop sells.
ITEMS=20000

printf '\n'
title 'A table of a database, damaged and taken back while customers go on buying'

SHOP=$WORK/shop
SOCKET=$SHOP/socket
# The demo's own view of the database; nothing of Backout is in it.
sql() { mariadb --no-defaults --socket="$SOCKET" --user=root --batch --skip-column-names --raw "$@" shop; }
rows_of() { sql --execute="SELECT * FROM $1 ORDER BY id"; }

step 'A shop: a private MariaDB, and customers'
mkdir "$SHOP"
chmod 711 "$SHOP"
AS=()
# The server refuses to be root's; packages make an account for it.
if [ "$(id -u)" = 0 ]; then
  AS=(--user=mysql)
  chown mysql: "$SHOP"
fi
mariadb-install-db --no-defaults --datadir="$SHOP/data" --auth-root-authentication-method=normal --skip-test-db \
  "${AS[@]}" >"$WORK/mariadb-install.log" 2>&1 || die "make a database server"
# A port that is free now; whoever takes it meanwhile makes the start fail, and
# it is tried again.
MARIADB=
for _ in 1 2 3; do
  PORT=$("$VENV/bin/python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  setsid mariadbd --no-defaults "${AS[@]}" --datadir="$SHOP/data" --socket="$SOCKET" --pid-file="$SHOP/pid" \
    --bind-address=127.0.0.1 --port="$PORT" --server-id=1 --innodb-buffer-pool-size=128M \
    --log-bin=shop-bin --binlog-format=ROW >"$WORK/mariadb.log" 2>&1 &
  MARIADB=$!
  for _ in $(seq 300); do
    mariadb-admin --no-defaults --socket="$SOCKET" --user=root ping >/dev/null 2>&1 && break 2
    kill -0 "$MARIADB" 2>/dev/null || break
    sleep 0.1
  done
  kill "$MARIADB" 2>/dev/null || true
  wait "$MARIADB" 2>/dev/null || true
  MARIADB=
done
[ -n "$MARIADB" ] || die "start a database server"
# It ends after the server that follows it.
STARTED+=("$MARIADB")
typed "mariadbd --datadir=shop/data --port=$PORT --log-bin --binlog-format=ROW --server-id=1"
# These are all the rights that Backout uses; it runs with fewer, and says what
# that costs. SUPER is for one statement only, which has a quiet server make a
# checkpoint when a table was brought in as files.
PASSWORD=$(openssl rand -hex 12)
mariadb --no-defaults --socket="$SOCKET" --user=root <<SQL || die "make the shop"
CREATE DATABASE shop;
CREATE USER shop@localhost;
GRANT SELECT, INSERT, UPDATE, DELETE ON shop.* TO shop@localhost;
CREATE USER backout@'127.0.0.1' IDENTIFIED BY '$PASSWORD';
GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, DROP, INDEX, REFERENCES, LOCK TABLES, TRIGGER, EVENT,
  SHOW VIEW, CREATE VIEW, CREATE ROUTINE, RELOAD, PROCESS, REPLICATION SLAVE, BINLOG MONITOR, BINLOG REPLAY,
  CONNECTION ADMIN, SET USER, SUPER ON *.* TO backout@'127.0.0.1';
USE shop;
CREATE TABLE items (
  id INT AUTO_INCREMENT PRIMARY KEY,
  name VARCHAR(80) NOT NULL,
  price DECIMAL(8,2) NOT NULL,
  stock INT NOT NULL,
  changed DATETIME(6) NOT NULL DEFAULT NOW(6) ON UPDATE NOW(6),
  KEY (name)
);
CREATE TABLE orders (
  id INT AUTO_INCREMENT PRIMARY KEY,
  item INT NOT NULL,
  quantity INT NOT NULL,
  state ENUM('new', 'sent') NOT NULL DEFAULT 'new',
  placed DATETIME(6) NOT NULL DEFAULT NOW(6),
  KEY (state)
);
INSERT INTO items (name, price, stock) SELECT CONCAT('item ', seq), 1 + seq % 900 + 0.99, 100 FROM seq_1_to_$ITEMS;
SQL

# Customers, and the people who keep the shelves. See load.py on why those are two.
LOAD_orders='' LOAD_items=''
load() {
  local -n pid=LOAD_$1
  setsid "$VENV/bin/python" "$HERE/load.py" "$SOCKET" "$1" "$WORK/load-$1.json" 2>>"$WORK/load.log" &
  pid=$!
  # It ends first.
  STARTED=("$pid" "${STARTED[@]}")
}
still_open() {
  local pid
  for pid in $LOAD_orders $LOAD_items; do
    kill -0 "$pid" 2>/dev/null || die "keep the shop going: $(tail -n3 "$WORK/load.log")"
  done
}
unload() {
  local -n pid=LOAD_$1
  still_open
  kill "$pid"
  wait "$pid" || die "end the load on $1 in peace: $(tail -n3 "$WORK/load.log")"
  local other kept=()
  for other in "${STARTED[@]}"; do [ "$other" = "$pid" ] || kept+=("$other"); done
  STARTED=("${kept[@]}")
  pid=
  good "$("$VENV/bin/python" -c 'import json, sys
s = json.load(open(sys.argv[1]))
print("{done} transactions on {kind}, {a_second} a second; the slowest took {slowest_ms} ms".format(**s))' "$WORK/load-$1.json")"
}
# Says how many orders there are; dies when they do not get more.
sold() {
  still_open
  local now
  for _ in $(seq 300); do
    now=$(sql --execute='SELECT COUNT(*) FROM orders')
    [ "$now" -gt "$SOLD" ] && break
    sleep 0.1
  done
  [ "$now" -gt "$SOLD" ] || die "keep the shop going: there are $now orders, as before"
  SOLD=$now
  good "meanwhile the shop goes on: $SOLD orders"
}
SOLD=0
load orders
load items
sold

step 'Backout takes it under management, and follows its binary log'
# By stdin, so that no list of processes shows the password.
backout databases add shop --url - <<<"mysql://backout:$PASSWORD@127.0.0.1:$PORT"
DATABASE=$(quietly databases show shop | field id)
good "the APIs know it as $DATABASE"

step 'A base backup, by Tencent'"'"'s official Python SDK'
export BACKOUT_TLS=$TLS
cdb() { typed "python demo/cdb.py $(shown "$@")"; "$VENV/bin/python" "$HERE/cdb.py" "$@" | indented; }
cdb backup "$DATABASE" || die "take a base backup"
cdb range "$DATABASE" || die "find a window"
sold

step 'An UPDATE without WHERE'
# The demo looks at all rows in the transaction that damages them, so that it
# knows what to compare with: nobody comes between.
typed "mariadb shop -e 'UPDATE items SET price = 9.99'"
sql >"$WORK/before.tsv" <<SQL || die "damage the table"
BEGIN;
SELECT * FROM items ORDER BY id FOR UPDATE;
UPDATE items SET price = 9.99;
COMMIT;
SQL
[ "$(wc -l <"$WORK/before.tsv")" -gt $((ITEMS / 2)) ] || die "see the rows before the damage"
# A customer wonders about a price, and remembers when.
AROUND=$(date -u +%Y-%m-%dT%H:%M:%SZ)
# Nobody hears of it at once.
sleep 3
sold
bad "$(sql --execute='SELECT COUNT(*), "of", (SELECT COUNT(*) FROM items), "items cost 9.99" FROM items WHERE price = 9.99' | tr '\t' ' ')"

step 'When was that?'
# What one sees there at a glance: the one that changed far more rows. An archive
# on a machine with other work may be a moment behind.
CHANGED=0
for _ in $(seq 100); do
  quietly databases history shop --table shop.items --around "$AROUND" >"$WORK/history.json" || die "read the history"
  read -r WHEN GTID CHANGED < <("$VENV/bin/python" -c 'import json, sys
def rows(t): return sum(c["updates"] for c in t["tables"] if c["table"] == "shop.items")
worst = max(json.load(sys.stdin)["items"], key=rows, default=None)
print(worst["time"], worst["gtid"], rows(worst)) if worst else print("- - 0")' <"$WORK/history.json") || die "read the history"
  [ "$CHANGED" -gt $((ITEMS / 2)) ] && break
  sleep 0.2
done
backout databases history shop --table shop.items --around "$AROUND"
[ "$CHANGED" -gt $((ITEMS / 2)) ] || die "find the transaction: the largest changed $CHANGED rows"
bad "it was $GTID, at $WHEN: $CHANGED rows"
# As the APIs take it: in the zone of the database, to the microsecond.
LOCAL=$(sed -E 's/T/ /; s/([+-][0-9:]+|Z)$//' <<<"$WHEN")

same_rows() {
  rows_of "$1" >"$WORK/$1.tsv" || die "read $1"
  cmp -s "$2" "$WORK/$1.tsv" || die "bring every row back ($3): diff $2 $WORK/$1.tsv"
  good "all $(wc -l <"$2") rows of $1 are as $4, value for value"
}

step 'StartBatchRollback, by the same SDK: the table as it was, under a new name'
cdb rollback "$DATABASE" "$LOCAL" shop items items_before || die "roll back"
sold

step 'GetCdbRollbackJob, by the legacy client over TLS'
export SSL_CERT_FILE=$WORK/tls/ca.pem
cdb jobs "$DATABASE" || die "list the jobs"

step 'Compared with what the demo saw a moment before the damage'
same_rows items_before "$WORK/before.tsv" 'under a new name' 'they were'
bad "and items, which nobody asked to be touched, still has its $(sql --execute='SELECT COUNT(*) FROM items WHERE price = 9.99') wrong prices"

step 'Now in place: the shelves are left alone for it, the customers go on'
# Going back to an instant undoes all that the table saw since; the people who
# keep the shelves stop, so that there is something to compare with.
unload items
rows_of items >"$WORK/damaged.tsv"
backout databases rollback shop --in-place --table shop.items --to "$WHEN" --yes
same_rows items "$WORK/before.tsv" 'in place' 'they were'
sold

step 'The rollback is taken back: it was one transaction'
JOB=$(quietly jobs list | "$VENV/bin/python" -c 'import json, sys
print(next(j["id"] for j in json.load(sys.stdin) if j["procedure"] == "databases.rewind"))') || die "find the job"
backout undo "$JOB" --yes
same_rows items "$WORK/damaged.tsv" 'by undoing' 'they were before it'
UNDO=$(quietly jobs show "$JOB" | field undone_by)

step 'And the undo is undone'
backout undo "$UNDO" --yes
same_rows items "$WORK/before.tsv" 'by undoing the undo' 'they were'
sold

step 'What the customers noticed'
unload orders
DONE=$(field "done" <"$WORK/load-orders.json")
SOLD=$(sql --execute='SELECT COUNT(*) FROM orders')
[ "$SOLD" = "$DONE" ] || die "keep every order: $DONE were taken, $SOLD are there"
good "$DONE orders were taken, and all of them are there"
backout jobs list
TO_EXPLORE+=('backout databases list; backout databases history shop')
TO_EXPLORE+=("mariadb --socket=$SOCKET --user=root shop")
