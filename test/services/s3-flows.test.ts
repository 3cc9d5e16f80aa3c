/** What the product is for, on real S3 servers: uploads of every shape, a kill in their midst, thumbnails, the end of all. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import sharp from 'sharp';
import type { S3ObjectStorage } from '../../src/s3/s3-object-storage.ts';
import { eventually } from '../support/eventually.ts';
import { scrape } from '../support/read-metrics.ts';
import { runSweepCommand } from '../support/run-sweep-command.ts';
import { type ServerProcess, startServerProcess } from '../support/server-process.ts';
import {
  createTestBucket,
  environmentOf,
  S3_KINDS,
  type S3Kind,
  startS3Service,
} from '../support/services/s3-kinds.ts';
import { makeTempFolder } from '../support/services/temp-folder.ts';
import { patternBytes } from '../support/test-relay.ts';
import { createUpload, head, patch, terminate } from '../support/tus-client.ts';

const MIB = 2 ** 20;
/** A deep sweep's; it stays as long as the deployment. */
const MARKER = 'uploads/.tus-relay-catalog';

interface Relay {
  server: ServerProcess;
  bucket: S3ObjectStorage;
  env: Record<string, string>;
}

/** @returns null where the S3 server is not installed: the test is skipped then */
async function startRelayOn(t: TestContext, kind: S3Kind): Promise<Relay | null> {
  const s3 = await startS3Service(t, kind);
  if (s3 === null) return null;
  const bucket = await createTestBucket(t, s3);
  const data = await makeTempFolder('flows');
  t.after(() => data.remove());
  const env = { ...environmentOf(kind, s3), DATA_DIR: data.path };
  return { bucket, env, server: await startServerProcess(t, { env }) };
}

