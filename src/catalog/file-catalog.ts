import { type RawBuilder, sql } from 'kysely';
import { RelayError } from '../errors.ts';
import type { Database, Trx } from './database.ts';
import { type FilePage, type ListedFiles, listFiles, SEARCHED_FILES } from './file-list.ts';
import { selectFiles, toFileRecord } from './file-rows.ts';
import { fromNow } from './from-now.ts';
import { thumbnailKeys } from './thumbnail-keys.ts';

/** A stored file, in the program's words. */
export interface FileRecord {
  /** The upload's id. */
  readonly fileId: string;
  readonly owner: string;
  readonly objectKey: string;
  readonly bytes: number;
  /** The client's word. */
  readonly declaredType: string | null;
  /** What the first bytes say. */
  readonly detectedType: string | null;
  readonly fileName: string | null;
  /** Pixels, upright; null for what is not an image, or not looked at yet. */
  readonly width: number | null;
  readonly height: number | null;
  /** A sentence for the user when processing failed. */
  readonly problem: string | null;
  readonly thumbnailsPending: boolean;
  readonly createdAt: Date;
  /** Smallest first. */
  readonly variants: readonly FileVariant[];
}

export interface FileVariant {
  /** Pixels of the square that it fits into. */
  readonly size: number;
  readonly objectKey: string;
  readonly bytes: number;
  readonly width: number;
  readonly height: number;
}

export type NewFile = Pick<
  FileRecord,
  'fileId' | 'owner' | 'objectKey' | 'bytes' | 'declaredType' | 'detectedType' | 'fileName' | 'thumbnailsPending'
>;

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/**
 * Adds the record of a finished upload. Part of the finishing transaction: a second record of the same upload is an
 * error that undoes it.
 */
export async function insertFile(trx: Trx, file: NewFile): Promise<void> {
  await trx
    .insertInto('files')
    .values({
      id: file.fileId,
      owner: file.owner,
      object_key: file.objectKey,
      bytes: file.bytes,
      declared_type: file.declaredType,
      detected_type: file.detectedType,
      file_name: file.fileName,
      thumbnails_pending: file.thumbnailsPending,
    })
    .execute();
}

/** The same as a CTE, for the statement whose CTE `moved (id, …)` finishes the upload. */
export function insertMovedFile(file: NewFile): RawBuilder<unknown> {
  return sql`filed AS (
      INSERT INTO files (id, owner, object_key, bytes, declared_type, detected_type, file_name, thumbnails_pending)
      SELECT id, ${file.owner}, ${file.objectKey}, ${file.bytes}::bigint, ${file.declaredType}, ${file.detectedType},
        ${file.fileName}, ${file.thumbnailsPending}::boolean FROM moved
    )`;
}

export class FileCatalog {
  readonly #database: Database;
  readonly #recheckSecs: number;
  readonly #searchedFiles: number;

  /**
   * @param options.discardRecheckSecs `DISCARD_RECHECK_SECS` of the design: when a late request can be no more
   * @param options.searchedFiles most files that one request for a list looks at
   */
  constructor(database: Database, options: { discardRecheckSecs?: number; searchedFiles?: number } = {}) {
    this.#database = database;
    this.#recheckSecs = options.discardRecheckSecs ?? 3_000;
    this.#searchedFiles = options.searchedFiles ?? SEARCHED_FILES;
  }

