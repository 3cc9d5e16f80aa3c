import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { startChild } from './child-service.ts';
import { findProgram } from './find-program.ts';
import type { S3Server } from './s3-server.ts';
import { startInFolder } from './start-in-folder.ts';
import { makeTempFolder } from './temp-folder.ts';

/** @returns null when versitygw is not installed (`go install github.com/versity/versitygw/cmd/versitygw@latest`) */
export async function startVersitygw(): Promise<S3Server | null> {
  const program = findProgram('versitygw');
  if (program === null) return null;
  const credentials = { accessKeyId: 'versity-test', secretAccessKey: 'versity-test-secret' };
  const folder = await makeTempFolder('versitygw');
  // Metadata beside the files, since a temporary folder may have no extended attributes.
  const [files, sidecar] = [join(folder.path, 'files'), join(folder.path, 'sidecar')];
  const launch = async (port: number) => {
    for (const path of [files, sidecar]) await mkdir(path, { recursive: true });
    const gateway = ['--port', `127.0.0.1:${port}`, '--region', 'us-east-1', '--health', '/health', '--quiet'];
    return startChild(program, [...gateway, 'posix', '--sidecar', sidecar, files], {
      env: { ...process.env, ROOT_ACCESS_KEY: credentials.accessKeyId, ROOT_SECRET_KEY: credentials.secretAccessKey },
      isReady: async () => (await fetch(`http://127.0.0.1:${port}/health`)).ok,
    });
  };
  const { port, stop } = await startInFolder(folder, launch);
  return {
    endpoint: `http://127.0.0.1:${port}`,
    region: 'us-east-1',
    credentials,
    stop,
  };
}
