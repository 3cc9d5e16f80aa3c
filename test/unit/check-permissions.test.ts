import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findMissingPermissions } from '../../src/s3/check-permissions.ts';
import { MemoryObjectStorage } from '../support/memory-object-storage.ts';

test('the look at the start leaves nothing in the bucket, not even what a start that was killed had left', async () => {
  const storage = new MemoryObjectStorage();
  await storage.createMultipartUpload('probe', {});
  const strangers = await storage.createMultipartUpload('probe-of-somebody-else', {});
  assert.deepEqual(await findMissingPermissions(storage, 'probe'), []);
  assert.deepEqual(await storage.listMultipartUploads('probe'), []);
  const left = await storage.listMultipartUploads('probe-of-somebody-else');
  assert.deepEqual(
    left.map((it) => it.s3UploadId),
    [strangers.s3UploadId],
  );
  assert.equal(await storage.headObject('probe'), null);
});
