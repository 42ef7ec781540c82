"""Alibaba's generated client: ACS3, and the older signature with `v2`."""

import os
import socket
import sys
import time
import urllib.request
import zipfile

from alibabacloud_sae20190506.client import Client
from alibabacloud_sae20190506 import models
from alibabacloud_tea_openapi import utils_models
from Tea.exceptions import TeaException
from darabonba.exceptions import DaraException

ADDR = os.environ["BO_ADDR"]
SERVE = """
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"%s")
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""
READINESS = '{"httpGet":{"path":"/","port":8080},"periodSeconds":1}'
GRAY = (
    '{"type":"GrayBatchUpdate","batchUpdate":{"batch":2,"releaseType":"manual"},'
    '"grayUpdate":{"gray":1}}'
)
MANUAL = '{"type":"BatchUpdate","batchUpdate":{"batch":2,"releaseType":"manual"}}'
# Two minutes, for a host with other work.
LOOKS = 1200


def client(key=os.environ["BO_KEY"], algorithm=None):
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


def refused(code, call):
    try:
        call()
    except (TeaException, DaraException) as e:
        assert e.code == code, f"wanted {code}, got {e.code}: {e}"
        data = getattr(e, "data", None) or {}
        found = str(data) + str(getattr(e, "request_id", "")) + str(e)
        assert "request" in found.lower(), found
        return e
    raise AssertionError(f"wanted {code}")


def signatures():
    request = models.RollbackApplicationRequest(app_id="a", version_id="v", update_strategy="")
    for algorithm in [None, "v2"]:
        for key, code in [
            (os.environ["BO_KEY"], "InvalidApplication.NotFound"),
            ("wrong", "SignatureDoesNotMatch"),
        ]:
            refused(code, lambda: client(key, algorithm).rollback_application(request))


def throttle():
    sae = client()
    for _ in range(200):
        try:
            sae.describe_regions()
        except (TeaException, DaraException) as e:
            assert e.code == "Throttling.User", e
            return
    raise AssertionError("never throttled")


def package(word):
    path = os.path.join(os.environ["HOME"], f"{word}.zip")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("main.py", SERVE % word)
    return path


def order(sae, order_id):
    answer = sae.describe_change_order(models.DescribeChangeOrderRequest(change_order_id=order_id))
    assert answer.body.success is True and answer.body.code == "200", answer.body
    return answer.body.data


def until(sae, order_id, *numbers):
    for _ in range(LOOKS):
        seen = order(sae, order_id)
        if seen.status in numbers:
            return seen
        time.sleep(0.1)
    raise AssertionError(f"{order_id} is {seen.status}, not one of {numbers}")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def says(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=30) as answer:
        return answer.read().decode()


def story():
    sae = client()
    port = free_port()
    made = sae.create_application(
        models.CreateApplicationRequest(
            app_name="shop",
            package_type="PythonZip",
            package_url=package("one"),
            replicas=3,
            command="python main.py",
            readiness=READINESS,
            envs='[{"name":"COLOR","value":"a b&c=d"}]',
            associate_eip=False,
            pvtz_discovery_svc='{"portProtocols":[{"port":%d,"protocol":"TCP"}]}' % port,
        )
    ).body.data
    app = made.app_id
    assert until(sae, made.change_order_id, 2, 3, 10).status == 2
    assert says(port) == "one"
    versions = sae.list_app_versions(models.ListAppVersionsRequest(app_id=app)).body.data
    first = versions[0].id
    assert int(versions[0].create_time) > 1_600_000_000_000

    deployed = sae.deploy_application(
        models.DeployApplicationRequest(
            app_id=app,
            package_type="PythonZip",
            package_url=package("two"),
            change_order_desc="two",
        )
    ).body.data
    assert until(sae, deployed.change_order_id, 2, 3, 10).status == 2
    assert says(port) == "two"
    config = sae.describe_application_config(
        models.DescribeApplicationConfigRequest(app_id=app)
    ).body.data
    assert config.envs == '[{"name":"COLOR","value":"a b&c=d"}]', config.envs

    back = sae.rollback_application(
        models.RollbackApplicationRequest(
            app_id=app,
            version_id=first,
            batch_wait_time=10,
            min_ready_instances=1,
            min_ready_instance_ratio=50,
            update_strategy=GRAY,
            auto_enable_application_scaling_rule="true",
        )
    ).body.data
    assert back.is_need_approval is False
    for _ in range(2):
        seen = until(sae, back.change_order_id, 8)
        assert seen.co_type_code == "CoRollback" and seen.batch_count == 3
        waiting = [p for p in seen.pipelines if p.status == 8]
        sae.confirm_pipeline_batch(
            models.ConfirmPipelineBatchRequest(pipeline_id=waiting[0].pipeline_id, confirm=True)
        )
        for _ in range(LOOKS):
            now = order(sae, back.change_order_id)
            if not any(p.pipeline_id == waiting[0].pipeline_id and p.status == 8 for p in now.pipelines):
                break
            time.sleep(0.1)
    assert until(sae, back.change_order_id, 2, 3, 10).status == 2
    assert says(port) == "one"

    again = sae.deploy_application(
        models.DeployApplicationRequest(
            app_id=app,
            package_type="PythonZip",
            package_url=package("two"),
            min_ready_instances=1,
            update_strategy=MANUAL,
        )
    ).body.data
    until(sae, again.change_order_id, 8)
    refused(
        "Application.ChangerOrderRunning",
        lambda: sae.stop_application(models.StopApplicationRequest(app_id=app)),
    )
    ended = sae.abort_and_rollback_change_order(
        models.AbortAndRollbackChangeOrderRequest(change_order_id=again.change_order_id)
    ).body.data
    assert ended.change_order_id != again.change_order_id
    assert until(sae, again.change_order_id, 6).status == 6
    assert until(sae, ended.change_order_id, 2, 3, 10).status == 2

    listed = sae.list_change_orders(
        models.ListChangeOrdersRequest(app_id=app, co_type="CoRollback", page_size=10)
    ).body.data
    assert listed.total_size == 2, listed
    gone = sae.delete_application(models.DeleteApplicationRequest(app_id=app)).body.data
    until(sae, gone.change_order_id, 2)


{"signatures": signatures, "throttle": throttle, "story": story}[sys.argv[1]]()
print("ok alibaba_python")
