import { type ChildService, startChild } from './child-service.ts';
import { findProgram } from './find-program.ts';
import { onFreePort } from './free-port.ts';
import type { S3Server } from './s3-server.ts';
import { makeTempFolder } from './temp-folder.ts';

/** @returns null when MinIO is not installed (`go install github.com/minio/minio@latest`) */
export async function startMinio(): Promise<S3Server | null> {
  const program = findProgram('minio');
  if (program === null) return null;
  const credentials = { accessKeyId: 'minio-test', secretAccessKey: 'minio-test-secret' };
  const folder = await makeTempFolder('minio');
  let endpoint = '';
  let server: ChildService;
  const launch = (port: number) => {
    endpoint = `http://127.0.0.1:${port}`;
    const args = [
      'server',
      '--quiet',
      '--address',
      `127.0.0.1:${port}`,
      '--console-address',
      '127.0.0.1:0',
      folder.path,
    ];
    return startChild(program, args, {
      env: {
        ...process.env,
        MINIO_ROOT_USER: credentials.accessKeyId,
        MINIO_ROOT_PASSWORD: credentials.secretAccessKey,
        MINIO_BROWSER: 'off',
        MINIO_UPDATE: 'off',
      },
      // Its own word on its health comes before it takes requests: refusing a stranger is the first thing that it does.
      isReady: async () => (await fetch(endpoint)).status === 403,
    });
  };
  try {
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
