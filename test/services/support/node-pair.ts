/** Two server processes on one Postgres, one Redis and one bucket, and what a test wants to know of all of them. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import type { TestContext } from 'node:test';
import pg from 'pg';
import { S3ObjectStorage } from '../../../src/s3/s3-object-storage.ts';
import { type DevS3Process, startDevS3Process } from '../../support/dev-s3-process.ts';
import { eventually } from '../../support/eventually.ts';
import { exchange } from '../../support/http-exchange.ts';
import { Scrape } from '../../support/read-metrics.ts';
import { prepareServer, type ServerProcess } from '../../support/server-process.ts';
import { createTestBucket, environmentOf, S3_KINDS, TEST_BUCKET } from '../../support/services/s3-kinds.ts';
import { type PostgresServer, startPostgres } from '../../support/services/start-postgres.ts';
import { type RedisServer, startRedis } from '../../support/services/start-redis.ts';
import { makeTempFolder } from '../../support/services/temp-folder.ts';

export const MIB = 2 ** 20;
/** The smallest that S3 allows: two parts are a file of a test's size. */
export const PART_BYTES = 5 * MIB;
/** A deep sweep's; it stays as long as the deployment. */
const MARKER = 'uploads/.tus-relay-catalog';

/** A multipart upload that the nodes keep, to see what the service removes. */
const CANARY = 'uploads/.tus-relay-canary-';

const FILES_AT_ONCE = 8;

export interface PairWishes {
  env?: Record<string, string>;
  /** Left out: {@link NODE_PROGRAM}. */
  entry?: string;
  withoutRedis?: boolean;
}

const NODE_PROGRAM = 'test/services/support/node-program.ts';

export interface TestBucket {
  storage: S3ObjectStorage;
  env: Record<string, string>;
}

export class NodePair {
  readonly a: ServerProcess;
  readonly b: ServerProcess;
  readonly postgres: PostgresServer;
  readonly #redis: RedisServer | null;
  readonly storage: S3ObjectStorage;
  readonly catalog: pg.Pool;

  constructor(
    [a, b]: readonly [ServerProcess, ServerProcess],
    services: { postgres: PostgresServer; redis: RedisServer | null; storage: S3ObjectStorage; catalog: pg.Pool },
  ) {
    this.a = a;
    this.b = b;
    this.postgres = services.postgres;
    this.#redis = services.redis;
    this.storage = services.storage;
    this.catalog = services.catalog;
  }

  get redis(): RedisServer {
    if (this.#redis === null) throw new Error('this pair has no Redis');
    return this.#redis;
  }

  /** V3, V4: the upload has become exactly one file, which has exactly these bytes, in the bucket and from either node. */
  async assertFile(url: string, content: Buffer): Promise<void> {
    const uploadId = uploadIdOf(url);
    const { rows } = await this.catalog.query('SELECT object_key AS key, bytes FROM files WHERE id = $1', [uploadId]);
    assert.deepEqual(
      rows.map(({ bytes }) => Number(bytes)),
      [content.length],
      'one record',
    );
    const opened = await this.storage.getObject(rows[0].key);
    assert.ok(opened !== null, 'the object is missing');
    assert.equal(sha256(Buffer.concat(await opened.body.toArray())), sha256(content), 'the object has other bytes');
    for (const node of [this.a, this.b]) {
      const { body } = await exchange(on(node, url), { method: 'GET' });
      assert.equal(sha256(body), sha256(content), 'the download differs');
    }
  }

  async assertFiles(files: readonly { url: string; content: Buffer }[]): Promise<void> {
    for (let first = 0; first < files.length; first += FILES_AT_ONCE) {
      const some = files.slice(first, first + FILES_AT_ONCE);
      await Promise.all(some.map(({ url, content }) => this.assertFile(url, content)));
    }
  }

  /** When the sweepers have looked twice, there is nothing anywhere but the files and their thumbnails. */
  async assertNothingElse(): Promise<void> {
    await eventually('nothing but the files', async () => {
      const found = await this.#leftOver().catch((error) => [String(error)]);
      this.#lastLeftOver = found;
      return found.length === 0 ? true : undefined;
    }).catch((cause) => {
      throw new Error(`left over: ${this.#lastLeftOver.join(', ')}`, { cause });
    });
  }

  #lastLeftOver: readonly string[] = [];

  async #leftOver(): Promise<string[]> {
    const { rows: kept } = await this.catalog.query(
      'SELECT object_key AS key FROM files UNION ALL SELECT object_key FROM file_variants',
    );
    const wanted = new Set([MARKER, ...kept.map(({ key }) => String(key))]);
    const objects = await this.#objectKeys();
    const missing = [...wanted].filter((key) => key !== MARKER && !objects.includes(key));
    const { rows } = await this.catalog.query(`
      SELECT 'discard ' || object_key AS what FROM discards
      UNION ALL SELECT 'part of ' || upload_id FROM upload_parts
      UNION ALL SELECT 'tail of ' || upload_id FROM upload_tails
      UNION ALL SELECT 'upload ' || id || ' is ' || state FROM uploads WHERE state NOT IN ('finished', 'terminated')`);
    return [
      ...missing.map((key) => `no object ${key}`),
      ...objects.filter((key) => !wanted.has(key)).map((key) => `object ${key}`),
      ...(await this.#multipartKeys()).map((key) => `multipart upload of ${key}`),
      ...rows.map(({ what }) => String(what)),
    ];
  }

  async #objectKeys(): Promise<string[]> {
    const keys: string[] = [];
    for (let more = true; more; ) {
      const page = await this.storage.listObjects('', keys.at(-1));
      keys.push(...page.objects.map(({ key }) => key));
      more = page.more;
    }
    return keys;
  }

