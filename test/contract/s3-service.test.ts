/**
 * The S3 contract on a real service: `TEST_S3_ENDPOINT`, `TEST_S3_ACCESS_KEY_ID`, `TEST_S3_SECRET_ACCESS_KEY`, and
 * maybe `TEST_S3_REGION` and `TEST_S3_BUCKET`. `TEST_S3_PROFILE` names the kind of service: what it does otherwise.
 */
import test from 'node:test';
import { s3Contract } from './s3-suite.ts';
import { PROFILES, type S3Target } from './s3-target.ts';

const { TEST_S3_ENDPOINT: endpoint, TEST_S3_PROFILE: profileName = 'aws', ...environment } = process.env;

if (endpoint === undefined) {
  test('the S3 contract on a real service', { skip: 'TEST_S3_ENDPOINT names none' });
} else {
  s3Contract(`S3 at ${endpoint}, taken for ${profileName}`, async () => {
    const profile = PROFILES[profileName];
    if (profile === undefined) throw new Error(`TEST_S3_PROFILE is one of ${Object.keys(PROFILES).join(', ')}`);
    const target: S3Target = {
      ...{ endpoint, profile },
      region: environment.TEST_S3_REGION ?? 'us-east-1',
      bucket: environment.TEST_S3_BUCKET ?? 's3-contract',
      credentials: {
        accessKeyId: environment.TEST_S3_ACCESS_KEY_ID ?? '',
        secretAccessKey: environment.TEST_S3_SECRET_ACCESS_KEY ?? '',
      },
    };
    return { ...target, close: async () => {} };
  });
}
