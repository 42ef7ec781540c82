// Tencent's Node SDK, with nothing changed but the endpoint.
const assert = require("node:assert");
const { lighthouse } = require("tencentcloud-sdk-nodejs");

const client = (signMethod, reqMethod, secretKey = process.env.BO_KEY) =>
  new lighthouse.v20200324.Client({
    credential: { secretId: process.env.BO_ID, secretKey },
    region: "ap-guangzhou",
    profile: {
      signMethod,
      httpProfile: { endpoint: process.env.BO_ADDR, protocol: "http://", reqMethod },
    },
  });

(async () => {
  for (const sign of ["TC3-HMAC-SHA256", "HmacSHA1", "HmacSHA256"]) {
    for (const method of ["POST", "GET"]) {
      const answer = await client(sign, method).DescribeInstances({ Limit: 20 });
      assert.deepStrictEqual(answer.InstanceSet.map((i) => i.InstanceName), ["web"]);
      assert.strictEqual(answer.RequestId.length, 36);
      await assert.rejects(client(sign, method, "wrong").DescribeInstances({}), (e) => {
        assert.strictEqual(e.code, "AuthFailure.SignatureFailure");
        assert.strictEqual(e.requestId.length, 36);
        return true;
      });
    }
  }
  await assert.rejects(
    client("TC3-HMAC-SHA256", "POST").ApplyInstanceSnapshot({ InstanceId: "lhins-00000000", SnapshotId: "lhsnap-00000000" }),
    (e) => e.code === "ResourceNotFound.InstanceIdNotFound",
  );
  console.log("ok tencent_node");
})().catch((e) => {
  console.error(e);
  process.exit(1);
});
