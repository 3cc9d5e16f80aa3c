/** What every implementation of the port `ObjectStorage` does: one suite, run on each of them. */
import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import test, { type TestContext } from 'node:test';
import type { ObjectStorage, Payload } from '../../src/s3/object-storage.ts';
import { payloadFrom } from '../../src/s3/payload.ts';
import { S3Error } from '../../src/s3/s3-errors.ts';

/** S3's minimum for every part but the last. */
const PART_BYTES = 5 * 1024 * 1024;

/** Everything that an object key has to survive; `%2F` and `+` are themselves, not an encoding. */
const AWKWARD_NAME = "a b/ü-漢-😀/%2F+&=?#;:@,$!*'()[]{}|~^`.txt";

/**
 * @param name in front of each test's name
 * @param open a storage on an existing bucket; whatever it opens it closes after the test
 */
export function objectStorageContract(name: string, open: (t: TestContext) => Promise<ObjectStorage>): void {
  const check = (what: string, run: (storage: ObjectStorage, prefix: string) => Promise<void>) =>
    test(`${name}: ${what}`, async (t) => run(await open(t), `contract/${randomUUID()}/`));

  check('an object comes back with its bytes, its headers and its ETag', async (storage, prefix) => {
    const key = prefix + AWKWARD_NAME;
    const chunks = [randomBytes(100_000), randomBytes(1), randomBytes(70_000)];
    const { etag } = await storage.putObject(key, payloadFrom(chunks), {
      contentType: 'text/plain; charset=utf-8',
      contentDisposition: `attachment; filename="a  b.txt"; filename*=UTF-8''%C3%BC.txt`,
      cacheControl: 'private, max-age=60',
      metadata: { upload: 'u-1', 's3-created': '2026-01-02T03:04:05Z' },
    });
    const head = await storage.headObject(key);
    assert.equal(head?.bytes, 170_001);
    assert.equal(head?.etag, etag);
    assert.match(etag, /^".+"$/);
    assert.equal(head?.contentType, 'text/plain; charset=utf-8');
    assert.match(head?.contentDisposition ?? '', /^attachment; .*filename\*=UTF-8''%C3%BC\.txt$/);
    assert.deepEqual({ ...head?.metadata }, { upload: 'u-1', 's3-created': '2026-01-02T03:04:05Z' });
    const opened = await storage.getObject(key);
    assert.equal(opened?.contentRange, null);
    assert.equal(opened?.etag, etag);
    assert.deepEqual(await bytesOf(opened?.body), Buffer.concat(chunks));
  });

  check('an empty object is an object', async (storage, prefix) => {
    await storage.putObject(`${prefix}empty`, payloadFrom([]), {});
    assert.equal((await storage.headObject(`${prefix}empty`))?.bytes, 0);
    assert.equal((await bytesOf((await storage.getObject(`${prefix}empty`))?.body)).length, 0);
  });

  check('a payload may arrive in pieces from an async source', async (storage, prefix) => {
    const content = randomBytes(3 * 1024 * 1024 + 17);
    const body: Payload = {
      bytes: content.length,
      async *read() {
        for (let at = 0; at < content.length; at += 65_536) {
          await new Promise((resolve) => setImmediate(resolve));
          yield content.subarray(at, at + 65_536);
        }
      },
    };
    await storage.putObject(`${prefix}k`, body, {});
    assert.deepEqual(await bytesOf((await storage.getObject(`${prefix}k`))?.body), content);
  });

  check('a second object under the key replaces the first', async (storage, prefix) => {
    const first = await storage.putObject(`${prefix}k`, payloadFrom([Buffer.from('one')]), {});
    const second = await storage.putObject(`${prefix}k`, payloadFrom([Buffer.from('two!')]), {});
    assert.notEqual(first.etag, second.etag);
    assert.equal((await bytesOf((await storage.getObject(`${prefix}k`))?.body)).toString(), 'two!');
  });

  check('a range is read from its first to its last byte, both included', async (storage, prefix) => {
    await storage.putObject(`${prefix}k`, payloadFrom([Buffer.from('0123456789')]), {});
    const middle = await storage.getObject(`${prefix}k`, { first: 2, last: 4 });
    assert.equal(middle?.contentRange, 'bytes 2-4/10');
    assert.equal((await bytesOf(middle?.body)).toString(), '234');
    const rest = await storage.getObject(`${prefix}k`, { first: 7 });
    assert.equal(rest?.contentRange, 'bytes 7-9/10');
    assert.equal((await bytesOf(rest?.body)).toString(), '789');
  });

  check('what is not there is null', async (storage, prefix) => {
    assert.equal(await storage.headObject(`${prefix}none`), null);
    assert.equal(await storage.getObject(`${prefix}none`), null);
    assert.equal(await storage.getObject(`${prefix}none`, { first: 0, last: 1 }), null);
  });

  check('deleting counts what was not there as deleted', async (storage, prefix) => {
    const keys = [`${prefix}a`, `${prefix}${AWKWARD_NAME}`, `${prefix}c`];
    for (const key of keys) await storage.putObject(key, payloadFrom([Buffer.from('x')]), {});
    assert.deepEqual(await storage.deleteObjects([...keys.slice(0, 2), `${prefix}none`]), { failedKeys: [] });
    assert.equal(await storage.headObject(keys[0] ?? ''), null);
    assert.equal(await storage.headObject(keys[1] ?? ''), null);
    assert.deepEqual(await storage.deleteObjects([keys[2] ?? '']), { failedKeys: [] });
    assert.equal(await storage.headObject(keys[2] ?? ''), null);
    assert.deepEqual(await storage.deleteObjects([`${prefix}none`]), { failedKeys: [] });
    assert.deepEqual(await storage.deleteObjects([]), { failedKeys: [] });
  });

  check('objects are listed by prefix, in key order, after a key', async (storage, prefix) => {
    for (const name of ['b', 'a/2', 'a/10', 'c']) {
      await storage.putObject(prefix + name, payloadFrom([Buffer.from(name)]), {});
    }
    const all = await storage.listObjects(prefix);
    assert.deepEqual(
      all.objects.map((object) => [object.key.slice(prefix.length), object.bytes]),
      [
        ['a/10', 4],
        ['a/2', 3],
        ['b', 1],
        ['c', 1],
      ],
    );
    assert.equal(all.more, false);
    const rest = await storage.listObjects(prefix, `${prefix}a/2`);
    assert.deepEqual(
      rest.objects.map((object) => object.key.slice(prefix.length)),
      ['b', 'c'],
    );
    assert.deepEqual((await storage.listObjects(`${prefix}none`)).objects, []);
  });

  check('a list has at most 1,000 objects and says when there are more', async (storage, prefix) => {
    const keys = Array.from({ length: 1_003 }, (_, n) => `${prefix}${String(n).padStart(4, '0')}`);
    for (let at = 0; at < keys.length; at += 50) {
      await Promise.all(
        keys.slice(at, at + 50).map((key) => storage.putObject(key, payloadFrom([Buffer.from('x')]), {})),
      );
    }
    const first = await storage.listObjects(prefix);
    assert.equal(first.more, true);
    assert.ok(first.objects.length <= 1_000);
    const second = await storage.listObjects(prefix, first.objects.at(-1)?.key);
    assert.equal(second.more, false);
    assert.deepEqual(
      [...first.objects, ...second.objects].map((object) => object.key),
      keys,
    );
    assert.deepEqual(await storage.deleteObjects(keys), { failedKeys: [] }); // more than one batch
    assert.deepEqual((await storage.listObjects(prefix)).objects, []);
  });

  check('parts become an object in the order of their numbers', async (storage, prefix) => {
    const key = prefix + AWKWARD_NAME;
    const { s3UploadId } = await storage.createMultipartUpload(key, {
      contentType: 'video/mp4',
      metadata: { upload: 'u-1' },
    });
    const [one, two, three] = [randomBytes(PART_BYTES), randomBytes(PART_BYTES), randomBytes(10)];
    const etags = new Map<number, string>();
    for (const [partNumber, content] of [
      [3, three],
      [1, one],
      [2, two],
    ] as const) {
      etags.set(partNumber, (await storage.uploadPart(key, s3UploadId, partNumber, payloadFrom([content]))).etag);
    }
    const parts = await storage.listParts(key, s3UploadId);
    assert.deepEqual(
      parts,
      [1, 2, 3].map((partNumber) => ({
        partNumber,
        etag: etags.get(partNumber),
        bytes: partNumber === 3 ? 10 : PART_BYTES,
      })),
    );
    assert.equal(await storage.headObject(key), null);
    const { etag } = await storage.completeMultipartUpload(key, s3UploadId, parts ?? []);
    const head = await storage.headObject(key);
    assert.equal(head?.etag, etag);
    assert.equal(head?.bytes, 2 * PART_BYTES + 10);
    assert.equal(head?.contentType, 'video/mp4');
    assert.deepEqual({ ...head?.metadata }, { upload: 'u-1' });
    assert.ok(Buffer.concat([one, two, three]).equals(await bytesOf((await storage.getObject(key))?.body)));
  });

  check('a second Complete gives the same ETag or says NoSuchUpload', async (storage, prefix) => {
    const key = `${prefix}k`;
    const { s3UploadId } = await storage.createMultipartUpload(key, {});
    const { etag } = await storage.uploadPart(key, s3UploadId, 1, payloadFrom([Buffer.from('only part')]));
    const parts = [{ partNumber: 1, etag }];
    const first = await storage.completeMultipartUpload(key, s3UploadId, parts);
    const second = await storage.completeMultipartUpload(key, s3UploadId, parts).catch((error: unknown) => error);
    if (second instanceof S3Error) {
      assert.equal(second.s3Code, 'NoSuchUpload');
      assert.equal(second.outcome, 'refused');
    } else {
      assert.deepEqual(second, first);
    }
  });

  check('Complete with the ETag of a part that was overwritten is refused as InvalidPart', async (storage, prefix) => {
    const key = `${prefix}k`;
    const { s3UploadId } = await storage.createMultipartUpload(key, {});
    const stale = await storage.uploadPart(key, s3UploadId, 1, payloadFrom([Buffer.from('one')]));
    const fresh = await storage.uploadPart(key, s3UploadId, 1, payloadFrom([Buffer.from('other')]));
    assert.deepEqual(await storage.listParts(key, s3UploadId), [{ partNumber: 1, etag: fresh.etag, bytes: 5 }]);
    await assert.rejects(
      storage.completeMultipartUpload(key, s3UploadId, [{ partNumber: 1, etag: stale.etag }]),
      (error: S3Error) => {
        assert.equal(error.s3Code, 'InvalidPart');
        assert.equal(error.outcome, 'refused');
        assert.equal(error.retryable, false);
        return true;
      },
    );
    await storage.completeMultipartUpload(key, s3UploadId, [{ partNumber: 1, etag: fresh.etag }]);
    assert.equal((await bytesOf((await storage.getObject(key))?.body)).toString(), 'other');
  });

  check('an object is copied into a part', async (storage, prefix) => {
    const source = prefix + AWKWARD_NAME;
    await storage.putObject(source, payloadFrom([Buffer.from('copied')]), {});
    const { s3UploadId } = await storage.createMultipartUpload(`${prefix}k`, {});
    const { etag } = await storage.uploadPartCopy(`${prefix}k`, s3UploadId, 1, source);
    assert.deepEqual(await storage.listParts(`${prefix}k`, s3UploadId), [{ partNumber: 1, etag, bytes: 6 }]);
    await storage.completeMultipartUpload(`${prefix}k`, s3UploadId, [{ partNumber: 1, etag }]);
    assert.equal((await bytesOf((await storage.getObject(`${prefix}k`))?.body)).toString(), 'copied');
  });

  check('a multipart upload is found by its exact key until it is aborted', async (storage, prefix) => {
    const key = `${prefix}k`;
    const one = await storage.createMultipartUpload(key, {});
    const two = await storage.createMultipartUpload(key, {});
    const longer = await storage.createMultipartUpload(`${key}.longer`, {});
    assert.deepEqual(idsOf(await storage.listMultipartUploads(key)), idsOf([one, two]));
    assert.equal(await storage.abortMultipartUpload(key, one.s3UploadId), 'aborted');
    assert.deepEqual(idsOf(await storage.listMultipartUploads(key)), idsOf([two]));
    assert.equal(await storage.abortMultipartUpload(key, two.s3UploadId), 'aborted');
    assert.equal(await storage.abortMultipartUpload(`${key}.longer`, longer.s3UploadId), 'aborted');
    assert.deepEqual(await storage.listMultipartUploads(key), []);
  });

  check('a multipart upload that is gone is missing for every call', async (storage, prefix) => {
    const key = `${prefix}k`;
    const { s3UploadId } = await storage.createMultipartUpload(key, {});
    const { etag } = await storage.uploadPart(key, s3UploadId, 1, payloadFrom([Buffer.from('x')]));
    await storage.abortMultipartUpload(key, s3UploadId);
    assert.equal(await storage.listParts(key, s3UploadId), null);
    // MinIO says 'aborted' to any id: only that it does not fail can be relied on.
    assert.match(await storage.abortMultipartUpload(key, s3UploadId), /^(missing|aborted)$/);
    for (const call of [
      () => storage.uploadPart(key, s3UploadId, 1, payloadFrom([Buffer.from('x')])),
      () => storage.completeMultipartUpload(key, s3UploadId, [{ partNumber: 1, etag }]),
    ]) {
      await assert.rejects(call, (error: S3Error) => {
        assert.equal(error.s3Code, 'NoSuchUpload');
        assert.equal(error.outcome, 'refused');
        return true;
      });
    }
  });
}

async function bytesOf(body: AsyncIterable<Buffer> | undefined): Promise<Buffer> {
  assert.ok(body, 'no such object');
  const chunks: Buffer[] = [];
  for await (const chunk of body) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** Sorted: S3 orders uploads of one key by time, which has no finer steps than a second. */
function idsOf(uploads: readonly { s3UploadId: string }[]): string[] {
  return uploads.map((upload) => upload.s3UploadId).sort();
}