  /** @throws RelayError 400 `invalid_cursor` when the cursor is none of ours, or of another order */
  listFiles(page: FilePage): Promise<ListedFiles> {
    return listFiles(this.#database.db, page, this.#searchedFiles);
  }

  /** @returns null when there is none, also for what is no id at all */
  async findFile(fileId: string): Promise<FileRecord | null> {
    if (!UUID.test(fileId)) return null;
    const row = await selectFiles(this.#database.db).where('files.id', '=', fileId).executeTakeFirst();
    return row === undefined ? null : toFileRecord(row);
  }

  /** Those of them that there are. */
  async findFiles(fileIds: readonly string[]): Promise<FileRecord[]> {
    const uuids = fileIds.filter((fileId) => UUID.test(fileId));
    if (uuids.length === 0) return [];
    const rows = await selectFiles(this.#database.db).where('files.id', 'in', uuids).execute();
    return rows.map(toFileRecord);
  }

  /** @throws RelayError 404 `file_not_found` */
  async getFile(fileId: string): Promise<FileRecord> {
    const file = await this.findFile(fileId);
    if (file === null) throw new RelayError('file_not_found', 404, `there is no file ${fileId}`);
    return file;
  }

  /**
   * Records what the thumbnail job made; a second time replaces the first.
   *
   * @returns false when the file has been deleted meanwhile: its thumbnails are then discards, committed with the look
   */
  async setThumbnails(
    fileId: string,
    made: { width: number; height: number; variants: readonly FileVariant[] },
  ): Promise<boolean> {
    return this.#database.transaction(async (trx) => {
      await lockUpload(trx, fileId);
      const updated = await trx
        .updateTable('files')
        .set({ width: made.width, height: made.height, problem: null, thumbnails_pending: false })
        .where('id', '=', fileId)
        .returning('id')
        .executeTakeFirst();
      if (updated === undefined) {
        const keys = made.variants.map((variant) => variant.objectKey);
        await this.#insertDiscards(trx, fileId, keys);
        return false;
      }
      await trx.deleteFrom('file_variants').where('file_id', '=', fileId).execute();
      if (made.variants.length > 0) {
        await trx
          .insertInto('file_variants')
          .values(made.variants.map((it) => toVariantRow(fileId, it)))
          .execute();
      }
      return true;
    });
  }

  /**
   * For an earlier try that may have stored thumbnails and died before it could say so, when the file has been deleted
   * since: makes discards of them. Does nothing while the file is there.
   */
  async discardOrphanedThumbnails(fileId: string): Promise<void> {
    await this.#database.transaction(async (trx) => {
      await lockUpload(trx, fileId);
      const upload = await trx
        .selectFrom('uploads')
        .leftJoin('files', 'files.id', 'uploads.id')
        .select('uploads.object_key')
        .where('uploads.id', '=', fileId)
        .where('files.id', 'is', null)
        .executeTakeFirst();
      if (upload === undefined) return;
      await this.#insertDiscards(trx, fileId, thumbnailKeys(upload.object_key));
    });
  }

  /**
   * Said before an image is decoded: whatever becomes of the process, and of this one, it counts as unfinished until
   * {@link endDecoding}, or thumbnails or a problem, say otherwise.
   *
   * @returns how many are unfinished with this one; null when nobody waits for thumbnails any more
   */
  async beginDecoding(fileId: string): Promise<number | null> {
    const updated = await this.#database.db
      .updateTable('files')
      .set({ unfinished_decodings: sql`unfinished_decodings + 1` })
      .where('id', '=', fileId)
      .where('thumbnails_pending', '=', true)
      .returning('unfinished_decodings')
      .executeTakeFirst();
    return updated?.unfinished_decodings ?? null;
  }

  /** It came to an end that says nothing against the image. */
  async endDecoding(fileId: string): Promise<void> {
    await this.#database.db
      .updateTable('files')
      .set({ unfinished_decodings: sql`greatest(unfinished_decodings - 1, 0)` })
      .where('id', '=', fileId)
      .execute();
  }

  /**
   * Records why there are no thumbnails, for the user to read.
   *
   * @returns false when the file has been deleted meanwhile, or nobody waits for thumbnails any more: what has been
   *   made or said before stays
   */
  async setProblem(fileId: string, sentence: string): Promise<boolean> {
    const updated = await this.#database.db
      .updateTable('files')
      .set({ problem: sentence, thumbnails_pending: false })
      .where('id', '=', fileId)
      .where('thumbnails_pending', '=', true)
      .returning('id')
      .executeTakeFirst();
    return updated !== undefined;
  }

  async #insertDiscards(trx: Trx, uploadId: string, objectKeys: readonly string[]): Promise<void> {
    if (objectKeys.length === 0) return;
    const recheckAt = fromNow(this.#recheckSecs);
    await trx
      .insertInto('discards')
      .values(
        objectKeys.map((key) => ({ upload_id: uploadId, object_key: key, s3_upload_id: null, recheck_at: recheckAt })),
      )
      .execute();
  }
}

/**
 * Whoever deletes a file holds its upload's row. With the same lock, thumbnails are recorded either before that, and are
 * discarded with the file, or after it, when there is no file any more and who made them is told so.
 */
async function lockUpload(trx: Trx, uploadId: string): Promise<void> {
  await trx.selectFrom('uploads').select('id').where('id', '=', uploadId).forShare().execute();
}

function toVariantRow(fileId: string, variant: FileVariant) {
  return {
    file_id: fileId,
    size: variant.size,
    object_key: variant.objectKey,
    bytes: variant.bytes,
    width: variant.width,
    height: variant.height,
  };
}
