/** The bytes of objects and parts: received into a file, copied, or opened for reading. */
import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import type { ByteRange } from './byte-range.ts';
import { type ChecksumAlgorithm, startChecksum } from './checksums.ts';
import type { StoredObject } from './object-index.ts';
import type { FileBody, FilePiece } from './reply.ts';
import type { ReceivedBody } from './request-body.ts';
import type { S3Request } from './s3-request.ts';
import { contentName, type Store } from './store.ts';

const COPY_BYTES = 256 * 1024;

/** Puts a file that is complete into the index. @param file null: no bytes */
export type CommitFile<T> = (received: ReceivedBody, file: string | null) => T;

/**
 * Receives the request's body into a file of its own.
 *
 * @param wanted a checksum to compute although the client names none
 * @param commit makes the file part of the index; when it throws, the file goes
 */
export async function receiveFile<T>(
  request: S3Request,
  wanted: ChecksumAlgorithm | null,
  commit: CommitFile<T>,
): Promise<T> {
  const incoming = request.store.files.create();
  let received: ReceivedBody;
  try {
    received = await request.body.receive((bytes) => incoming.write(bytes), wanted);
    if (received.bytes > 0) await incoming.finish();
  } catch (error) {
    await incoming.discard();
    throw error;
  }
  if (received.bytes === 0) return commit(received, null);
  return commitFile(request.store, incoming.path, (file) => commit(received, file));
}

/** Copies bytes of the store into a file of their own; as {@link receiveFile}. Releases `source`. */
export async function copyFile<T>(
  store: Store,
  source: FileBody,
  wanted: ChecksumAlgorithm | null,
  commit: CommitFile<T>,
): Promise<T> {
  const incoming = store.files.create();
  const md5 = createHash('md5');
  const running = wanted === null ? null : startChecksum(wanted);
  try {
    for (const piece of source.pieces) {
      await readPiece(piece, async (bytes) => {
        md5.update(bytes);
        running?.update(bytes);
        await incoming.write(bytes);
      });
    }
    if (source.bytes > 0) await incoming.finish();
  } catch (error) {
    await incoming.discard();
    throw error;
  } finally {
    source.release();
  }
  const checksum = wanted === null || running === null ? null : { algorithm: wanted, value: running.digest() };
  const received = { bytes: source.bytes, md5: md5.digest('hex'), checksum };
  if (source.bytes === 0) return commit(received, null);
  return commitFile(store, incoming.path, (file) => commit(received, file));
}

/** Holds the object's bytes until they are released, also when the object is replaced meanwhile. */
export function openContent(store: Store, object: StoredObject, range: ByteRange | null): FileBody {
  const { first, last } = range ?? { first: 0, last: object.bytes - 1 };
  return {
    bytes: last - first + 1,
    pieces: piecesOf(store, object, first, last),
    release: store.files.hold(contentName(object.content)),
  };
}

function piecesOf(store: Store, { content }: StoredObject, first: number, last: number): FilePiece[] {
  if (content.kind === 'empty' || last < first) return [];
  if (content.kind === 'file') {
    return [{ path: store.files.pathOf(content.file), start: first, bytes: last - first + 1 }];
  }
  return store.uploads.placedParts(content.uploadId, first, last).flatMap((part) => {
    if (part.file === null) return [];
    const start = Math.max(first - part.start, 0);
    const end = Math.min(last + 1 - part.start, part.bytes);
    return [{ path: store.files.pathOf(part.file), start, bytes: end - start }];
  });
}

function commitFile<T>(store: Store, writtenPath: string, commit: (file: string) => T): T {
  const file = store.files.keep(writtenPath);
  try {
    return commit(file);
  } catch (error) {
    store.files.remove(file, [file]);
    throw error;
  }
}

async function readPiece(piece: FilePiece, take: (bytes: Buffer) => Promise<void>): Promise<void> {
  const handle = await open(piece.path);
  try {
    let at = 0;
    while (at < piece.bytes) {
      // A buffer of its own each time: the file that is written keeps it until the disk has it.
      const buffer = Buffer.allocUnsafeSlow(Math.min(COPY_BYTES, piece.bytes - at));
      const { bytesRead } = await handle.read(buffer, 0, buffer.length, piece.start + at);
      if (bytesRead === 0) throw new Error('a file of the store is shorter than the index says');
      await take(buffer.subarray(0, bytesRead));
      at += bytesRead;
    }
  } finally {
    await handle.close();
  }
}
