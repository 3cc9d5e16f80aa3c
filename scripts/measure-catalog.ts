/**
 * How much one Postgres takes as the catalog, with the program's own statements and without S3 or HTTP around them:
 *
 *   DATABASE_URL=postgres://…/an_empty_database node scripts/measure-catalog.ts [--secs 10] [--connections 1,8,32]
 *
 * A "small upload" is what a file costs that comes in one PATCH and fits one part: the row, the claim, the finishing
 * transaction with the file's record. A "part" is what each further part of a large upload costs. Leaves rows behind.
 */
import { randomUUID } from 'node:crypto';
import { parseArgs } from 'node:util';
import type { Database } from '../src/catalog/database.ts';
import { openPostgres } from '../src/catalog/postgres.ts';
import { UploadCatalog } from '../src/catalog/upload-catalog.ts';

const MIB = 1024 * 1024;
const PART_BYTES = 8 * MIB;
const PARTS_OF_AN_UPLOAD = 1_000;

const { values } = parseArgs({
  options: { secs: { type: 'string', default: '10' }, connections: { type: 'string', default: '1,8,32' } },
});
const url = process.env.DATABASE_URL;
if (url === undefined) throw new Error('DATABASE_URL has to name an empty database');

for (const connections of values.connections.split(',').map(Number)) {
  const database = await openPostgres(url, { maxConnections: connections });
  try {
    const catalog = new UploadCatalog(database, { uploadExpiresSecs: 86_400, discardRecheckSecs: 1_800 });
    for (const [name, work] of [
      ['small uploads', () => smallUpload(database, catalog)],
      ['parts', partWriter(catalog)],
    ] as const) {
      const perSecond = await rate(work, connections, Number(values.secs) * 1_000);
      console.log(
        `${String(connections).padStart(4)} connections  ${name.padEnd(14)} ${perSecond.toFixed(0)} a second`,
      );
    }
  } finally {
    await database.close();
  }
}

/** @returns how often a second, with so many at a time */
async function rate(work: () => Promise<void>, atATime: number, forMs: number): Promise<number> {
  let done = 0;
  const began = performance.now();
  const loop = async () => {
    while (performance.now() - began < forMs) {
      await work();
      done += 1;
    }
  };
  await Promise.all(Array.from({ length: atATime }, loop));
  return (done / (performance.now() - began)) * 1_000;
}

async function create(catalog: UploadCatalog, lengthBytes: number): Promise<{ uploadId: string; token: string }> {
  const uploadId = randomUUID();
  await catalog.create({
    ...{ uploadId, owner: 'public', objectKey: `uploads/public/2026/01/31/${uploadId}`, protocol: 'tus' },
    ...{ lengthBytes, metadata: 'filename bWVhc3VyZWQ=', partBytes: PART_BYTES, state: 'open', writer: null },
  });
  const token = randomUUID();
  const claimed = await catalog.claim({
    ...{ uploadId, offsetBytes: 0, token, freshKeyName: randomUUID(), declaredLengthBytes: null },
    ...{ maxParts: 10_000, partsAhead: 4, onlyAfterSilenceSecs: null },
  });
  if (claimed === null) throw new Error('a new upload could not be claimed');
  return { uploadId, token };
}

async function smallUpload(database: Database, catalog: UploadCatalog): Promise<void> {
  const { uploadId, token } = await create(catalog, MIB);
  const step = { uploadId, token, fromBytes: 0, toBytes: MIB, unclean: false, detectedType: null };
  const file = {
    ...{ fileId: uploadId, owner: 'public', objectKey: `measured/${uploadId}`, bytes: MIB, declaredType: null },
    ...{ detectedType: null, fileName: 'measured', thumbnailsPending: false },
  };
  const row = await catalog.finishSingle(database.db, { ...step, file });
  if (row === null) throw new Error('the upload could not be finished');
}

/** Each part goes to an upload that nobody else writes to at that moment. */
function partWriter(catalog: UploadCatalog): () => Promise<void> {
  const idle: { uploadId: string; token: string; parts: number }[] = [];
  return async () => {
    const length = PARTS_OF_AN_UPLOAD * PART_BYTES;
    const upload = idle.pop() ?? { ...(await create(catalog, length)), parts: 0 };
    const partNumber = upload.parts + 1;
    const applied = await catalog.commitPart({
      ...{ uploadId: upload.uploadId, token: upload.token },
      ...{ fromBytes: upload.parts * PART_BYTES, toBytes: partNumber * PART_BYTES },
      ...{ sentUpTo: partNumber + 4, detectedType: null },
      part: { partNumber, bytes: PART_BYTES, etag: `"${randomUUID()}"`, copyKey: null },
    });
    if (!applied) throw new Error('a part could not be committed');
    upload.parts = partNumber;
    if (upload.parts < PARTS_OF_AN_UPLOAD - 1) idle.push(upload);
  };
}
