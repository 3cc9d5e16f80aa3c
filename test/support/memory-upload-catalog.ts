/** The statements of src/catalog/upload-catalog.ts on tables in memory. The contract test holds the two together. */
import type { Db, Trx } from '../../src/catalog/database.ts';
import type { NewFile } from '../../src/catalog/file-catalog.ts';
import type { CompletionTrouble } from '../../src/catalog/schema.ts';
import { thumbnailKeys } from '../../src/catalog/thumbnail-keys.ts';
import type {
  Claim,
  CommittedPart,
  EndedUpload,
  NewUpload,
  Step,
  TailSegment,
  UploadCatalogPort,
  UploadCatalogSettings,
} from '../../src/catalog/upload-catalog.ts';
import { type UploadRecord, WRITER_SILENCE_SECS } from '../../src/catalog/upload-record.ts';
import type { MemoryDatabase, MemoryTables, MemoryUpload } from './memory-database.ts';

const STUCK_AFTER_MS = 60_000;

export class MemoryUploadCatalog implements UploadCatalogPort {
  readonly #database: MemoryDatabase;
  readonly #settings: UploadCatalogSettings;

  constructor(database: MemoryDatabase, settings: UploadCatalogSettings) {
    this.#database = database;
    this.#settings = settings;
  }

  get #now(): number {
    return this.#database.server.now();
  }

  get #expiry(): number {
    return this.#now + this.#settings.uploadExpiresSecs * 1000;
  }

  get #recheck(): number {
    return this.#now + this.#settings.discardRecheckSecs * 1000;
  }

  create(upload: NewUpload, db: Db = this.#database.db): Promise<UploadRecord> {
    return this.#database.write(db, 'create', (tables) => {
      if (tables.uploads.has(upload.uploadId)) throw new Error('duplicate key value violates "uploads_pkey"');
      const row: MemoryUpload = {
        ...upload,
        offsetBytes: 0,
        s3UploadId: null,
        sentUpTo: 0,
        contestedTo: 0,
        dirty: false,
        detectedType: null,
        createdAtMs: this.#now,
        expiresAtMs: this.#expiry,
        writerSeenAtMs: upload.writer === null ? null : this.#now,
        finishedAtMs: null,
        endedAtMs: null,
        trouble: null,
      };
      this.#put(tables, row);
      return this.#record(row);
    });
  }

  find(uploadId: string): Promise<UploadRecord | null> {
    return this.#database.read('find', (tables) => {
      const row = tables.uploads.get(uploadId);
      return row === undefined ? null : this.#record(row);
    });
  }

  claim(claim: Claim): Promise<UploadRecord | null> {
    return this.#database.write(this.#database.db, 'claim', (tables) => {
      const old = tables.uploads.get(claim.uploadId);
      if (old === undefined || !this.#canClaim(old, claim)) return null;
      const takesOver = old.writer !== null;
      const takesFreshKey = takesOver && old.s3UploadId === null;
      if (takesFreshKey) this.#discard(tables, old.uploadId, old.objectKey, { scope: 'key', recheck: true });
      const row: MemoryUpload = {
        ...old,
        writer: claim.token,
        writerSeenAtMs: this.#now,
        expiresAtMs: this.#expiry,
        // What is the offset already is written by the commit that ends the upload.
        lengthBytes:
          old.lengthBytes ?? (claim.declaredLengthBytes === old.offsetBytes ? null : claim.declaredLengthBytes),
        dirty: old.dirty || takesOver,
        contestedTo: takesOver ? Math.max(old.contestedTo, old.sentUpTo) : old.contestedTo,
        sentUpTo:
          old.s3UploadId === null
            ? old.sentUpTo
            : Math.max(old.sentUpTo, Math.floor(old.offsetBytes / old.partBytes) + claim.partsAhead),
        objectKey: takesFreshKey ? old.objectKey.replace(/[^/]+$/, claim.freshKeyName) : old.objectKey,
      };
      this.#put(tables, row);
      const claimed = this.#record(row);
      return { ...claimed, lengthBytes: claimed.lengthBytes ?? claim.declaredLengthBytes };
    });
  }

  #canClaim(row: MemoryUpload, claim: Claim): boolean {
    const declared = claim.declaredLengthBytes;
    const lengthFits =
      declared === null ||
      row.lengthBytes === declared ||
      (row.lengthBytes === null && declared >= row.offsetBytes && declared <= row.partBytes * claim.maxParts);
    const silence = claim.onlyAfterSilenceSecs;
    const isFree =
      row.writer === null || silence === null || (row.writerSeenAtMs ?? this.#now) <= this.#now - silence * 1000;
    return (
      row.offsetBytes === claim.offsetBytes &&
      row.state === 'open' &&
      row.expiresAtMs > this.#now &&
      lengthFits &&
      isFree
    );
  }

  findTail(uploadId: string): Promise<TailSegment[]> {
    return this.#database.read('findTail', (tables) => [...(tables.tails.get(uploadId) ?? [])]);
  }

  findParts(uploadId: string): Promise<CommittedPart[]> {
    return this.#database.read('findParts', (tables) => [...(tables.parts.get(uploadId) ?? [])]);
  }

  look(uploadId: string, token: string): Promise<boolean> {
    return this.#update('look', uploadId, (row) => row.writer === token && row.state === 'open', this.#seen);
  }

  commitMultipart(step: { uploadId: string; token: string; s3UploadId: string; sentUpTo: number }): Promise<boolean> {
    return this.#update(
      'commitMultipart',
      step.uploadId,
      (row) => row.writer === step.token && row.state === 'open' && row.s3UploadId === null,
      (row) => ({
        ...this.#seen(),
        s3UploadId: step.s3UploadId,
        sentUpTo: Math.max(row.sentUpTo, step.sentUpTo),
      }),
    );
  }

  commitPart(step: Step & { part: CommittedPart; sentUpTo: number; detectedType: string | null }): Promise<boolean> {
    return this.#update(
      'commitPart',
      step.uploadId,
      (row) => isOwnedAt(row, step),
      (row, tables) => {
        addPart(tables, row.uploadId, step.part);
        this.#discardTail(tables, row);
        return {
          ...this.#seen(),
          offsetBytes: step.toBytes,
          sentUpTo: Math.max(row.sentUpTo, step.sentUpTo),
          detectedType: row.detectedType ?? step.detectedType,
        };
      },
    );
  }

  commitTail(step: Step & { segment: TailSegment; replacesFrom: number | null; cleanEnd: boolean }): Promise<boolean> {
    return this.#update(
      'commitTail',
      step.uploadId,
      (row) => isOwnedAt(row, step),
      (row, tables) => {
        if (step.replacesFrom !== null) this.#discardTail(tables, row, step.replacesFrom);
        addSegment(tables, row.uploadId, step.segment);
        return {
          ...this.#seen(),
          offsetBytes: step.toBytes,
          ...(step.cleanEnd ? letGo(row, step.toBytes) : {}),
        };
      },
    );
  }

  release(step: { uploadId: string; token: string }): Promise<boolean> {
    return this.#update(
      'release',
      step.uploadId,
      (row) => row.writer === step.token && row.state === 'open',
      (row) => letGo(row, row.offsetBytes),
    );
  }

  resign(step: { uploadId: string; token: string }): Promise<boolean> {
    return this.#update(
      'resign',
      step.uploadId,
      (row) => row.writer === step.token && row.state === 'open',
      () => ({ writerSeenAtMs: 0 }),
    );
  }

  commitLast(
    trx: Trx,
    step: Step & { part: CommittedPart | null; unclean: boolean; detectedType: string | null },
  ): Promise<boolean> {
    return this.#update(
      'commitLast',
      step.uploadId,
      (row) => isOwnedAt(row, step) && (row.lengthBytes ?? step.toBytes) === step.toBytes,
      (row, tables) => {
        if (step.part !== null) addPart(tables, row.uploadId, step.part);
        const dirty = row.dirty || step.unclean;
        return {
          ...this.#seen(),
          offsetBytes: step.toBytes,
          lengthBytes: step.toBytes,
          state: 'completing',
          writer: null,
          dirty,
          detectedType: row.detectedType ?? step.detectedType,
        };
      },
      trx,
    );
  }

  finishSingle(
    handle: Trx | Db,
    step: Step & { unclean: boolean; detectedType: string | null; file: NewFile | null },
  ): Promise<UploadRecord | null> {
    return this.#database.write(handle, 'finishSingle', (tables) => {
      const old = tables.uploads.get(step.uploadId);
      if (old === undefined || !isOwnedAt(old, step)) return null;
      if ((old.lengthBytes ?? step.toBytes) !== step.toBytes || old.s3UploadId !== null) return null;
      const row: MemoryUpload = {
        ...old,
        offsetBytes: step.toBytes,
        lengthBytes: step.toBytes,
        state: 'finished',
        finishedAtMs: this.#now,
        writer: null,
        dirty: old.dirty || step.unclean,
        detectedType: old.detectedType ?? step.detectedType,
      };
      this.#put(tables, row);
      this.#discardTail(tables, row);
      this.#discardLeftovers(tables, row);
      if (step.file !== null) insertMemoryFile(tables, step.file);
      return this.#record(row);
    });
  }

  finishCompleting(trx: Trx, uploadId: string, unclean: boolean): Promise<UploadRecord | null> {
    return this.#database.write(trx, 'finishCompleting', (tables) => {
      const old = tables.uploads.get(uploadId);
      if (old === undefined || old.state !== 'completing') return null;
      const row: MemoryUpload = {
        ...old,
        state: 'finished',
        finishedAtMs: this.#now,
        dirty: old.dirty || unclean,
      };
      this.#put(tables, row);
      this.#discardTail(tables, row);
      for (const { copyKey } of tables.parts.get(uploadId) ?? []) {
        if (copyKey !== null) this.#discard(tables, uploadId, copyKey, { recheck: true });
      }
      tables.parts.delete(uploadId);
      this.#discardLeftovers(tables, row);
      return this.#record(row);
    });
  }

  async noteCompletionTrouble(uploadId: string, trouble: CompletionTrouble): Promise<number | null> {
    let secs: number | null = null;
    await this.#update(
      'noteCompletionTrouble',
      uploadId,
      (row) => row.state === 'completing',
      (row) => {
        const since = row.trouble?.kind === trouble ? row.trouble.sinceMs : this.#now;
        secs = (this.#now - since) / 1000;
        return { trouble: { kind: trouble, sinceMs: since } };
      },
    );
    return secs;
  }

  giveUpCompleting(uploadId: string, state: 'lost' | 'failed'): Promise<boolean> {
    return this.#endWhere(uploadId, state, (row) => (row.state === 'completing' ? { late: true } : null)).then(
      (ended) => ended !== null,
    );
  }

  giveUpOpen(step: { uploadId: string; token: string }): Promise<boolean> {
    const isOwn = (row: MemoryUpload) => row.writer === step.token && row.state === 'open';
    return this.#endWhere(step.uploadId, 'lost', (row) => (isOwn(row) ? { late: true } : null)).then(
      (ended) => ended !== null,
    );
  }

  findStuckCompletions(limit: number): Promise<string[]> {
    return this.#database.read('findStuckCompletions', (tables) =>
      [...tables.uploads.values()]
        .filter(
          (row) => row.state === 'completing' && (row.writerSeenAtMs ?? row.createdAtMs) < this.#now - STUCK_AFTER_MS,
        )
        .sort((a, b) => a.expiresAtMs - b.expiresAtMs)
        .slice(0, limit)
        .map((row) => row.uploadId),
    );
  }

  terminate(uploadId: string): Promise<EndedUpload | null> {
    return this.#endWhere(uploadId, 'terminated', (row) =>
      row.state === 'open' || row.state === 'completing' || row.state === 'finished'
        ? { late: row.writer !== null || row.dirty || row.state === 'completing' }
        : null,
    );
  }

  /** @param mayEnd null: the row is not such as the caller believes */
  async #endWhere(
    uploadId: string,
    state: EndState,
    mayEnd: (row: MemoryUpload) => { late: boolean } | null,
  ): Promise<EndedUpload | null> {
    const ended = await this.#database.transaction((trx) =>
      this.#database.write(trx, state, (tables) => {
        const row = tables.uploads.get(uploadId);
        const ending = row === undefined ? null : mayEnd(row);
        return row === undefined || ending === null ? null : this.#end(tables, row, state, ending.late);
      }),
    );
    if (ended !== null) this.#settings.onEnded?.(ended);
    return ended;
  }

  #end(tables: MemoryTables, row: MemoryUpload, state: EndState, lateRequests: boolean): EndedUpload {
    const { uploadId, objectKey, s3UploadId } = row;
    this.#put(tables, { ...row, state, writer: null, endedAtMs: this.#now });
    for (const segment of tables.tails.get(uploadId) ?? []) {
      this.#discard(tables, uploadId, segment.objectKey, { recheck: lateRequests });
    }
    for (const { copyKey } of tables.parts.get(uploadId) ?? []) {
      if (copyKey !== null) this.#discard(tables, uploadId, copyKey, { recheck: lateRequests });
    }
    tables.tails.delete(uploadId);
    tables.parts.delete(uploadId);
    this.#discard(tables, uploadId, objectKey, {
      scope: lateRequests ? 'key' : 'object',
      s3UploadId: row.state === 'finished' ? null : s3UploadId,
      recheck: lateRequests,
    });
    const hadFile = tables.files.delete(uploadId);
    // Of files that never had a job, as all are here.
    const thumbnails = hadFile ? thumbnailKeys(objectKey) : [];
    for (const key of thumbnails) this.#discard(tables, uploadId, key, { recheck: lateRequests });
    return { uploadId, state, hadFile };
  }

  /** One conditional UPDATE. */
  #update(
    label: string,
    uploadId: string,
    applies: (row: MemoryUpload) => boolean,
    change: (row: MemoryUpload, tables: MemoryTables) => Partial<MemoryUpload>,
    handle: Trx | Db = this.#database.db,
  ): Promise<boolean> {
    return this.#database.write(handle, label, (tables) => {
      const row = tables.uploads.get(uploadId);
      if (row === undefined || !applies(row)) return false;
      this.#put(tables, { ...row, ...change(row, tables) });
      return true;
    });
  }

  readonly #seen = (): Partial<MemoryUpload> => ({ writerSeenAtMs: this.#now, expiresAtMs: this.#expiry });

  #put(tables: MemoryTables, row: MemoryUpload): void {
    if (row.lengthBytes !== null && row.offsetBytes > row.lengthBytes) {
      throw new Error('new row for "uploads" violates a check: offset_bytes <= length_bytes');
    }
    for (const other of tables.uploads.values()) {
      if (other.objectKey === row.objectKey && other.uploadId !== row.uploadId) {
        throw new Error('duplicate key value violates "uploads_object_key_key"');
      }
    }
    tables.uploads.set(row.uploadId, row);
  }

  #discardTail(tables: MemoryTables, row: MemoryUpload, from = 0): void {
    const tail = tables.tails.get(row.uploadId) ?? [];
    for (const segment of tail.filter(({ sequence }) => sequence >= from)) {
      this.#discard(tables, row.uploadId, segment.objectKey, { recheck: row.dirty });
    }
    const kept = tail.filter(({ sequence }) => sequence < from);
    if (kept.length > 0) tables.tails.set(row.uploadId, kept);
    else tables.tails.delete(row.uploadId);
  }

  #discardLeftovers(tables: MemoryTables, row: MemoryUpload): void {
    if (row.dirty) this.#discard(tables, row.uploadId, row.objectKey, { scope: 'leftovers', recheck: true });
  }

  #discard(
    tables: MemoryTables,
    uploadId: string,
    objectKey: string,
    what: { recheck: boolean; scope?: 'object' | 'key' | 'leftovers'; s3UploadId?: string | null },
  ): void {
    tables.serial += 1;
    tables.discards.set(tables.serial, {
      discardId: tables.serial,
      uploadId,
      objectKey,
      scope: what.scope ?? 'object',
      s3UploadId: what.s3UploadId ?? null,
      deletedAtMs: null,
      recheckAtMs: what.recheck ? this.#recheck : null,
      tries: 0,
      dueAtMs: 0,
    });
  }

  #record(row: MemoryUpload): UploadRecord {
    const {
      createdAtMs,
      expiresAtMs,
      writerSeenAtMs,
      finishedAtMs: _finished,
      endedAtMs: _ended,
      trouble: _trouble,
      ...same
    } = row;
    return {
      ...same,
      createdAt: new Date(createdAtMs),
      expiresAt: new Date(expiresAtMs),
      writerSilent: isWriterSilent(row.writer, writerSeenAtMs, this.#now),
      overdue: row.state === 'open' && expiresAtMs <= this.#now,
    };
  }
}

