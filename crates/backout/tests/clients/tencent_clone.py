"""An instance is made of a backup by Tencent's Python SDK, with nothing changed but the endpoint."""

import os
import time

from tencentcloud.cdb.v20170320 import cdb_client, models
from tencentcloud.common import credential
from tencentcloud.common.exception.tencent_cloud_sdk_exception import TencentCloudSDKException
from tencentcloud.common.profile.client_profile import ClientProfile
from tencentcloud.common.profile.http_profile import HttpProfile

SOURCE = os.environ["BO_DATABASE"]
PATIENCE_S = 120

http = HttpProfile(protocol="http", endpoint=os.environ["BO_ADDR"], reqTimeout=30)
client = cdb_client.CdbClient(
    credential.Credential(os.environ["BO_ID"], os.environ["BO_KEY"]),
    "ap-guangzhou",
    ClientProfile(httpProfile=http, language="en-US"),
)


def call(name, **members):
    request = getattr(models, name + "Request")()
    for member, value in members.items():
        setattr(request, member, value)
    return getattr(client, name)(request)


backup = call("DescribeBackups", InstanceId=SOURCE).Items[0].BackupId
dry = call("CreateCloneInstance", InstanceId=SOURCE, SpecifiedBackupId=backup, DryRun=True)
assert dry.AsyncRequestId == "", dry
assert call("DescribeCloneList", InstanceId=SOURCE).TotalCount == 0

try:
    call("CreateCloneInstance", InstanceId=SOURCE)
    raise AssertionError("a clone of nothing was accepted")
except TencentCloudSDKException as e:
    assert e.get_code() == "InvalidParameter", e

made = call("CreateCloneInstance", InstanceId=SOURCE, SpecifiedBackupId=backup, InstanceName="clone-1")
until = time.monotonic() + PATIENCE_S
while True:
    status = call("DescribeAsyncRequestInfo", AsyncRequestId=made.AsyncRequestId).Status
    if status not in ("INITIAL", "RUNNING"):
        break
    assert time.monotonic() < until, status
    time.sleep(0.1)
assert status == "SUCCESS", status

clones = call("DescribeCloneList", InstanceId=SOURCE)
assert clones.TotalCount == 1, clones
clone = clones.Items[0]
assert (clone.SrcInstanceId, clone.TaskStatus, clone.RollbackStrategy) == (SOURCE, "success", "backupset"), clone
row = call("DescribeDBInstances", InstanceIds=[clone.DstInstanceId]).Items[0]
assert (row.InstanceName, row.Status) == ("clone-1", 1), row
