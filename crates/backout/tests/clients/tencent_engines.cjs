// Tencent's Node SDK switches a data engine, with nothing changed but the
// endpoint. Prints the answer.
const assert = require("node:assert");
const { dlc } = require("tencentcloud-sdk-nodejs");

const client = new dlc.v20210125.Client({
  credential: { secretId: process.env.BO_ID, secretKey: process.env.BO_KEY },
  region: "ap-guangzhou",
  profile: { httpProfile: { endpoint: process.env.BO_ADDR, protocol: "http://" } },
});

(async () => {
  await assert.rejects(client.CheckDataEngineImageCanBeRollback({ DataEngineId: "DataEngine-none0000" }), (e) => {
    assert.strictEqual(e.code, "ResourceNotFound.DataEngineNotFound");
    assert.strictEqual(e.requestId.length, 36);
    return true;
  });
  const wanted = { DataEngineId: process.env.BO_ENGINE, NewImageVersionId: process.env.BO_IMAGE };
  console.log(JSON.stringify(await client.SwitchDataEngineImage(wanted)));
})().catch((e) => {
  console.error(e);
  process.exit(1);
});
