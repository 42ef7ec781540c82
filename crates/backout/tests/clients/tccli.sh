#!/usr/bin/env bash
# tccli, with nothing changed but the endpoint. It keeps its settings in HOME.
set -euo pipefail
: "${BO_URL:?}" "${BO_TCCLI:?}"
export TENCENTCLOUD_SECRET_ID=$BO_ID TENCENTCLOUD_SECRET_KEY=$BO_KEY TENCENTCLOUD_REGION=ap-guangzhou
call() { "$BO_TCCLI" lighthouse "$@" --endpoint "$BO_URL"; }
# Each call takes tccli a second to start: as few as will do.
found=$(call DescribeInstances --filter 'InstanceSet[0].[InstanceName,InstanceId]' | tr -d ' "\n[]')
[ "${found%,*}" = web ]
instance=${found#*,}
snapshot=$(call CreateInstanceSnapshot --InstanceId "$instance" --SnapshotName by-tccli --filter SnapshotId | tr -d '"')
settle() {
  local state
  for _ in $(seq 100); do
    state=$(call DescribeSnapshots --SnapshotIds "[\"$snapshot\"]" --filter 'SnapshotSet[0].[LatestOperation,LatestOperationState]' | tr -d ' "\n[]')
    case $state in *,OPERATING) sleep 0.2 ;; *) break ;; esac
  done
  [ "$state" = "$1" ]
}
settle CreateInstanceSnapshot,SUCCESS
printf 'garbage' | dd of="$BO_DISK" conv=notrunc status=none
[ "$(sha256sum <"$BO_DISK")" != "$BO_DISK_SHA" ]
call ApplyInstanceSnapshot --InstanceId "$instance" --SnapshotId "$snapshot" >/dev/null
settle RollbackInstanceSnapshot,SUCCESS
[ "$(sha256sum <"$BO_DISK")" = "$BO_DISK_SHA" ]
if out=$(call ApplyInstanceSnapshot --InstanceId lhins-00000000 --SnapshotId "$snapshot" 2>&1); then
  echo "an unknown instance was accepted: $out" >&2; exit 1
fi
case $out in *ResourceNotFound.InstanceIdNotFound*) ;; *) echo "not the code: $out" >&2; exit 1 ;; esac
echo "ok tccli"
