/** The product's storage port on the embedded S3 server. */
import type { TestContext } from 'node:test';
import { createBucketIfMissing } from '../../src/s3/check-bucket.ts';
import { S3ObjectStorage } from '../../src/s3/s3-object-storage.ts';
import { DEV_S3_CREDENTIALS, DEV_S3_REGION, startTestDevS3 } from '../support/dev-s3.ts';
import { objectStorageContract } from './object-storage-suite.ts';

async function openStorage(t: TestContext, payloadSigning: 'unsigned' | 'signed'): Promise<S3ObjectStorage> {
  const server = await startTestDevS3(t);
  const storage = new S3ObjectStorage({
    bucket: 'relay-contract',
    endpoint: server.url,
    region: DEV_S3_REGION,
    credentials: DEV_S3_CREDENTIALS,
    forcePathStyle: true,
    maxSockets: 16,
    payloadSigning,
  });
  t.after(() => storage.close());
  await createBucketIfMissing(storage.client, 'relay-contract');
  return storage;
}

for (const payloadSigning of ['unsigned', 'signed'] as const) {
  objectStorageContract(`dev-s3, payload ${payloadSigning}`, (t) => openStorage(t, payloadSigning));
}
