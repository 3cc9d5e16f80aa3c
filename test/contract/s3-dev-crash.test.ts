/** What dev-s3 promises beyond S3: a kill of its process leaves every acknowledged object, and nothing half. */
import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import { readdir, stat, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  ListPartsCommand,
  PutObjectCommand,
  type S3Client,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { temporaryFolder } from '../support/dev-s3.ts';
import { type DevS3Process, startDevS3Process } from '../support/dev-s3-process.ts';
import { bodyOf, MIB, PART_BYTES, refused, sameBytes } from './s3-checks.ts';
import { signHeaders } from './s3-signer.ts';
import { sdkClient } from './s3-target.ts';

const Bucket = 'crash';

test('a restart after a kill finds the same keys, buckets, objects and open uploads', async (t) => {
  const it = await startKillable(t);
  const content = randomBytes(MIB);
  await it.client.send(new PutObjectCommand({ Bucket, Key: 'k', Body: content, ContentType: 'image/png' }));
  const where = { Bucket, Key: 'parts' };
  const { UploadId } = await it.client.send(new CreateMultipartUploadCommand(where));
  const part = randomBytes(PART_BYTES);
  const { ETag } = await it.client.send(new UploadPartCommand({ ...where, UploadId, PartNumber: 1, Body: part }));
  const { credentials } = it.server;
  await it.killAndRestart();
  assert.deepEqual(it.server.credentials, credentials);
  const got = await it.client.send(new GetObjectCommand({ Bucket, Key: 'k' }));
  assert.equal(got.ContentType, 'image/png');
  sameBytes(await bodyOf(got), content);
  const { Parts } = await it.client.send(new ListPartsCommand({ ...where, UploadId }));
  assert.deepEqual(
    Parts?.map((one) => one.ETag),
    [ETag],
  );
  const complete = { ...where, UploadId, MultipartUpload: { Parts: [{ PartNumber: 1, ETag }] } };
  const { ETag: completed } = await it.client.send(new CompleteMultipartUploadCommand(complete));
  await it.killAndRestart();
  sameBytes(await bodyOf(await it.client.send(new GetObjectCommand(where))), part);
  const again = await it.client.send(new CompleteMultipartUploadCommand(complete));
  assert.equal(again.ETag, completed); // also by a server that was not there the first time
});

test('a kill in the middle of a PUT leaves the old object and no stray file', async (t) => {
  const it = await startKillable(t);
  await it.client.send(new PutObjectCommand({ Bucket, Key: 'k', Body: 'old' }));
  const files = await it.files();
  const put = startPut(it.server, '/crash/k', 8 * MIB);
  put.write(randomBytes(3 * MIB));
  await it.incomingHolds(3 * MIB - 300_000); // what it has taken is on its way to the disk
  await it.killAndRestart();
  put.destroy();
  assert.equal((await bodyOf(await it.client.send(new GetObjectCommand({ Bucket, Key: 'k' })))).toString(), 'old');
  assert.deepEqual(await it.files(), files);
  assert.deepEqual(await readdir(join(it.dataDir, 'incoming')), []);
});

test('a kill between the last byte and the commit leaves no object', async (t) => {
  const it = await startKillable(t);
  await it.server.control({ rules: [{ operation: 'PutObject', action: { kind: 'hang', when: 'received' } }] });
  const put = startPut(it.server, '/crash/k', MIB);
  put.end(randomBytes(MIB));
  await it.incomingHolds(MIB - 300_000);
  // A moment later the file has its lasting name, and the index does not know it yet.
  await writeFile(join(it.dataDir, 'files', randomUUID()), 'nobody has this');
  await it.killAndRestart();
  put.destroy();
  await refused(it.client.send(new HeadObjectCommand({ Bucket, Key: 'k' })), 404);
  assert.deepEqual(await it.files(), []);
});

test('whenever it is killed: what was acknowledged is there, and every file belongs to an object', async (t) => {
  const it = await startKillable(t);
  const acknowledged = new Map<string, Buffer>();
  const attempted = new Map<string, Buffer[]>();
  for (let round = 0; round < 3; round++) {
    const { client } = it; // of this round: the restart brings another
    const write = async (writer: number) => {
      for (let n = 0; ; n++) {
        const Key = `k/${writer}/${n % 3}`; // each is replaced now and then
        // Both ways to the disk: in one go, and as a stream.
        const body = randomBytes(n % 2 === 0 ? 20_000 : 600_000);
        attempted.set(Key, [...(attempted.get(Key) ?? []), body]);
        await client.send(new PutObjectCommand({ Bucket, Key, Body: body }));
        acknowledged.set(Key, body);
        attempted.set(Key, [body]);
      }
    };
    const writers = Promise.allSettled([0, 1, 2, 3].map(write)); // until the kill
    await sleep(60 + round * 45); // the moments of the kill: whatever they hit, all below must hold
    await it.killAndRestart();
    await writers;
    const { Contents = [] } = await it.client.send(new ListObjectsV2Command({ Bucket }));
    for (const [key] of acknowledged)
      assert.ok(
        Contents.some((object) => object.Key === key),
        `${key} is gone`,
      );
    for (const { Key = '' } of Contents) {
      const stored = await bodyOf(await it.client.send(new GetObjectCommand({ Bucket, Key })));
      assert.ok(
        attempted.get(Key)?.some((body) => body.equals(stored)),
        `${Key} has bytes that nobody sent`,
      );
      attempted.set(Key, [stored]);
    }
    assert.equal((await it.files()).length, Contents.length);
    assert.deepEqual(await readdir(join(it.dataDir, 'incoming')), []);
  }
  assert.ok(acknowledged.size > 0, 'nothing was ever stored');
});

interface Killable {
  readonly dataDir: string;
  server: DevS3Process;
  client: S3Client;
  killAndRestart(): Promise<void>;
  /** Names of the files that hold bytes. */
  files(): Promise<string[]>;
  /** Waits until the unfinished files have at least so many bytes together. */
  incomingHolds(bytes: number): Promise<void>;
}

async function startKillable(t: TestContext): Promise<Killable> {
  const dataDir = await temporaryFolder(t);
  const start = async () => {
    const server = await startDevS3Process({ dataDir, bucket: Bucket });
    return { server, client: sdkClient(targetOf(server)) };
  };
  const it: Killable = {
    dataDir,
    ...(await start()),
    async killAndRestart() {
      await it.server.end('SIGKILL');
      it.client.destroy();
      Object.assign(it, await start());
    },
    files: async () => (await readdir(join(dataDir, 'files'))).sort(),
    async incomingHolds(bytes) {
      for (;;) {
        const names = await readdir(join(dataDir, 'incoming'));
        const sizes = await Promise.all(names.map(async (name) => (await stat(join(dataDir, 'incoming', name))).size));
        if (sizes.reduce((sum, size) => sum + size, 0) >= bytes) return;
        await sleep(10, undefined, { signal: t.signal });
      }
    },
  };
  t.after(async () => {
    it.client.destroy();
    await it.server.end('SIGKILL');
  });
  return it;
}

function targetOf(server: DevS3Process) {
  return { ...server, endpoint: server.url, bucket: Bucket, profile: new Set<never>() };
}

/** A PUT whose body the test sends piece by piece. */
function startPut(server: DevS3Process, path: string, bytes: number) {
  const { headers } = signHeaders(targetOf(server), { method: 'PUT', path, payloadHash: 'UNSIGNED-PAYLOAD' });
  const put = request(`${server.url}${path}`, { method: 'PUT', headers: { ...headers, 'content-length': bytes } });
  put.on('error', () => {}); // the kill
  return put;
}
