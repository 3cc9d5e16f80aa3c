import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { FileCatalog } from '../../src/catalog/file-catalog.ts';
import { UploadCatalog } from '../../src/catalog/upload-catalog.ts';
import { type FinishedUpload, recordFinished } from '../../src/pipeline/finish.ts';
import { openTestDatabase } from '../support/test-database.ts';

const base64 = (text: string) => Buffer.from(text).toString('base64');
const PNG_METADATA = `filename ${base64('C:\\photos\\me.png')},filetype ${base64('Image/PNG')}`;

async function setUp(t: TestContext, wishes: Partial<FinishedUpload> = {}) {
  const database = await openTestDatabase(t);
  const catalog = new UploadCatalog(database, { uploadExpiresSecs: 60, discardRecheckSecs: 1800 });
  const uploadId = crypto.randomUUID();
  const upload: FinishedUpload = {
    ...{ uploadId, owner: 'public', objectKey: `uploads/public/2026/01/01/${uploadId}`, offsetBytes: 42 },
    ...{ metadata: PNG_METADATA, detectedType: 'image/jpeg', ...wishes },
  };
  const { owner, objectKey, metadata } = upload;
  await catalog.create({
    ...{ uploadId, owner, objectKey, metadata, protocol: 'tus', lengthBytes: 42, partBytes: 100 },
    ...{ state: 'open', writer: null },
  });
  const jobs: unknown[] = [];
  const queue = {
    async enqueue(_handle: unknown, name: string, data: unknown) {
      jobs.push([name, data]);
    },
  };
  const finish = () => database.transaction((trx) => recordFinished(trx, queue, upload));
  return { upload, jobs, finish, files: new FileCatalog(database) };
}

test('a finished upload becomes a file: the client’s words cleaned, what the bytes say beside them', async (t) => {
  const { upload, finish, files, jobs } = await setUp(t);
  await finish();
  const file = await files.getFile(upload.uploadId);
  assert.deepEqual(
    { ...file, createdAt: null },
    {
      ...{ fileId: upload.uploadId, owner: 'public', objectKey: upload.objectKey, bytes: 42 },
      ...{ declaredType: 'image/png', detectedType: 'image/jpeg', fileName: 'me.png' },
      ...{ width: null, height: null, problem: null, thumbnailsPending: true, createdAt: null, variants: [] },
    },
  );
  assert.deepEqual(jobs, [['thumbnail', { fileId: upload.uploadId }]]);
});

test('what is no image has no thumbnails to wait for, whatever the client calls it', async (t) => {
  const { upload, finish, files, jobs } = await setUp(t, { detectedType: null });
  await finish();
  assert.equal((await files.getFile(upload.uploadId)).thumbnailsPending, false);
  assert.deepEqual(jobs, []);
});

test('metadata that does not parse costs the name, not the file', async (t) => {
  const { upload, finish, files } = await setUp(t, { metadata: 'filename !!!' });
  await finish();
  const file = await files.getFile(upload.uploadId);
  assert.deepEqual([file.fileName, file.declaredType, file.bytes], [null, null, 42]);
});

test('a second record of the same upload is an error, so that its transaction is undone', async (t) => {
  const { finish } = await setUp(t);
  await finish();
  await assert.rejects(finish(), { code: '23505' });
});
