"""Alibaba's older Python client."""

import os

from aliyunsdkcore.acs_exception.exceptions import ClientException, ServerException
from aliyunsdkcore.client import AcsClient
from aliyunsdksae.request.v20190506.RollbackApplicationRequest import RollbackApplicationRequest


def refused(code, key):
    client = AcsClient(os.environ["BO_ID"], key, "cn-hangzhou")
    request = RollbackApplicationRequest()
    request.set_endpoint(os.environ["BO_ADDR"])
    request.set_AppId("a")
    request.set_VersionId("v")
    request.set_BatchWaitTime(10)
    request.set_MinReadyInstances(1)
    request.set_MinReadyInstanceRatio(-1)
    request.set_UpdateStrategy(
        '{"type":"GrayBatchUpdate","batchUpdate":{"batch":2,"releaseType":"auto","batchWaitTime":1},"grayUpdate":{"gray":1}}'
    )
    request.set_AutoEnableApplicationScalingRule("true")
    try:
        client.do_action_with_exception(request)
    except (ServerException, ClientException) as e:
        assert e.get_error_code() == code, f"wanted {code}, got {e}"
        assert isinstance(e, ServerException) and len(e.get_request_id()) == 36, e
        return
    raise AssertionError(f"wanted {code}")


refused("InvalidApplication.NotFound", os.environ["BO_KEY"])
refused("SignatureDoesNotMatch", "wrong")
print("ok aliyun_core")
