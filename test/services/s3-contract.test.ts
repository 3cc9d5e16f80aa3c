/** The S3 contract, which dev-s3 passes in `npm test`, on the real servers that are installed. */
import { test } from 'node:test';
import { s3Contract } from '../contract/s3-suite.ts';
import { PROFILES } from '../contract/s3-target.ts';
import { findProgram } from '../support/services/find-program.ts';
import { S3_KINDS } from '../support/services/s3-kinds.ts';

for (const { profile: name, start } of S3_KINDS) {
  const profile = PROFILES[name];
  if (profile === undefined) throw new Error(`the contract has no profile ${name}`);
  if (findProgram(name) === null) {
    test(`the S3 contract on ${name}`, { skip: `${name} is not installed` });
    continue;
  }
  s3Contract(`the S3 contract on ${name}`, async () => {
    const server = await start();
    if (server === null) throw new Error(`${name} is not installed`);
    const { endpoint, region, credentials, stop } = server;
    return { endpoint, region, credentials, profile, bucket: 's3-contract', close: stop };
  });
}
