#!/usr/bin/env bash
# tccli takes a data engine back, with nothing changed but the endpoint, between
# the records that the check tells. Prints the answer.
set -euo pipefail
: "${BO_URL:?}" "${BO_TCCLI:?}" "${BO_ENGINE:?}"
export TENCENTCLOUD_SECRET_ID=$BO_ID TENCENTCLOUD_SECRET_KEY=$BO_KEY TENCENTCLOUD_REGION=ap-guangzhou
call() { "$BO_TCCLI" dlc "$@" --DataEngineId "$BO_ENGINE" --endpoint "$BO_URL"; }
check=$(call CheckDataEngineImageCanBeRollback --filter '[IsRollback,FromRecordId,ToRecordId]' | tr -d ' "\n[]')
IFS=, read -r possible from to <<<"$check"
[ "$possible" = true ]
call RollbackDataEngineImage --FromRecordId "$from" --ToRecordId "$to"
