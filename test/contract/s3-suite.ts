/** The contract of an S3 server, as two clients and hand-made requests see it: one suite for every server. */
import { after, before, describe } from 'node:test';
import { CreateBucketCommand } from '@aws-sdk/client-s3';
import { awsChunkedContract } from './s3-suite-aws-chunked.ts';
import { bucketContract } from './s3-suite-buckets.ts';
import { copyContract } from './s3-suite-copies.ts';
import { listContract } from './s3-suite-lists.ts';
import { minioClientContract } from './s3-suite-minio-client.ts';
import { multipartContract } from './s3-suite-multipart.ts';
import { objectContract } from './s3-suite-objects.ts';
import { presignContract } from './s3-suite-presign.ts';
import { signatureContract } from './s3-suite-signatures.ts';
import { type S3Target, sdkClient } from './s3-target.ts';

/** The target, once the suite has begun. */
export type OpenTarget = () => S3Target;

/** Every part of the contract. */
const CONTRACTS = [
  ...[bucketContract, objectContract, copyContract, listContract, multipartContract],
  ...[presignContract, signatureContract, awsChunkedContract, minioClientContract],
];

/**
 * @param open starts a server or finds one; what it opens is closed after the last test
 * @param contracts the parts to check
 */
export function s3Contract(
  name: string,
  open: () => Promise<S3Target & { close(): Promise<void> }>,
  contracts: readonly ((open: OpenTarget) => void)[] = CONTRACTS,
): void {
  describe(name, () => {
    let target: (S3Target & { close(): Promise<void> }) | null = null;
    before(async () => {
      target = await open();
      const client = sdkClient(target);
      await client.send(new CreateBucketCommand({ Bucket: target.bucket })).catch((error: { name: string }) => {
        if (!/^BucketAlready/.test(error.name)) throw error;
      });
      client.destroy();
    });
    after(() => target?.close());
    const opened: OpenTarget = () => {
      if (target === null) throw new Error('the suite has not begun');
      return target;
    };
    for (const contract of contracts) contract(opened);
  });
}
