// Alibaba's older Node client.
const assert = require("node:assert");
const { ROAClient } = require("@alicloud/pop-core");

const rollback = (accessKeySecret) =>
  new ROAClient({
    accessKeyId: process.env.BO_ID,
    accessKeySecret,
    endpoint: `http://${process.env.BO_ADDR}`,
    apiVersion: "2019-05-06",
  }).put("/pop/v1/sam/app/rollbackApplication", { AppId: "a", VersionId: "v", UpdateStrategy: "" }, "", {});

(async () => {
  for (const [key, code] of [[process.env.BO_KEY, "InvalidApplication.NotFound"], ["wrong", "SignatureDoesNotMatch"]]) {
    await assert.rejects(rollback(key), (e) => {
      assert.ok(String(e.code ?? e.name).includes(code), `wanted ${code}, got ${e.code} ${e.name} ${e.message}`);
      return true;
    });
  }
  console.log("ok alibaba_node");
})().catch((e) => {
  console.error(e);
  process.exit(1);
});
