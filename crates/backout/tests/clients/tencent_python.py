"""Tencent's Python SDK, with nothing changed but the endpoint."""

import json
import os
import sys
import time

from tencentcloud.common import credential
from tencentcloud.common.common_client import CommonClient
from tencentcloud.common.exception.tencent_cloud_sdk_exception import TencentCloudSDKException
from tencentcloud.common.profile.client_profile import ClientProfile
from tencentcloud.common.profile.http_profile import HttpProfile
from tencentcloud.dlc.v20210125 import dlc_client, models as dlc
from tencentcloud.lighthouse.v20200324 import lighthouse_client, models

ADDR = os.environ["BO_ADDR"]
ID = os.environ["BO_ID"]
KEY = os.environ["BO_KEY"]


def client(sign="TC3-HMAC-SHA256", method="POST", region="ap-guangzhou", key=KEY, kind=lighthouse_client.LighthouseClient):
    http = HttpProfile(protocol="http", endpoint=ADDR, reqMethod=method, reqTimeout=30)
    profile = ClientProfile(signMethod=sign, httpProfile=http, language="en-US")
    return kind(credential.Credential(ID, key), region, profile)


def refused(code, call):
    try:
        answer = call()
    except TencentCloudSDKException as e:
        assert e.get_code() == code, f"wanted {code}, got {e}"
        assert len(e.get_request_id() or "") == 36, f"no request id in {e}"
        assert e.get_message(), e
        return e
    raise AssertionError(f"wanted {code}, got {answer}")


def describe_snapshots(c, **members):
    request = models.DescribeSnapshotsRequest()
    for name, value in members.items():
        setattr(request, name, value)
    return c.DescribeSnapshots(request)


def signatures():
    for sign in ["TC3-HMAC-SHA256", "HmacSHA1", "HmacSHA256"]:
        for method in ["POST", "GET"]:
            for region in ["ap-guangzhou", "", None]:
                c = client(sign, method, region)
                answer = c.DescribeInstances(models.DescribeInstancesRequest())
                names = [i.InstanceName for i in answer.InstanceSet]
                assert names == ["web"], (sign, method, region, names)
                assert len(answer.RequestId) == 36
            wrong = client(sign, method, key="wrong")
            refused("AuthFailure.SignatureFailure", lambda: wrong.DescribeInstances(models.DescribeInstancesRequest()))
            request = models.DescribeSnapshotsRequest()
            item = models.Filter()
            item.Name, item.Values = "snapshot-name", ["none of this name"]
            request.Filters = [item]
            assert client(sign, method).DescribeSnapshots(request).TotalCount == 0
    unsigned = HttpProfile(protocol="http", endpoint=ADDR)
    profile = ClientProfile(httpProfile=unsigned)
    profile.unsignedPayload = True
    c = lighthouse_client.LighthouseClient(credential.Credential(ID, KEY), "ap-guangzhou", profile)
    assert len(describe_snapshots(c).RequestId) == 36


def errors():
    c = client()
    request = models.ApplyInstanceSnapshotRequest()
    request.InstanceId, request.SnapshotId = "lhins-00000000", "lhsnap-00000000"
    refused("ResourceNotFound.InstanceIdNotFound", lambda: c.ApplyInstanceSnapshot(request))
    request.InstanceId = "nonsense"
    refused("InvalidParameterValue.InstanceIdMalformed", lambda: c.ApplyInstanceSnapshot(request))
    request.InstanceId = None
    refused("MissingParameter", lambda: c.ApplyInstanceSnapshot(request))
    unknown = client(kind=lambda *a: CommonClient("lighthouse", "2020-03-24", *a))
    refused("InvalidAction", lambda: unknown.call_json("NoSuchAction", {}))
    refused("UnknownParameter", lambda: unknown.call_json("DescribeSnapshots", {"Nonsense": 1}))
    refused("InvalidParameter", lambda: unknown.call_json("DescribeSnapshots", {"Limit": "many"}))
    old = client(kind=lambda *a: CommonClient("lighthouse", "1999-01-01", *a))
    refused("NoSuchVersion", lambda: old.call_json("DescribeSnapshots", {}))
    request = dlc.CheckDataEngineImageCanBeRollbackRequest()
    request.DataEngineId = "DataEngine-1"
    for region, code in [("ap-guangzhou", "ResourceNotFound.DataEngineNotFound"), ("mars-north-1", "UnsupportedRegion"), (None, "MissingParameter")]:
        d = client(kind=dlc_client.DlcClient, region=region)
        refused(code, lambda: d.CheckDataEngineImageCanBeRollback(request))
    somewhere = client(region="mars-north-1")
    refused("UnsupportedRegion", lambda: describe_snapshots(somewhere))


