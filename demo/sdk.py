#!/usr/bin/env python3
"""What a runbook written for the cloud does, with nothing changed but the
endpoint: Tencent's official Python SDK.

    sdk.py create INSTANCE NAME      prints the id of the new snapshot
    sdk.py apply INSTANCE SNAPSHOT   takes the disk back; prints the RequestId
"""

import json
import os
import sys
import time

from tencentcloud.common import credential
from tencentcloud.common.profile.client_profile import ClientProfile
from tencentcloud.common.profile.http_profile import HttpProfile
from tencentcloud.lighthouse.v20200324 import lighthouse_client, models

with open(os.path.join(os.environ["BACKOUT_DATA"], "admin.json")) as f:
    admin = json.load(f)
http = HttpProfile(protocol="http", endpoint=admin["Url"].removeprefix("http://"))  # the only change
client = lighthouse_client.LighthouseClient(
    credential.Credential(admin["SecretId"], admin["SecretKey"]), "ap-guangzhou", ClientProfile(httpProfile=http)
)


def wait_for(snapshot_id):
    request = models.DescribeSnapshotsRequest()
    request.SnapshotIds = [snapshot_id]
    for _ in range(600):
        snapshot = client.DescribeSnapshots(request).SnapshotSet[0]
        if snapshot.LatestOperationState != "OPERATING":
            break
        time.sleep(0.1)
    print(f"    {snapshot.SnapshotId}: {snapshot.LatestOperation} {snapshot.LatestOperationState}", file=sys.stderr)
    if snapshot.LatestOperationState != "SUCCESS":
        sys.exit("the operation failed")


what, instance_id, third = sys.argv[1:]
if what == "create":
    request = models.CreateInstanceSnapshotRequest()
    request.InstanceId, request.SnapshotName = instance_id, third
    answer = client.CreateInstanceSnapshot(request)
    wait_for(answer.SnapshotId)
    print(answer.SnapshotId)
elif what == "apply":
    request = models.ApplyInstanceSnapshotRequest()
    request.InstanceId, request.SnapshotId = instance_id, third
    answer = client.ApplyInstanceSnapshot(request)
    wait_for(third)
    print(answer.RequestId)
else:
    sys.exit(__doc__)
