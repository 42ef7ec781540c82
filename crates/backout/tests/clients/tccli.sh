#!/usr/bin/env bash
# tccli, with nothing changed but the endpoint. It keeps its settings in HOME.
set -euo pipefail
: "${BO_URL:?}" "${BO_TCCLI:?}"
export TENCENTCLOUD_SECRET_ID=$BO_ID TENCENTCLOUD_SECRET_KEY=$BO_KEY TENCENTCLOUD_REGION=ap-guangzhou
call() { "$BO_TCCLI" lighthouse "$@" --endpoint "$BO_URL"; }
[ "$(call DescribeInstances --filter 'InstanceSet[0].InstanceName')" = '"web"' ]
instance=$(call DescribeInstances --filter 'InstanceSet[0].InstanceId' | tr -d '"')
snapshot=$(call CreateInstanceSnapshot --InstanceId "$instance" --SnapshotName by-tccli --filter SnapshotId | tr -d '"')
state() { call DescribeSnapshots --SnapshotIds "[\"$snapshot\"]" --filter "SnapshotSet[0].$1" | tr -d '"'; }
settle() { for _ in $(seq 100); do [ "$(state LatestOperationState)" = OPERATING ] || return 0; sleep 0.2; done; return 1; }
settle
printf 'garbage' | dd of="$BO_DISK" conv=notrunc status=none
damaged=$(sha256sum <"$BO_DISK")
call ApplyInstanceSnapshot --InstanceId "$instance" --SnapshotId "$snapshot" >/dev/null
settle
[ "$(state LatestOperation)/$(state LatestOperationState)" = RollbackInstanceSnapshot/SUCCESS ]
[ "$(sha256sum <"$BO_DISK")" != "$damaged" ]
[ "$(sha256sum <"$BO_DISK")" = "$BO_DISK_SHA" ]
if out=$(call ApplyInstanceSnapshot --InstanceId lhins-00000000 --SnapshotId "$snapshot" 2>&1); then
  echo "an unknown instance was accepted: $out" >&2; exit 1
fi
case $out in *ResourceNotFound.InstanceIdNotFound*) ;; *) echo "not the code: $out" >&2; exit 1 ;; esac
echo "ok tccli"
