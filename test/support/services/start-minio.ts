import { startChild } from './child-service.ts';
import { findProgram } from './find-program.ts';
import type { S3Server } from './s3-server.ts';
import { startInFolder } from './start-in-folder.ts';
import { makeTempFolder } from './temp-folder.ts';

/** @returns null when MinIO is not installed (`go install github.com/minio/minio@latest`) */
export async function startMinio(): Promise<S3Server | null> {
  const program = findProgram('minio');
  if (program === null) return null;
  const credentials = { accessKeyId: 'minio-test', secretAccessKey: 'minio-test-secret' };
  const folder = await makeTempFolder('minio');
  const launch = (port: number) => {
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
      isReady: async () => (await fetch(`http://127.0.0.1:${port}`)).status === 403,
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
