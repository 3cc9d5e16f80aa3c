/** The real S3 servers that tests run against: each skips with a message where it is not installed. */
import type { TestContext } from 'node:test';
import { CreateBucketCommand } from '@aws-sdk/client-s3';
import { S3ObjectStorage } from '../../../src/s3/s3-object-storage.ts';
import type { S3Server } from './s3-server.ts';
import { startMinio } from './start-minio.ts';
import { startVersitygw } from './start-versitygw.ts';

export interface S3Kind {
  /** Of `S3_PROFILE`, and of the contract's profiles. */
  readonly profile: 'minio' | 'versitygw';
  start(): Promise<S3Server | null>;
}

export const S3_KINDS: readonly S3Kind[] = [
  { profile: 'minio', start: startMinio },
  { profile: 'versitygw', start: startVersitygw },
];

export const TEST_BUCKET = 'service-test';

/** @returns null when it is not installed: the test is skipped then. Ends with the test */
export async function startS3Service(t: TestContext, kind: S3Kind): Promise<S3Server | null> {
  const server = await kind.start();
  if (server === null) t.skip(`${kind.profile} is not installed`);
  else t.after(() => server.stop());
  return server;
}

/** What a relay, or a command beside it, is told of the server. */
export function environmentOf(kind: S3Kind, server: S3Server, endpoint = server.endpoint): Record<string, string> {
  return {
    S3_PROFILE: kind.profile,
    S3_BUCKET: TEST_BUCKET,
    S3_ENDPOINT: endpoint,
    AWS_REGION: server.region,
    AWS_ACCESS_KEY_ID: server.credentials.accessKeyId,
    AWS_SECRET_ACCESS_KEY: server.credentials.secretAccessKey,
  };
}

/** The test's own way to the bucket; closed with the test. */
export function openTestBucket(t: TestContext, server: S3Server): S3ObjectStorage {
  const storage = new S3ObjectStorage({
    ...{ endpoint: server.endpoint, region: server.region, credentials: server.credentials, bucket: TEST_BUCKET },
    ...{ forcePathStyle: true, payloadSigning: 'auto', maxSockets: 4 },
  });
  t.after(() => storage.close());
  return storage;
}

export async function createTestBucket(t: TestContext, server: S3Server): Promise<S3ObjectStorage> {
  const storage = openTestBucket(t, server);
  await storage.client.send(new CreateBucketCommand({ Bucket: TEST_BUCKET }));
  return storage;
}
