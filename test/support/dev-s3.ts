import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { type DevS3, type DevS3Options, startDevS3 } from '../../src/dev-s3/dev-s3-server.ts';

export const DEV_S3_CREDENTIALS = {
  accessKeyId: 'DEVTESTACCESSKEY0001',
  secretAccessKey: 'dev/test+secret=key',
};
export const DEV_S3_REGION = 'us-east-1';

/** A server of the test's own, on a free port, in a folder that goes with it unless the test gives one. */
export async function startTestDevS3(t: TestContext, options: Partial<DevS3Options> = {}): Promise<DevS3> {
  const dataDir = options.dataDir ?? (await mkdtemp(join(tmpdir(), 'dev-s3-')));
  const server = await startDevS3({
    port: 0,
    credentials: DEV_S3_CREDENTIALS,
    region: DEV_S3_REGION,
    log: (message, error) => t.diagnostic(`dev-s3: ${message}: ${error instanceof Error ? error.stack : error}`),
    ...options,
    dataDir,
  });
  t.after(async () => {
    await server.close(0);
    if (options.dataDir === undefined) await rm(dataDir, { recursive: true, force: true });
  });
  return server;
}

/** For several servers one after the other. The test closes them itself: this goes first of all. */
export async function temporaryFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'dev-s3-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}
