import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type ChildService, startChild } from './child-service.ts';
import { findProgram } from './find-program.ts';
import { onFreePort } from './free-port.ts';
import type { S3Server } from './s3-server.ts';
import { makeTempFolder } from './temp-folder.ts';

/** @returns null when versitygw is not installed (`go install github.com/versity/versitygw/cmd/versitygw@latest`) */
export async function startVersitygw(): Promise<S3Server | null> {
  const program = findProgram('versitygw');
  if (program === null) return null;
  const credentials = { accessKeyId: 'versity-test', secretAccessKey: 'versity-test-secret' };
  const folder = await makeTempFolder('versitygw');
  // Metadata beside the files, since a temporary folder may have no extended attributes.
  const [files, sidecar] = [join(folder.path, 'files'), join(folder.path, 'sidecar')];
  let endpoint = '';
  let server: ChildService;
  const launch = (port: number) => {
    endpoint = `http://127.0.0.1:${port}`;
    const gateway = ['--port', `127.0.0.1:${port}`, '--region', 'us-east-1', '--health', '/health', '--quiet'];
    return startChild(program, [...gateway, 'posix', '--sidecar', sidecar, files], {
      env: { ...process.env, ROOT_ACCESS_KEY: credentials.accessKeyId, ROOT_SECRET_KEY: credentials.secretAccessKey },
      isReady: async () => (await fetch(`${endpoint}/health`)).ok,
    });
  };
  try {
    for (const path of [files, sidecar]) await mkdir(path);
    server = await onFreePort(launch);
  } catch (error) {
    await folder.remove();
    throw error;
  }
  return {
    endpoint,
    region: 'us-east-1',
    credentials,
    stop: async () => {
      await server.stop();
      await folder.remove();
    },
  };
}
