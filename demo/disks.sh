# Part of the demo: a server's disk, damaged and taken back. Sourced by `demo`.
# shellcheck shell=bash

printf '\n'
title 'A server'"'"'s disk, damaged and taken back'

step 'A real disk image: ext4, with files'
mkdir -p "$WORK/files/etc" "$WORK/files/srv"
printf 'hello from before the damage\n' >"$WORK/files/srv/index.html"
printf 'listen 80\nworkers 4\n' >"$WORK/files/etc/web.conf"
head -c 24M /dev/urandom >"$WORK/files/srv/orders.db"
seq 1 200000 >"$WORK/files/srv/access.log"
DISK=$WORK/web.img
truncate -s 128M "$DISK"
mke2fs -q -t ext4 -F -d "$WORK/files" "$DISK"
typed "mke2fs -t ext4 -d files web.img"
SHA=$(sha256sum <"$DISK" | cut -c1-64)
good "$(du -h --apparent-size "$DISK" | cut -f1) image, sha256 ${SHA:0:16}..."

# Reads the files back out of the image, by the file system's own tools.
files_are_whole() {
  e2fsck -fn "$DISK" >"$WORK/fsck.log" 2>&1 || return 1
  rm -rf "$WORK/back" && mkdir "$WORK/back"
  debugfs -R "rdump /etc /srv $WORK/back" "$DISK" >/dev/null 2>&1 || return 1
  diff -r "$WORK/files" "$WORK/back" >/dev/null 2>&1
}
same_bytes() { [ "$(sha256sum <"$DISK" | cut -c1-64)" = "$1" ]; }
prove() {
  same_bytes "$SHA" || die "bring every byte back ($1)"
  good "sha256 is ${SHA:0:16}... again: every byte is back"
  files_are_whole || die "find the files whole ($1)"
  good "e2fsck finds the file system clean, and debugfs reads every file as it was"
}
damage() {
  dd if=/dev/urandom of="$DISK" bs=4096 count=600 seek=3 conv=notrunc status=none
  debugfs -w -R 'rm /srv/index.html' "$DISK" >/dev/null 2>&1 || true
  dd if=/dev/zero of="$DISK" bs=1M count=12 seek=40 conv=notrunc status=none
}
files_are_whole || die "make a disk"
backout servers add web --disk "$DISK"
INSTANCE=$(quietly servers show web | field id)

step 'A snapshot, by Tencent'"'"'s official Python SDK'
typed "python demo/sdk.py create $INSTANCE before-release"
SNAPSHOT=$("$VENV/bin/python" "$HERE/sdk.py" create "$INSTANCE" before-release) || die "take a snapshot"
good "snapshot $SNAPSHOT"

step 'The disk is damaged'
damage
files_are_whole && die "damage the disk"
DAMAGED=$(sha256sum <"$DISK" | cut -c1-64)
bad "sha256 ${DAMAGED:0:16}..., and e2fsck says: $(grep -m1 -iE 'bad|corrupt|invalid|error|damaged' "$WORK/fsck.log" || tail -n1 "$WORK/fsck.log")"

step 'ApplyInstanceSnapshot, by the same SDK'
backout plan web --to "$SNAPSHOT"
typed "python demo/sdk.py apply $INSTANCE $SNAPSHOT"
REQUEST=$("$VENV/bin/python" "$HERE/sdk.py" apply "$INSTANCE" "$SNAPSHOT") || die "apply the snapshot"
prove 'by the SDK'

step 'The rollback is taken back: the damage was kept as a safety point'
JOB=$(quietly requests show "$REQUEST" | field job.id)
backout undo "$JOB" --yes
same_bytes "$DAMAGED" || die "undo the rollback"
bad "the damaged disk is back, byte for byte"
UNDO=$(quietly jobs show "$JOB" | field undone_by)

step 'And the undo is undone'
backout undo "$UNDO" --yes
prove 'by undoing the undo'

step 'Damaged once more, and taken back by tccli'
damage
typed "tccli lighthouse ApplyInstanceSnapshot --InstanceId $INSTANCE --SnapshotId $SNAPSHOT --endpoint $URL"
tc() {
  HOME=$WORK TENCENTCLOUD_SECRET_ID=$(field SecretId <"$BACKOUT_DATA/admin.json") \
    TENCENTCLOUD_SECRET_KEY=$(field SecretKey <"$BACKOUT_DATA/admin.json") TENCENTCLOUD_REGION=ap-guangzhou \
    "$VENV/bin/tccli" lighthouse "$@" --endpoint "$URL"
}
tc ApplyInstanceSnapshot --InstanceId "$INSTANCE" --SnapshotId "$SNAPSHOT" | indented || die "apply the snapshot by tccli"
for _ in $(seq 60); do
  STATE=$(tc DescribeSnapshots --SnapshotIds "[\"$SNAPSHOT\"]" --filter 'SnapshotSet[0].[LatestOperation,LatestOperationState]' | tr -d ' "\n[]')
  case $STATE in *OPERATING*) sleep 0.3 ;; *) break ;; esac
done
good "tccli sees $STATE"
prove 'by tccli'

step 'What happened'
backout jobs list
backout snapshots list web
TO_EXPLORE+=('backout servers list; backout snapshots list web')
