"""Tencent's Python SDK as a loop: a line [ADDR, SERVICE, ACTION,
{parameters}] in, a line of JSON out."""

import importlib
import json
import os
import sys

from tencentcloud.common import credential
from tencentcloud.common.exception.tencent_cloud_sdk_exception import TencentCloudSDKException
from tencentcloud.common.profile.client_profile import ClientProfile
from tencentcloud.common.profile.http_profile import HttpProfile

# Loaded when first called: they are large.
VERSIONS = {"lighthouse": "v20200324", "dlc": "v20210125"}


def call(addr, service, action, parameters):
    package = f"tencentcloud.{service}.{VERSIONS[service]}"
    models = importlib.import_module(f"{package}.models")
    module = importlib.import_module(f"{package}.{service}_client")
    http = HttpProfile(protocol="http", endpoint=addr, reqTimeout=30)
    profile = ClientProfile(httpProfile=http, language="en-US")
    pair = credential.Credential(os.environ["BO_ID"], os.environ["BO_KEY"])
    client = getattr(module, f"{service.title()}Client")(pair, "ap-guangzhou", profile)
    request = getattr(models, action + "Request")()
    request.from_json_string(json.dumps(parameters))
    try:
        return {"answer": json.loads(getattr(client, action)(request).to_json_string())}
    except TencentCloudSDKException as e:
        return {"code": e.get_code(), "message": e.get_message(), "request": e.get_request_id()}


for line in sys.stdin:
    print(json.dumps(call(*json.loads(line))), flush=True)
