/** The storage port on a real S3 service: `TEST_S3_ENDPOINT`, with the usual `AWS_…` variables; its bucket is created. */
import test, { type TestContext } from 'node:test';
import { createBucketIfMissing } from '../../src/s3/check-bucket.ts';
import type { S3Settings } from '../../src/s3/s3-client.ts';
import { S3ObjectStorage } from '../../src/s3/s3-object-storage.ts';
import { objectStorageContract } from './object-storage-suite.ts';

const endpoint = process.env.TEST_S3_ENDPOINT;
const SETTINGS: Omit<S3Settings, 'payloadSigning'> = {
  bucket: 'relay-contract',
  region: process.env.AWS_REGION ?? 'us-east-1',
  forcePathStyle: true,
  maxSockets: 16,
  ...(endpoint === undefined ? {} : { endpoint }),
};

async function openStorage(t: TestContext, settings: S3Settings): Promise<S3ObjectStorage> {
  const storage = new S3ObjectStorage(settings);
  t.after(() => storage.close());
  await createBucketIfMissing(storage.client, settings.bucket);
  return storage;
}

if (endpoint === undefined) {
  test('the storage port on a real S3 service', { skip: 'TEST_S3_ENDPOINT names none' });
} else {
  for (const payloadSigning of ['unsigned', 'signed'] as const) {
    objectStorageContract(`S3, payload ${payloadSigning}`, (t) => openStorage(t, { ...SETTINGS, payloadSigning }));
  }
}