/** As `writer_silent` in src/catalog/upload-record.ts. */
export function isWriterSilent(writer: string | null, seenAtMs: number | null, nowMs: number): boolean {
  return writer === null || (seenAtMs ?? nowMs) <= nowMs - WRITER_SILENCE_SECS * 1_000;
}

type EndState = 'terminated' | 'expired' | 'lost' | 'failed';

function isOwnedAt(row: MemoryUpload, step: Step): boolean {
  return row.writer === step.token && row.state === 'open' && row.offsetBytes === step.fromBytes;
}

/** A clean end: nothing that this writer sent can still arrive. */
function letGo(row: MemoryUpload, offsetBytes: number): Partial<MemoryUpload> {
  const sentUpTo = row.s3UploadId === null ? row.sentUpTo : Math.floor(offsetBytes / row.partBytes);
  return { writer: null, sentUpTo };
}

function addPart(tables: MemoryTables, uploadId: string, part: CommittedPart): void {
  const parts = tables.parts.get(uploadId) ?? [];
  if (parts.some((it) => it.partNumber === part.partNumber)) {
    throw new Error('duplicate key value violates "upload_parts_pkey"');
  }
  tables.parts.set(
    uploadId,
    [...parts, { ...part }].sort((a, b) => a.partNumber - b.partNumber),
  );
}

function addSegment(tables: MemoryTables, uploadId: string, segment: TailSegment): void {
  const tail = tables.tails.get(uploadId) ?? [];
  if (tail.some((it) => it.sequence === segment.sequence)) {
    throw new Error('duplicate key value violates "upload_tails_pkey"');
  }
  tables.tails.set(
    uploadId,
    [...tail, { ...segment }].sort((a, b) => a.sequence - b.sequence),
  );
}

/** A second record of the same upload is an error, as the primary key makes it one. */
export function insertMemoryFile(tables: MemoryTables, file: NewFile): void {
  if (tables.files.has(file.fileId)) throw new Error('duplicate key value violates "files_pkey"');
  tables.files.set(file.fileId, { objectKey: file.objectKey, bytes: file.bytes });
}
