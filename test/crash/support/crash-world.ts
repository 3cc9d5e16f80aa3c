/** A server that can be killed at any step, and what outlives it: the S3 server, which runs here, and the database. */
import { once } from 'node:events';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { DevS3 } from '../../../src/dev-s3/dev-s3-server.ts';
import { systemClock } from '../../../src/relay/clock.ts';
import { S3Retry } from '../../../src/relay/s3-retry.ts';
import { S3ObjectStorage } from '../../../src/s3/s3-object-storage.ts';
import { DEV_S3_CREDENTIALS, DEV_S3_REGION, startTestDevS3, temporaryFolder } from '../../support/dev-s3.ts';
import { prepareServer, type ServerProcess } from '../../support/server-process.ts';
import type { CatalogReport, Command } from './commands.ts';
import type { Moment } from './step-probe.ts';

const BUCKET = 'crash-tests';
/** A server that did not answer has been killed, or will be in this time; else something else is wrong with it. */
const DYING_MS = 5_000;
const POLL_MS = 50;
/** Of the bucket itself; not of any upload. */
const MARKER = 'uploads/.tus-relay-catalog';

export interface WorldWishes {
  /** null: PGlite in the server's folder. */
  databaseUrl: string | null;
  secondComplete?: 'same-etag' | 'no-such-upload';
  env?: Record<string, string>;
}

export class CrashWorld {
  readonly s3: DevS3;
  readonly storage: S3ObjectStorage;
  readonly server: ServerProcess;
  #deaths = 0;
  #armed = false;

  constructor(s3: DevS3, storage: S3ObjectStorage, server: ServerProcess) {
    this.s3 = s3;
    this.storage = storage;
    this.server = server;
  }

  get filesUrl(): string {
    return `${this.server.url}/files`;
  }

  /** How often the server was found dead and started again. */
  get deaths(): number {
    return this.#deaths;
  }

  /** The server ends at this step, counted from now. */
  async arm(step: number, moment: Moment): Promise<void> {
    await this.#askAlive({ kind: 'arm', step, moment });
    this.#armed = true;
  }

  /** What the last run was to be killed at and was not, is not to kill the next one. */
  async disarm(): Promise<void> {
    await this.#askAlive({ kind: 'arm', step: 0, moment: 'before' });
    this.#armed = false;
  }

  /** Ends the time of every open upload but these. */
  async expire(butNot: string[]): Promise<void> {
    await this.#askAlive({ kind: 'expire', butNot });
  }

  report(): Promise<CatalogReport> {
    return this.#askAlive({ kind: 'report' }) as Promise<CatalogReport>;
  }

  /**
   * After a connection was lost: waits for the end of a server that was to be killed, and starts the next one. One that
   * lives has closed a connection of which it did not want to read more.
   */
  async revive(cause: unknown): Promise<void> {
    if (!this.#armed && this.server.running) return;
    const timer = setTimeout(() => this.server.child.disconnect(), DYING_MS);
    const { signal } = await this.server.exited;
    clearTimeout(timer);
    if (signal !== 'SIGKILL')
      throw new Error(`the server failed otherwise than by being killed:\n${this.server.output}`, { cause });
    this.#deaths += 1;
    this.#armed = false;
    await this.server.start();
  }

  /** Keys of all objects of uploads, and of all multipart uploads that live. */
  async bucket(): Promise<{ objectKeys: string[]; multipartKeys: string[] }> {
    const objectKeys: string[] = [];
    let after: string | undefined;
    for (let more = true; more; ) {
      const page = await this.storage.listObjects('uploads/', after);
      objectKeys.push(...page.objects.map(({ key }) => key).filter((key) => key !== MARKER));
      after = page.objects.at(-1)?.key;
      more = page.more;
    }
    const { Uploads = [] } = await this.storage.client.listMultipartUploads({ Bucket: BUCKET });
    // The multipart upload that stays is the one by which the server knows its storage: see storage-canary.ts.
    const keys = Uploads.map(({ Key = '' }) => Key);
    return { objectKeys, multipartKeys: keys.filter((key) => !key.startsWith('uploads/.tus-relay-canary-')) };
  }

  /** @returns null when there is no such object */
  async read(objectKey: string): Promise<Buffer | null> {
    // Faults that a test has set hit its own looks, too.
    return new S3Retry(systemClock, { callMs: 90_000 }).run(async () => {
      const opened = await this.storage.getObject(objectKey);
      return opened === null ? null : Buffer.concat(await opened.body.toArray());
    });
  }

  /** Of a server that may be dying: asked again when it has been started again. */
  async #askAlive(command: Command): Promise<unknown> {
    for (;;) {
      try {
        return await this.#ask(command);
      } catch (error) {
        await this.revive(error);
      }
    }
  }

  async #ask(command: Command): Promise<unknown> {
    const { child } = this.server;
    const given = new AbortController();
    try {
      const answer = once(child, 'message', { signal: given.signal });
      answer.catch(() => {});
      const gone = this.server.exited.then(() => {
        throw new Error('the server has ended');
      });
      gone.catch(() => {});
      if (child.connected) child.send(command, () => {});
      const [message] = await Promise.race([answer, gone]);
      return message;
    } finally {
      given.abort();
    }
  }
}

export async function startCrashWorld(t: TestContext, wishes: WorldWishes): Promise<CrashWorld> {
  const { databaseUrl, secondComplete = 'same-etag', env = {} } = wishes;
  const s3 = await startTestDevS3(t, { secondComplete, buckets: [BUCKET] });
  const storage = new S3ObjectStorage({
    ...{ bucket: BUCKET, endpoint: s3.url, region: DEV_S3_REGION, credentials: DEV_S3_CREDENTIALS },
    ...{ forcePathStyle: true, maxSockets: 16, payloadSigning: 'unsigned' },
  });
  t.after(() => storage.close());
  const server = await prepareServer(t, {
    entry: 'test/crash/crash-server.ts',
    env: {
      ...{ S3_BUCKET: BUCKET, S3_ENDPOINT: s3.url, AWS_REGION: DEV_S3_REGION, LOG_LEVEL: 'warn' },
      // A server that is started a hundred times need not be compiled a hundred times.
      NODE_COMPILE_CACHE: join(await temporaryFolder(t), 'compiled'),
      AWS_ACCESS_KEY_ID: DEV_S3_CREDENTIALS.accessKeyId,
      AWS_SECRET_ACCESS_KEY: DEV_S3_CREDENTIALS.secretAccessKey,
      ...(databaseUrl === null ? {} : { DATABASE_URL: databaseUrl }),
      ...env,
    },
  });
  await server.start();
  const world = new CrashWorld(s3, storage, server);
  while (!(await world.report()).marked) await sleep(POLL_MS);
  return world;
}
