"""Alibaba's generated client: ACS3, and the older signature with `v2`."""

import os

from alibabacloud_sae20190506.client import Client
from alibabacloud_sae20190506 import models
from alibabacloud_tea_openapi import utils_models
from Tea.exceptions import TeaException
from darabonba.exceptions import DaraException

ADDR = os.environ["BO_ADDR"]


def client(key, algorithm):
    config = utils_models.Config(
        access_key_id=os.environ["BO_ID"],
        access_key_secret=key,
        endpoint=ADDR,
        protocol="http",
        region_id="cn-hangzhou",
    )
    if algorithm:
        config.signature_algorithm = algorithm
    return Client(config)


def refused(code, key, algorithm):
    request = models.RollbackApplicationRequest(app_id="a", version_id="v", update_strategy="")
    try:
        client(key, algorithm).rollback_application(request)
    except (TeaException, DaraException) as e:
        assert e.code == code, f"wanted {code}, got {e.code}: {e}"
        data = getattr(e, "data", None) or {}
        found = str(data) + str(getattr(e, "request_id", "")) + str(e)
        assert "request" in found.lower(), found
        return
    raise AssertionError(f"wanted {code}")


for algorithm in [None, "v2"]:
    refused("InvalidAction.NotFound", os.environ["BO_KEY"], algorithm)
    refused("SignatureDoesNotMatch", "wrong", algorithm)
print("ok alibaba_python")
