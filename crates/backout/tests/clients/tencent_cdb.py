"""A table comes back by Tencent's Python SDK, and its legacy client reads of it, with nothing changed but the endpoint."""

import json
import os
import time
import warnings

from QcloudApi.qcloudapi import QcloudApi
from tencentcloud.cdb.v20170320 import cdb_client, models
from tencentcloud.common import credential
from tencentcloud.common.exception.tencent_cloud_sdk_exception import TencentCloudSDKException
from tencentcloud.common.profile.client_profile import ClientProfile
from tencentcloud.common.profile.http_profile import HttpProfile

SHOP = os.environ["BO_DATABASE"]
THEN = os.environ["BO_THEN"]
PATIENCE_S = 120

http = HttpProfile(protocol="http", endpoint=os.environ["BO_ADDR"], reqTimeout=60)
client = cdb_client.CdbClient(
    credential.Credential(os.environ["BO_ID"], os.environ["BO_KEY"]),
    "ap-guangzhou",
    ClientProfile(httpProfile=http, language="en-US"),
)


def call(name, **members):
    request = getattr(models, name + "Request")()
    request.from_json_string(json.dumps(members))
    # The client warns of members that it does not know.
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return getattr(client, name)(request)


def refused(name, **members):
    try:
        call(name, **members)
    except TencentCloudSDKException as e:
        assert e.get_request_id(), e
        return e.get_code()
    raise AssertionError(f"{name} was accepted")


def legacy(action, **params):
    service = QcloudApi("cdbx", {
        "Region": "gz",
        "endpoint": os.environ["BO_TLS_ADDR"],
        "secretId": os.environ["BO_ID"],
        "secretKey": os.environ["BO_KEY"],
        "method": "GET",
    })
    answer = json.loads(service.call(action, params))
    assert int(answer["code"]) == 0 and answer["codeDesc"] == "Success", (action, answer)
    return answer


def until(what, look):
    end = time.monotonic() + PATIENCE_S
    while True:
        seen = look()
        if what(seen):
            return seen
        assert time.monotonic() < end, seen
        time.sleep(0.1)


row = call("DescribeDBInstances", InstanceIds=[SHOP], InitFlag=1, WithRo=0).Items[0]
assert (row.InstanceId, row.InstanceName, row.Status) == (SHOP, "shop", 1), row
assert call("DescribeDatabases", InstanceId=SHOP).Items == ["shop"]
assert call("DescribeTables", InstanceId=SHOP, Database="shop").Items == ["orders"]
assert refused("DescribeTables", InstanceId=SHOP, Database="nothing").startswith("InvalidParameterValue")

# What was committed just now is followed, but not yet in this moment.
until(
    lambda ranges: any(t.Begin <= THEN <= t.End for t in ranges.Items[0].Times),
    lambda: call("DescribeRollbackRangeTime", InstanceIds=[SHOP]),
)
asked = {
    "InstanceId": SHOP,
    "Strategy": "table",
    "RollbackTime": THEN,
    "Tables": [{"Database": "shop", "Table": [{"TableName": "orders", "NewTableName": "orders_then"}]}],
}
work = call("StartBatchRollback", Instances=[asked]).AsyncRequestId
state = until(
    lambda seen: seen.Status not in ("INITIAL", "RUNNING"),
    lambda: call("DescribeAsyncRequestInfo", AsyncRequestId=work),
)
assert state.Status == "SUCCESS", state
assert refused("StopRollback", InstanceId=SHOP) == "CdbError.TaskError"
assert refused("StartBatchRollback", Instances=[asked]) == "InvalidParameter", "the name is taken"

detail = call("DescribeRollbackTaskDetail", InstanceId=SHOP, AsyncRequestId=work)
assert detail.TotalCount == 1 and detail.Items[0].Detail[0].RollbackTime == THEN, detail
task = call("DescribeTasks", TaskTypes=[10], TaskStatus=[2]).Items[0]
assert (task.TaskStatus, task.TaskType, task.InstanceIds) == ("SUCCEED", "BATCH ROLLBACK", [SHOP]), task

call("ModifyBackupConfig", InstanceId=SHOP, ExpireDays=30, BackupTimeWindow={"Monday": "02:00-06:00"})
config = call("DescribeBackupConfig", InstanceId=SHOP)
assert (config.BackupExpireDays, config.BackupTimeWindow.Monday) == (30, "02:00-06:00"), config
assert call("DescribeBackups", InstanceId=SHOP, Limit=0).TotalCount == 0
assert call("DescribeBinlogs", InstanceId=SHOP).TotalCount >= 1
assert call("DescribeLocalBinlogConfig", InstanceId=SHOP).LocalBinlogConfig.SaveHours == 72

jobs = legacy("GetCdbRollbackJob", cdbInstanceId=SHOP)["data"]
assert jobs["taskCount"] == "1", jobs
job = jobs["taskList"][0]
assert (job["name"], job["newName"], job["status"]) == ("shop.orders", "shop.orders_then", "2"), job
assert job["taskContext"]["data"]["rollbackTime"] == THEN, job
info = legacy("GetCdbRollbackJobTask", jobId=job["jobId"])["data"]["jobInfo"]
assert (info["status"], info["detail"][0]["cdbInstanceName"]) == (2, "shop"), info
assert legacy("GetCdbJobList", jobId=job["jobId"])["totalCount"] == 1
assert legacy("DescribeCdbInstances")["cdbInstanceSet"][0]["uInstanceId"] == SHOP
assert legacy("QueryCdbDatabases", **{"cdbInstanceIds.0": SHOP})["data"][0]["databaseList"] == ["shop"]
tables = legacy("QueryCdbDatabaseTables", **{"cdbInstanceId": SHOP, "databases.0": "shop"})["data"][0]
assert tables["tableList"] == ["orders", "orders_then"], tables
ranges = legacy("QueryCdbRollbackRangeTime", **{"cdbInstanceIds.0": SHOP})["data"][0]
assert any(t["begin"] <= THEN <= t["end"] for t in ranges["times"]), ranges
print("ok tencent_cdb")
