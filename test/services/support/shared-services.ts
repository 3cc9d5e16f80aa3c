import type { TestContext } from 'node:test';
import { startDevS3Process } from '../../support/dev-s3-process.ts';
import { type PostgresServer, startPostgres } from '../../support/services/start-postgres.ts';
import { type RedisServer, startRedis } from '../../support/services/start-redis.ts';
import { makeTempFolder } from '../../support/services/temp-folder.ts';

export interface SharedServices {
  readonly postgres: PostgresServer;
  readonly redis: RedisServer;
  /** Of a node that uses them: a database, a Redis, and a bucket. */
  readonly env: Record<string, string>;
}

const BUCKET = 'shared';

/** A real Postgres and a real Redis, and the development S3 in a process of its own; they end with the test. */
export async function startSharedServices(t: TestContext): Promise<SharedServices> {
  const postgres = await startPostgres();
  t.after(() => postgres.stop());
  const redis = await startRedis();
  t.after(() => redis.stop());
  const folder = await makeTempFolder('shared-s3');
  t.after(() => folder.remove());
  const s3 = await startDevS3Process({ dataDir: folder.path, bucket: BUCKET });
  t.after(() => s3.end('SIGTERM'));
  return {
    postgres,
    redis,
    env: {
      DATABASE_URL: await postgres.createDatabase('relay'),
      REDIS_URL: redis.url,
      S3_BUCKET: BUCKET,
      S3_ENDPOINT: s3.url,
      AWS_REGION: s3.region,
      AWS_ACCESS_KEY_ID: s3.credentials.accessKeyId,
      AWS_SECRET_ACCESS_KEY: s3.credentials.secretAccessKey,
    },
  };
}