for (const kind of S3_KINDS) {
  test(`${kind.profile}: small, empty, in parts and in crumbs: each upload becomes its very bytes, and leaves nothing else`, async (t) => {
    const relay = await startRelayOn(t, kind);
    if (relay === null) return;
    const { server, bucket } = relay;
    const cuts: [what: string, bytes: number, patches: readonly number[]][] = [
      ['empty', 0, []],
      ['one byte', 1, [1]],
      ['exactly a part', 5 * MIB, [5 * MIB]],
      ['two parts and a byte', 10 * MIB + 1, [10 * MIB + 1]],
      ['tails that are merged', 11 * MIB, [MIB, 1, 3 * MIB, 2 * MIB - 1, 5 * MIB]],
      ['a small file in crumbs', 3_000, [1_000, 1_000, 1_000]],
    ];
    for (const [index, [what, lengthBytes, patches]] of cuts.entries()) {
      const content = patternBytes(lengthBytes, index + 1);
      const url = await createUpload(`${server.url}/files`, lengthBytes);
      let offset = 0;
      for (const bytes of patches) {
        assert.equal((await patch(url, offset, content.subarray(offset, offset + bytes))).status, 204, what);
        offset += bytes;
        assert.equal((await head(url)).headers['upload-offset'], String(offset), what);
      }
      assert.ok((await storedObject(server, bucket, url)).equals(content), what);
    }
    await eventually('an empty bucket but for the files', async () => {
      const keys = await keysIn(bucket);
      return keys.length === cuts.length ? true : undefined;
    });
    assert.deepEqual(await multipartsIn(bucket), []);
  });

  test(`${kind.profile}: killed in the midst of a body, the server goes on from what it had acknowledged`, async (t) => {
    const relay = await startRelayOn(t, kind);
    if (relay === null) return;
    const { server, bucket } = relay;
    const content = patternBytes(17 * MIB);
    const url = await createUpload(`${server.url}/files`, content.length);
    assert.equal((await patch(url, 0, content.subarray(0, 6 * MIB))).status, 204);
    const cut = patch(url, 6 * MIB, content.subarray(6 * MIB, 16 * MIB), { 'Content-Length': 11 * MIB }).catch(
      () => null,
    );
    await eventually('parts of the second request are committed', async () => {
      // A HEAD would ask the running request to stop.
      const committed = (await scrape(server.url)).find('tus_relay_committed_bytes_total') ?? 0;
      return committed >= 15 * MIB ? true : undefined;
    });
    await server.kill();
    await cut;
    await server.start();
    const offset = Number((await head(url)).headers['upload-offset']);
    assert.ok(offset >= 15 * MIB, String(offset));
    assert.equal((await patch(url, offset, content.subarray(offset))).status, 204);
    assert.ok((await storedObject(server, bucket, url)).equals(content));
    assert.deepEqual(await multipartsIn(bucket), []);
  });

  test(`${kind.profile}: a photo gets thumbnails; what is deleted and given up leaves an empty bucket behind`, async (t) => {
    const relay = await startRelayOn(t, kind);
    if (relay === null) return;
    const { server, bucket, env } = relay;
    const photo = await sharp({ create: { width: 900, height: 600, channels: 3, background: 'teal' } })
      .png()
      .toBuffer();
    const photoUrl = await createUpload(`${server.url}/files`, photo.length);
    assert.equal((await patch(photoUrl, 0, photo)).status, 204);
    const file = await eventually('thumbnails', async () => {
      const found = await fileOf(server, photoUrl);
      return found.thumbs === null ? undefined : found;
    });
    const thumb = await fetch(`${server.url}/api/files/${file.id}/thumb/128`);
    const { format, width, height } = await sharp(await thumb.arrayBuffer()).metadata();
    assert.deepEqual({ format, width, height }, { format: 'webp', width: 128, height: 85 });

    const givenUp = await createUpload(`${server.url}/files`, 12 * MIB);
    assert.equal((await patch(givenUp, 0, patternBytes(7 * MIB))).status, 204);
    assert.equal((await terminate(givenUp)).status, 204);
    assert.equal((await fetch(`${server.url}/api/files/${file.id}`, { method: 'DELETE' })).status, 204);
    assert.equal((await fetch(`${server.url}/api/files/${file.id}/content`)).status, 404);

    const swept = await runSweepCommand({ ...env, DEV_S3_PORT: '0' });
    assert.equal(swept.code, 0, swept.stdout + swept.stderr);
    await eventually('an empty bucket', async () => ((await keysIn(bucket)).length === 0 ? true : undefined));
    assert.deepEqual(await multipartsIn(bucket), []);
    assert.deepEqual(server.loggedErrors(), []);
  });
}

interface FileJson {
  id: string;
  key: string;
  thumbs: Record<string, string> | null;
}

async function fileOf(server: ServerProcess, uploadUrl: string): Promise<FileJson> {
  const response = await fetch(`${server.url}/api/files/${uploadUrl.split('/').at(-1)}`);
  assert.equal(response.status, 200);
  return (await response.json()) as FileJson;
}

/** As it lies in the bucket. */
async function storedObject(server: ServerProcess, bucket: S3ObjectStorage, uploadUrl: string): Promise<Buffer> {
  const { key } = await fileOf(server, uploadUrl);
  const opened = await bucket.getObject(key);
  if (opened === null) throw new Error(`there is no object ${key}`);
  return Buffer.concat(await opened.body.toArray());
}

async function keysIn(bucket: S3ObjectStorage): Promise<string[]> {
  const { objects } = await bucket.listObjects('');
  return objects.map(({ key }) => key).filter((key) => key !== MARKER);
}

/** But for the canary, which stays. MinIO lists by the exact key only, and all of them by none, until it starts again. */
async function multipartsIn(bucket: S3ObjectStorage): Promise<string[]> {
  const { uploads } = await bucket.listMultipartUploadsUnder('');
  return uploads.map(({ key }) => key).filter((key) => !key.startsWith('uploads/.tus-relay-canary-'));
}
