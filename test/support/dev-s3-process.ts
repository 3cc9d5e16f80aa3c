/** dev-s3 in a process of its own, which a test can kill, and whose faults it can set from outside. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { CONTROL_HEADER, CONTROL_PATH, type ControlCommand } from '../../src/dev-s3/control-route.ts';
import type { RequestCounts } from '../../src/dev-s3/faults.ts';

const MAIN = fileURLToPath(new URL('../../src/dev-s3/main.ts', import.meta.url));
const CONTROL_TOKEN = 'dev-s3-test-control';

export interface DevS3ProcessOptions {
  dataDir: string;
  /** Left out: any free one. */
  port?: number;
  bucket?: string;
  /** Left out: those of the data folder. */
  credentials?: { accessKeyId: string; secretAccessKey: string };
}

export interface DevS3Process {
  url: string;
  region: string;
  credentials: { accessKeyId: string; secretAccessKey: string };
  pid: number;
  /** Sets faults; see `src/dev-s3/control-route.ts`. @returns the counts of requests so far */
  control(command: ControlCommand): Promise<RequestCounts>;
  /** Ends it and waits until it is gone; safe to call twice. @returns the exit code; null when a signal ended it */
  end(signal: 'SIGKILL' | 'SIGTERM'): Promise<number | null>;
}

export async function startDevS3Process(options: DevS3ProcessOptions): Promise<DevS3Process> {
  const child = spawn(process.execPath, [MAIN], {
    env: {
      ...process.env,
      DEV_S3_PORT: String(options.port ?? 0),
      DEV_S3_DATA_DIR: options.dataDir,
      DEV_S3_CONTROL_TOKEN: CONTROL_TOKEN,
      ...(options.bucket === undefined ? {} : { DEV_S3_BUCKET: options.bucket }),
      ...(options.credentials === undefined
        ? {}
        : {
            DEV_S3_ACCESS_KEY_ID: options.credentials.accessKeyId,
            DEV_S3_SECRET_ACCESS_KEY: options.credentials.secretAccessKey,
          }),
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const exited = once(child, 'exit').then(([code]) => code as number | null);
  const { url, region, accessKeyId, secretAccessKey } = await readiness(child, exited);
  return {
    ...{ url, region, credentials: { accessKeyId, secretAccessKey } },
    pid: child.pid ?? 0,
    async control(command) {
      const answer = await fetch(`${url}${CONTROL_PATH}`, {
        method: 'POST',
        headers: { [CONTROL_HEADER]: CONTROL_TOKEN },
        body: JSON.stringify(command),
      });
      assert.equal(answer.status, 200, 'the command was refused');
      return ((await answer.json()) as { counts: RequestCounts }).counts;
    },
    end(signal) {
      child.kill(signal);
      return exited;
    },
  };
}

interface Ready {
  url: string;
  region: string;
  accessKeyId: string;
  secretAccessKey: string;
}

async function readiness(child: ChildProcess, exited: Promise<number | null>): Promise<Ready> {
  const errors: string[] = [];
  child.stderr?.setEncoding('utf8').on('data', (text: string) => errors.push(text));
  assert.ok(child.stdout);
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  const first = await lines.next();
  if (first.done !== true) return JSON.parse(first.value);
  throw new Error(`dev-s3 ended with ${await exited}: ${errors.join('')}`);
}
