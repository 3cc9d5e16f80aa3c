/** The S3 contract on the embedded server, in both ways to answer a second Complete. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startDevS3 } from '../../src/dev-s3/dev-s3-server.ts';
import { DEV_S3_CREDENTIALS, DEV_S3_REGION } from '../support/dev-s3.ts';
import { s3Contract } from './s3-suite.ts';
import { multipartContract } from './s3-suite-multipart.ts';
import type { S3Difference } from './s3-target.ts';

s3Contract('dev-s3', () => open('same-etag'));
s3Contract('dev-s3, a second Complete says NoSuchUpload', () => open('no-such-upload'), [multipartContract]);

async function open(secondComplete: 'same-etag' | 'no-such-upload') {
  const dataDir = await mkdtemp(join(tmpdir(), 'dev-s3-'));
  const failures: Error[] = [];
  const server = await startDevS3({
    ...{ port: 0, dataDir, secondComplete },
    ...{ credentials: DEV_S3_CREDENTIALS, region: DEV_S3_REGION },
    log: (message, error) => failures.push(new Error(message, { cause: error })),
  });
  return {
    endpoint: server.url,
    ...{ credentials: DEV_S3_CREDENTIALS, region: DEV_S3_REGION, bucket: 'contract' },
    profile: new Set<S3Difference>(secondComplete === 'same-etag' ? [] : ['complete-once']),
    async close() {
      await server.close(0);
      await rm(dataDir, { recursive: true, force: true });
      assert.deepEqual(failures, [], 'the server itself failed');
    },
  };
}