  /** MinIO lists them by their exact key only. */
  async #multipartKeys(): Promise<string[]> {
    const { rows } = await this.catalog.query('SELECT object_key AS key FROM uploads');
    const listed = await Promise.all(
      rows.map(async ({ key }) => ((await this.storage.listMultipartUploads(key)).length === 0 ? [] : [String(key)])),
    );
    const { uploads } = await this.storage.listMultipartUploadsUnder('');
    return [...listed.flat(), ...uploads.map(({ key }) => key).filter((key) => !key.startsWith(CANARY))];
  }
}

/** The same upload, asked for at this node. */
export function on(node: ServerProcess, url: string): string {
  return `${node.url}${new URL(url).pathname}`;
}

export function uploadIdOf(url: string): string {
  return url.split('/').at(-1) ?? '';
}

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** Bytes of uploads that this process has stored and committed. */
export async function committedBytes(node: ServerProcess): Promise<number> {
  // Not by `fetch`, which would try connections that a killed node has left behind.
  const { body } = await exchange(`${node.url}/metrics`, { method: 'GET' });
  return new Scrape(body.toString()).find('tus_relay_committed_bytes_total') ?? 0;
}

/** They end with the test, as do their services. */
export async function startNodePair(t: TestContext, bucket: TestBucket, wishes: PairWishes = {}): Promise<NodePair> {
  const postgres = await startPostgres();
  t.after(() => postgres.stop());
  const redis = wishes.withoutRedis ? null : await startRedis();
  t.after(() => redis?.stop());
  const databaseUrl = await postgres.createDatabase('relay');
  const catalog = new pg.Pool({ connectionString: databaseUrl, max: 2 });
  // Of idle connections that a restart of Postgres breaks: the pool makes new ones.
  catalog.on('error', () => {});
  t.after(() => catalog.end());
  const env = {
    ...{ DATABASE_URL: databaseUrl, REDIS_URL: redis?.url ?? '', LOG_LEVEL: 'warn', PART_BYTES: '5MiB' },
    ...bucket.env,
    ...wishes.env,
  };
  const prepare = () => prepareServer(t, { entry: wishes.entry ?? NODE_PROGRAM, env });
  const nodes = [await prepare(), await prepare()] as const;
  await Promise.all(nodes.map((node) => node.start()));
  return new NodePair(nodes, { postgres, redis, storage: bucket.storage, catalog });
}

/** Of a real S3 server; of the development S3 where none is installed. */
export async function startRealBucket(t: TestContext): Promise<TestBucket> {
  for (const kind of S3_KINDS) {
    const server = await kind.start();
    if (server === null) continue;
    t.after(() => server.stop());
    return { storage: await createTestBucket(t, server), env: environmentOf(kind, server) };
  }
  return (await startDevBucket(t)).bucket;
}

/** In a process of its own, with faults that a test can set. */
export async function startDevBucket(t: TestContext): Promise<{ s3: DevS3Process; bucket: TestBucket }> {
  const folder = await makeTempFolder('pair-s3');
  t.after(() => folder.remove());
  const s3 = await startDevS3Process({ dataDir: folder.path, bucket: TEST_BUCKET });
  t.after(() => s3.end('SIGTERM'));
  const { url: endpoint, region, credentials } = s3;
  const storage = new S3ObjectStorage({
    ...{ endpoint, region, credentials, bucket: TEST_BUCKET },
    ...{ forcePathStyle: true, payloadSigning: 'auto', maxSockets: 8 },
  });
  t.after(() => storage.close());
  return {
    s3,
    bucket: {
      storage,
      env: {
        ...{ S3_BUCKET: TEST_BUCKET, S3_ENDPOINT: endpoint, AWS_REGION: region },
        AWS_ACCESS_KEY_ID: credentials.accessKeyId,
        AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey,
      },
    },
  };
}
