import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { goTool } from '../../scripts/go-tools.mjs';
import { freePort } from './free-port.ts';
import type { Workshop } from './workshop.ts';

/** The S3 server that every server under test stores in. */
export interface S3Service {
  /** As the report says it. */
  readonly name: string;
  readonly endpoint: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}

export const S3_KINDS = ['minio', 'versitygw', 'dev-s3'] as const;
export type S3Kind = (typeof S3_KINDS)[number];

export const REGION = 'us-east-1';

const CREDENTIALS = { accessKeyId: 'bench-access-key', secretAccessKey: 'bench-secret-key-0123456789' };
const HEALTH_LIMIT_MS = 60_000;

/** @param wished null: a real service when there is one, else our embedded S3 */
export async function startS3(workshop: Workshop, wished: S3Kind | null): Promise<S3Service> {
  for (const kind of wished === null ? S3_KINDS : [wished]) {
    const service = await starters[kind](workshop);
    if (service !== null) return service;
  }
  throw new Error(`there is no ${wished} on this machine`);
}

/** null: it cannot be had here. */
const starters: Record<S3Kind, (workshop: Workshop) => Promise<S3Service | null>> = {
  minio: async (workshop) => {
    const command = await goTool('minio');
    if (command === null) return null;
    const endpoint = `http://127.0.0.1:${await freePort()}`;
    await workshop.start({
      name: 'minio',
      command,
      args: ['server', '--address', endpoint.slice('http://'.length), workshop.newFolder('minio')],
      env: {
        MINIO_ROOT_USER: CREDENTIALS.accessKeyId,
        MINIO_ROOT_PASSWORD: CREDENTIALS.secretAccessKey,
        MINIO_BROWSER: 'off',
        MINIO_UPDATE: 'off',
      },
      ready: (line) => (line.includes('API:') ? true : null),
    });
    await waitUntilHealthy(`${endpoint}/minio/health/ready`);
    return { name: 'MinIO', endpoint, ...CREDENTIALS };
  },

  versitygw: async (workshop) => {
    const command = await goTool('versitygw');
    if (command === null) return null;
    const endpoint = `http://127.0.0.1:${await freePort()}`;
    await workshop.start({
      name: 'versitygw',
      command,
      args: [
        ...['--port', endpoint.slice('http://'.length), '--health', '/health', '--quiet', '--keep-alive'],
        ...['posix', workshop.newFolder('versitygw')],
      ],
      env: { ROOT_ACCESS_KEY: CREDENTIALS.accessKeyId, ROOT_SECRET_KEY: CREDENTIALS.secretAccessKey },
      ready: () => true, // it writes no line for that: whether it answers is asked below
    });
    await waitUntilHealthy(`${endpoint}/health`);
    return { name: 'versitygw (posix)', endpoint, ...CREDENTIALS };
  },

  'dev-s3': async (workshop) => {
    const { ready } = await workshop.start({
      name: 'dev-s3',
      command: process.execPath,
      args: [fileURLToPath(new URL('../../src/dev-s3/main.ts', import.meta.url))],
      env: {
        DEV_S3_DATA_DIR: workshop.newFolder('dev-s3'),
        DEV_S3_ACCESS_KEY_ID: CREDENTIALS.accessKeyId,
        DEV_S3_SECRET_ACCESS_KEY: CREDENTIALS.secretAccessKey,
        DEV_S3_REGION: REGION,
      },
      ready: (line) => (line.startsWith('{') ? (JSON.parse(line) as { url: string }).url : null),
    });
    return { name: 'dev-s3 (the embedded one)', endpoint: ready.replace(/\/$/, ''), ...CREDENTIALS };
  },
};

async function waitUntilHealthy(url: string): Promise<void> {
  const untilMs = performance.now() + HEALTH_LIMIT_MS;
  while (performance.now() < untilMs) {
    const response = await fetch(url).catch(() => null);
    await response?.body?.cancel();
    if (response?.ok) return;
    await sleep(50);
  }
  throw new Error(`${url} does not answer`);
}
