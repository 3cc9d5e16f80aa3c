import { randomUUID } from 'node:crypto';
import type { Database } from '../../src/catalog/database.ts';
import { insertFile, type NewFile } from '../../src/catalog/file-catalog.ts';

/** Only what the upload's own id and key do not decide. */
export type FileWishes = Partial<NewFile> & { createdAt?: string };

/** A finished upload with its file record, as the finishing transaction leaves them; nothing is put into S3. */
export async function addStoredFile(database: Database, wishes: FileWishes = {}): Promise<NewFile> {
  const { createdAt, ...given } = wishes;
  const fileId = given.fileId ?? randomUUID();
  const file: NewFile = {
    ...{ fileId, owner: 'public', objectKey: `uploads/public/2026/01/01/${fileId}`, bytes: 10 },
    ...{ declaredType: null, detectedType: null, fileName: null, thumbnailsPending: false },
    ...given,
  };
  await database.transaction(async (trx) => {
    await trx
      .insertInto('uploads')
      .values({
        ...{ id: fileId, owner: file.owner, object_key: file.objectKey, protocol: 'tus', state: 'finished' },
        ...{ length_bytes: file.bytes, offset_bytes: file.bytes, part_bytes: 1000, metadata: null },
        ...{ s3_upload_id: null, writer: null, detected_type: file.detectedType, concat_role: null },
        expires_at: new Date(Date.now() + 3_600_000),
      })
      .execute();
    await insertFile(trx, file);
    if (createdAt !== undefined) {
      await trx.updateTable('files').set({ created_at: createdAt }).where('id', '=', fileId).execute();
    }
  });
  return file;
}
