/** `npm run sweep` with Postgres and a bucket of the operator's own: nothing is held, so it opens both beside servers. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { CreateBucketCommand } from '@aws-sdk/client-s3';
import { sql } from 'kysely';
import { openPostgres } from '../../src/catalog/postgres.ts';
import { UploadCatalog } from '../../src/catalog/upload-catalog.ts';
import { S3ObjectStorage } from '../../src/s3/s3-object-storage.ts';
import { runSweepCommand } from '../support/run-sweep-command.ts';
import { startMinio } from '../support/services/start-minio.ts';
import { startPostgres } from '../support/services/start-postgres.ts';

test('two deployments with one bucket: the command sweeps for one, and refuses the other', async (t) => {
  const minio = await startMinio();
  if (minio === null) return t.skip('MinIO is not installed');
  t.after(() => minio.stop());
  const postgres = await startPostgres();
  t.after(() => postgres.stop());

  const storage = new S3ObjectStorage({
    ...{ endpoint: minio.endpoint, region: minio.region, credentials: minio.credentials, bucket: 'shared' },
    ...{ forcePathStyle: true, payloadSigning: 'auto', maxSockets: 4 },
  });
  t.after(() => storage.close());
  await storage.client.send(new CreateBucketCommand({ Bucket: 'shared' }));
  const envOf = (databaseUrl: string) => ({
    DATABASE_URL: databaseUrl,
    S3_BUCKET: 'shared',
    S3_ENDPOINT: minio.endpoint,
    S3_KEY_PREFIX: 'tenant/',
    AWS_ACCESS_KEY_ID: minio.credentials.accessKeyId,
    AWS_SECRET_ACCESS_KEY: minio.credentials.secretAccessKey,
  });

  const url = await postgres.createDatabase('first');
  const first = envOf(url);
  const database = await openPostgres(url);
  t.after(() => database.close());
  const catalog = new UploadCatalog(database, { uploadExpiresSecs: 60, discardRecheckSecs: 1800 });
  const objectKey = `tenant/uploads/public/2026/01/31/${randomUUID()}`;
  const { s3UploadId } = await storage.createMultipartUpload(objectKey, {});
  await catalog.create({
    ...{ uploadId: randomUUID(), owner: 'public', objectKey, protocol: 'tus', lengthBytes: 10, metadata: null },
    ...{ partBytes: 5, state: 'open', writer: null },
  });
  await sql`UPDATE uploads SET s3_upload_id = ${s3UploadId}, expires_at = now()`.execute(database.db);

  const plan = await runSweepCommand(first, '--deep', '--dry-run');
  assert.equal(plan.code, 1, 'no marker yet');
  assert.match(plan.stdout, /uploads to expire +1\n[\s\S]*would be refused: there is no marker tenant\/uploads\//);
  assert.equal(await storage.headObject('tenant/uploads/.tus-relay-catalog'), null);

  const swept = await runSweepCommand(first, '--deep');
  assert.equal(swept.code, 0, swept.stdout + swept.stderr);
  assert.match(swept.stdout, /uploads expired +1\n[\s\S]*leftovers removed +1\n/);
  assert.equal(await storage.listParts(objectKey, s3UploadId), null);

  const second = await runSweepCommand(envOf(await postgres.createDatabase('second')), '--deep');
  assert.equal(second.code, 1);
  assert.match(second.stdout, /The deep sweep was refused: the marker .* names another catalog/);
  const warned = await runSweepCommand(first, '--deep');
  assert.equal(warned.code, 1);
  assert.match(warned.stdout, /another catalog .* has found this one’s marker|another catalog .* said so/);
  assert.equal((await runSweepCommand(first, '--deep', '--adopt')).code, 0);
});
