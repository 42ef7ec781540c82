"""The legacy client (TLS only): its signatures, and what it reads of refusals."""

import json
import os

from QcloudApi.qcloudapi import QcloudApi


def call(key, method="GET", sign="HmacSHA1", action="GetCdbRollbackJob", params=None):
    # A module name that the SDK does not know takes an endpoint (PROTOCOL.md
    # section 3).
    service = QcloudApi("cdbx", {
        "Region": "gz",
        "endpoint": os.environ["BO_TLS_ADDR"],
        "secretId": os.environ["BO_ID"],
        "secretKey": key,
        "method": method,
        "SignatureMethod": sign,
    })
    return json.loads(service.call(action, params or {"cdbInstanceId": "cdb-c1nl9rpv", "offset": 0, "limit": 50}))


for method in ["GET", "POST"]:
    for sign in ["HmacSHA1", "HmacSHA256"]:
        # The signature is right: what is missing is the database.
        answer = call(os.environ["BO_KEY"], method, sign)
        assert int(answer["code"]) == 4000, answer
        assert answer["codeDesc"] == "InvalidParameter", answer
        assert answer["message"].startswith("(9003)"), answer
        answer = call("wrong", method, sign)
        assert int(answer["code"]) == 4100, answer
answer = call(os.environ["BO_KEY"], action="NoSuchAction")
assert int(answer["code"]) == 6100, answer
print("ok qcloud_v2")