def throttle():
    c = client()
    for n in range(1, 2001):
        try:
            describe_snapshots(c)
        except TencentCloudSDKException as e:
            assert e.get_code() == "RequestLimitExceeded", e
            assert n > 20, f"call {n} of a second was refused"
            break
    else:
        raise AssertionError("2000 calls, and none was refused")
    # Another action has a budget of its own.
    c.DescribeInstances(models.DescribeInstancesRequest())
    time.sleep(1.1)
    describe_snapshots(c)


def settled(c, snapshot_id):
    """Polls, as a runbook does, until the snapshot's operation has ended."""
    for _ in range(300):
        found = describe_snapshots(c, SnapshotIds=[snapshot_id]).SnapshotSet
        assert len(found) == 1, found
        if found[0].LatestOperationState != "OPERATING":
            return found[0]
        time.sleep(0.1)
    raise AssertionError(f"{snapshot_id} is still operating")


def story():
    import subprocess

    disk = os.environ["BO_DISK"]
    c = client()

    def backout(*args):
        out = subprocess.run([os.environ["BO_BIN"], *args, "--json", "--data", os.environ["BO_DATA"]], capture_output=True, text=True)
        assert out.returncode == 0, (args, out)
        return json.loads(out.stdout)

    def contents():
        with open(disk, "rb") as f:
            return f.read()

    instance = c.DescribeInstances(models.DescribeInstancesRequest()).InstanceSet[0]
    assert instance.InstanceState == "STOPPED", instance
    before = contents()

    def create(name):
        request = models.CreateInstanceSnapshotRequest()
        request.InstanceId, request.SnapshotName = instance.InstanceId, name
        answer = c.CreateInstanceSnapshot(request)
        s = settled(c, answer.SnapshotId)
        assert s.SnapshotName == name and s.SnapshotState == "NORMAL" and s.Percent == 100, s
        assert (s.LatestOperation, s.LatestOperationState) == ("CreateInstanceSnapshot", "SUCCESS"), s
        assert s.LatestOperationRequestId == answer.RequestId, s
        return s

    first = create("before")
    with open(disk, "r+b") as f:
        f.write(b"garbage " * 4096)
        f.seek(3 << 20)
        f.write(os.urandom(1 << 20))
    damaged = contents()
    assert damaged != before and len(damaged) == len(before)
    second = create("damaged")

    request = models.ApplyInstanceSnapshotRequest()
    request.InstanceId, request.SnapshotId = instance.InstanceId, first.SnapshotId
    # The seed's own call names no region.
    applied = client(region=None).ApplyInstanceSnapshot(request)
    s = settled(c, first.SnapshotId)
    assert (s.LatestOperation, s.LatestOperationState) == ("RollbackInstanceSnapshot", "SUCCESS"), s
    assert s.LatestOperationRequestId == applied.RequestId, (s, applied)
    assert contents() == before, "not every byte came back"
    shown = c.DescribeInstances(models.DescribeInstancesRequest()).InstanceSet[0]
    assert (shown.LatestOperation, shown.LatestOperationState) == ("ApplyInstanceSnapshot", "SUCCESS"), shown
    assert shown.LatestOperationRequestId == applied.RequestId, shown

    # A newer snapshot survives, and the rollback can itself be taken back.
    assert describe_snapshots(c, SnapshotIds=[second.SnapshotId]).TotalCount == 1
    job = backout("requests", "show", applied.RequestId)["job"]["id"]
    backout("undo", job, "--yes")
    assert contents() == damaged, "the undo did not bring the damage back"
    backout("rollback", "web", "--to", "before", "--yes")
    assert contents() == before

    request = models.DescribeSnapshotsDeniedActionsRequest()
    request.SnapshotIds = [first.SnapshotId, second.SnapshotId]
    denied = c.DescribeSnapshotsDeniedActions(request).SnapshotDeniedActionSet
    assert sorted(d.SnapshotId for d in denied) == sorted(request.SnapshotIds), denied
    assert all(not d.DeniedActions for d in denied), denied

    request = models.DeleteSnapshotsRequest()
    request.SnapshotIds = [second.SnapshotId]
    c.DeleteSnapshots(request)
    for _ in range(300):
        if describe_snapshots(c, SnapshotIds=[first.SnapshotId]).TotalCount == 1:
            try:
                left = describe_snapshots(c, SnapshotIds=[second.SnapshotId]).TotalCount
            except TencentCloudSDKException as e:
                assert e.get_code() == "ResourceNotFound.SnapshotIdNotFound", e
                left = 0
            if left == 0:
                break
        time.sleep(0.1)
    else:
        raise AssertionError("the snapshot is still there")
    assert contents() == before
    # The CLI waits behind the same claims, and ids of the SDK are its ids.
    assert backout("servers", "show", "web")["id"] == instance.InstanceId


for name in sys.argv[1:]:
    globals()[name]()
    print(f"ok {name}")
