#!/usr/bin/env python3
"""What a runbook written for the cloud does with a database, with nothing
changed but the endpoint: Tencent's official Python SDK and, for the job list,
its legacy client, which speaks TLS only.

    cdb.py backup INSTANCE                            CreateBackup
    cdb.py range INSTANCE                             DescribeRollbackRangeTime
    cdb.py rollback INSTANCE TIME DATABASE TABLE NEW  StartBatchRollback, then DescribeAsyncRequestInfo
                                                      until it is over
    cdb.py jobs INSTANCE                              GetCdbRollbackJob, by the legacy client
"""

import json
import os
import sys
import time

from QcloudApi.qcloudapi import QcloudApi
from tencentcloud.cdb.v20170320 import cdb_client, models
from tencentcloud.common import credential
from tencentcloud.common.profile.client_profile import ClientProfile
from tencentcloud.common.profile.http_profile import HttpProfile

# Long for a table of a demo, on a machine with other work.
PATIENCE_S = 300

with open(os.path.join(os.environ["BACKOUT_DATA"], "admin.json")) as f:
    admin = json.load(f)
http = HttpProfile(protocol="http", endpoint=admin["Url"].removeprefix("http://"))  # the only change
client = cdb_client.CdbClient(
    credential.Credential(admin["SecretId"], admin["SecretKey"]), "ap-guangzhou", ClientProfile(httpProfile=http)
)


def call(action, **parameters):
    request = getattr(models, action + "Request")()
    request.from_json_string(json.dumps(parameters))
    return getattr(client, action)(request)


def backup(instance):
    number = call("CreateBackup", InstanceId=instance, BackupMethod="physical", ManualBackupName="before-sale").BackupId
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        found = [b for b in call("DescribeBackups", InstanceId=instance).Items if b.BackupId == number]
        if found and found[0].Status != "RUNNING":
            break
        time.sleep(0.2)
    print(f"backup {number}: {found[0].Status}, {found[0].Size} bytes, {found[0].Date} to {found[0].FinishTime}")
    if found[0].Status != "SUCCESS":
        sys.exit("the backup failed")


def window(instance):
    end = time.monotonic() + PATIENCE_S
    while True:
        [item] = call("DescribeRollbackRangeTime", InstanceIds=[instance]).Items
        if item.Code != 0:
            sys.exit(f"the window was refused: {item.Code} {item.Message}")
        # It is shown in whole seconds: right after the first backup there is none.
        if item.Times:
            break
        if time.monotonic() > end:
            sys.exit("there is nothing to go back to")
        time.sleep(0.2)
    for times in item.Times:
        print(f"{item.InstanceId}: {times.Begin} to {times.End}")


def rollback(instance, when, database, table, new):
    names = {"TableName": table, "NewTableName": new}
    answer = call("StartBatchRollback", Instances=[{
        "InstanceId": instance,
        "Strategy": "table",
        "RollbackTime": when,
        "Databases": [],
        "Tables": [{"Database": database, "Table": [names]}],
    }])
    print(f"AsyncRequestId {answer.AsyncRequestId}", flush=True)
    wait(answer.AsyncRequestId)


def wait(asked):
    began = time.monotonic()
    said = None
    while time.monotonic() < began + PATIENCE_S:
        answer = call("DescribeAsyncRequestInfo", AsyncRequestId=asked)
        if (answer.Status, answer.Info) != said:
            said = answer.Status, answer.Info
            print(f"{time.monotonic() - began:5.1f} s  {answer.Status:8} {answer.Info or ''}".rstrip(), flush=True)
        if answer.Status not in ("UNDEFINED", "INITIAL", "RUNNING", "PAUSED"):
            break
        time.sleep(0.05)
    if answer.Status != "SUCCESS":
        sys.exit(f"the rollback ended as {answer.Status}")


def jobs(instance):
    # Its own module for this product has the host fixed; a name that it does not
    # know takes an endpoint.
    service = QcloudApi("cdbx", {
        "Region": "gz",
        "endpoint": os.environ["BACKOUT_TLS"].removeprefix("https://"),
        "secretId": admin["SecretId"],
        "secretKey": admin["SecretKey"],
        "method": "GET",
    })
    answer = json.loads(service.call("GetCdbRollbackJob", {"cdbInstanceId": instance, "offset": 0, "limit": 10}))
    if int(answer["code"]) != 0:
        sys.exit(f"the list was refused: {answer}")
    newest = answer["data"]["taskList"][0]
    for member in ["jobId", "type", "name", "newName", "startTime", "endTime", "status", "progress"]:
        print(f"{member:9} {newest[member]}")
    print(f"rollbackTime {newest['taskContext']['data']['rollbackTime']}")
    if (newest["status"], newest["progress"]) != ("2", "100"):
        sys.exit("the newest job is not one that succeeded")


what, *rest = sys.argv[1:] or [""]
commands = {"backup": backup, "range": window, "rollback": rollback, "jobs": jobs}
if what not in commands:
    sys.exit(__doc__)
commands[what](*rest)
