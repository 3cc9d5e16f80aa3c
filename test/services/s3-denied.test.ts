/** A bucket that denies one operation: the operator learns it at the start, or from readiness and the log. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { eventually } from '../support/eventually.ts';
import { prepareServer } from '../support/server-process.ts';
import { createTestBucket, environmentOf, S3_KINDS, startS3Service } from '../support/services/s3-kinds.ts';
import { patternBytes } from '../support/test-relay.ts';
import { createUpload, patch } from '../support/tus-client.ts';
import { type Denied, startDenyingProxy } from './support/denying-proxy.ts';

const isList: Denied = (method, url) => method === 'GET' && url.searchParams.has('list-type');
const isAbort: Denied = (method, url) => method === 'DELETE' && url.searchParams.has('uploadId');
const isPut: Denied = (method) => method === 'PUT';

for (const kind of S3_KINDS) {
  async function prepare(t: TestContext, denied: Denied | null) {
    const s3 = await startS3Service(t, kind);
    if (s3 === null) return null;
    const bucket = await createTestBucket(t, s3);
    const proxy = await startDenyingProxy(t, s3.endpoint, denied);
    const env = { ...environmentOf(kind, s3, proxy.endpoint), START_WAIT_SECS: '2' };
    return { bucket, proxy, server: await prepareServer(t, { env }) };
  }

  const refusals: [what: string, denied: Denied, says: RegExp][] = [
    ['ListObjectsV2', isList, /may not list bucket "service-test" .*: allow s3:ListBucket/],
    ['PutObject', isPut, /may not do everything on bucket "service-test": s3:PutObject\. .*npm run s3:check/],
  ];
  for (const [what, denied, says] of refusals) {
    test(`${kind.profile} denies ${what}: the server does not start, and says in one sentence what to allow`, async (t) => {
      const prepared = await prepare(t, denied);
      if (prepared === null) return;
      const { server } = prepared;
      await assert.rejects(server.start(), /the server ended with 1/);
      const words = server.output.split('\n').filter((line) => line.startsWith('tus-relay: '));
      assert.equal(words.length, 1, server.output);
      assert.match(words[0] ?? '', says);
    });
  }

  test(`${kind.profile} denies aborts: the server starts, stores, and its log names the permission`, async (t) => {
    const prepared = await prepare(t, isAbort);
    if (prepared === null) return;
    const { server } = prepared;
    await server.start();
    assert.match(server.output, /"missing":\["s3:AbortMultipartUpload"\]/);
    const url = await createUpload(`${server.url}/files`, 1_000);
    assert.equal((await patch(url, 0, patternBytes(1_000))).status, 204);
  });

  test(`${kind.profile} denies nothing: the start leaves nothing in the bucket`, async (t) => {
    const prepared = await prepare(t, null);
    if (prepared === null) return;
    const { server, bucket } = prepared;
    await server.start();
    assert.deepEqual(server.loggedErrors(), []);
    const { objects } = await bucket.listObjects('.tus-relay');
    assert.deepEqual(objects, []);
  });

  test(`${kind.profile} begins to deny lists: the node is not ready, its log says why, and it comes back`, async (t) => {
    const prepared = await prepare(t, null);
    if (prepared === null) return;
    const { server, proxy } = prepared;
    await server.start();
    proxy.deny(isList);
    const report = await eventually('not ready', async () => {
      const response = await fetch(`${server.url}/readyz`);
      return response.status === 503 ? await response.json() : undefined;
    });
    assert.deepEqual(report, { ready: false, draining: false, down: ['storage'] });
    const [line = ''] = server.loggedErrors();
    assert.match(line, /the storage does not answer: this node is not ready/);
    assert.match(line, /allow s3:ListBucket/);
    proxy.deny(null);
    await eventually('ready again', async () => ((await fetch(`${server.url}/readyz`)).ok ? true : undefined));
    assert.match(server.output, /the storage answers again/);
  });
}
