#!/usr/bin/env python3
"""What a runbook for data engines does, with nothing changed but the endpoint:
Tencent's official Python SDK.

    dlc.py switch ENGINE VERSION      prints the RequestId
    dlc.py check ENGINE               prints the two records, or why there are none
    dlc.py rollback ENGINE FROM TO    prints the RequestId
"""

import json
import os
import sys

from tencentcloud.common import credential
from tencentcloud.common.profile.client_profile import ClientProfile
from tencentcloud.common.profile.http_profile import HttpProfile
from tencentcloud.dlc.v20210125 import dlc_client, models

with open(os.path.join(os.environ["BACKOUT_DATA"], "admin.json")) as f:
    admin = json.load(f)
http = HttpProfile(protocol="http", endpoint=admin["Url"].removeprefix("http://"))  # the only change
client = dlc_client.DlcClient(credential.Credential(admin["SecretId"], admin["SecretKey"]), "ap-guangzhou", ClientProfile(httpProfile=http))

what, engine, *more = sys.argv[1:]
if what == "switch":
    request = models.SwitchDataEngineImageRequest()
    request.DataEngineId, request.NewImageVersionId = engine, *more
    print(client.SwitchDataEngineImage(request).RequestId)
elif what == "check":
    request = models.CheckDataEngineImageCanBeRollbackRequest()
    request.DataEngineId = engine
    answer = client.CheckDataEngineImageCanBeRollback(request)
    if not answer.IsRollback:
        sys.exit("it cannot be rolled back")
    print(answer.FromRecordId, answer.ToRecordId)
elif what == "rollback":
    request = models.RollbackDataEngineImageRequest()
    request.DataEngineId, request.FromRecordId, request.ToRecordId = engine, *more
    print(client.RollbackDataEngineImage(request).RequestId)
else:
    sys.exit(__doc__)
