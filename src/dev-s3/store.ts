/** Index and files together: each change is one commit of the index, and a file goes only after the commit without it. */
import { resolve } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { makeFolder } from '../make-folder.ts';
import { BucketIndex } from './bucket-index.ts';
import { DevS3Error } from './dev-s3-errors.ts';
import { openIndex, transaction } from './index-database.ts';
import { ObjectFiles } from './object-files.ts';
import { type Content, ObjectIndex, type StoredObject } from './object-index.ts';
import { type MultipartUpload, type StoredPart, type UploadAddress, UploadIndex } from './upload-index.ts';

export interface Store {
  readonly db: DatabaseSync;
  readonly buckets: BucketIndex;
  readonly objects: ObjectIndex;
  readonly uploads: UploadIndex;
  readonly files: ObjectFiles;
}

/** How long a Complete may be repeated. */
const COMPLETION_KEPT_MS = 86_400_000;

/** Opens the data folder, makes it when it is missing, and removes what a kill left behind. */
export function openStore(dataDir: string, now: Date): Store {
  const folder = resolve(dataDir);
  makeFolder(folder);
  const db = openIndex(folder); // first: its lock makes the folder ours
  try {
    const store: Store = {
      db,
      buckets: new BucketIndex(db),
      objects: new ObjectIndex(db),
      uploads: new UploadIndex(db),
      files: new ObjectFiles(folder),
    };
    store.uploads.forgetCompletions(now.getTime() - COMPLETION_KEPT_MS);
    store.files.sweep(new Set([...store.objects.files(), ...store.uploads.files()]));
    return store;
  } catch (error) {
    db.close();
    throw error;
  }
}

/** No request may be running any more. */
export async function closeStore(store: Store): Promise<void> {
  await store.files.settled();
  store.db.close();
}

/**
 * Puts an object in the place of whatever has its key.
 *
 * @param check throws when the object may not be put there
 */
export function storeObject(
  store: Store,
  bucket: string,
  object: StoredObject,
  check?: (existing: StoredObject | null) => void,
): void {
  const freed = transaction(store.db, () => {
    store.buckets.get(bucket); // it may have gone while the body was coming in
    const existing = store.objects.find(bucket, object.key);
    check?.(existing);
    store.objects.put(bucket, object);
    return existing === null || isSameContent(existing.content, object.content)
      ? null
      : release(store, existing.content);
  });
  removeFreed(store, freed);
}

/** Keys that are not there count as removed. @param check throws for an object that may not go */
export function removeObjects(
  store: Store,
  bucket: string,
  keys: readonly string[],
  check?: (existing: StoredObject | null) => void,
): void {
  const freed = transaction(store.db, () =>
    keys.map((key) => {
      const existing = store.objects.find(bucket, key);
      check?.(existing);
      if (existing === null) return null;
      store.objects.remove(bucket, key);
      return release(store, existing.content);
    }),
  );
  for (const one of freed) removeFreed(store, one);
}

/** Ends an upload that did not become an object. */
export function removeUpload(store: Store, uploadId: string): void {
  const files = transaction(store.db, () => {
    store.uploads.remove(uploadId);
    return store.uploads.removeParts(uploadId);
  });
  store.files.remove(uploadId, files);
}

/** Its open uploads go with it, as on S3. @throws DevS3Error NoSuchBucket, BucketNotEmpty */
export function removeBucket(store: Store, name: string): void {
  store.buckets.get(name);
  if (store.objects.hasAny(name)) throw new DevS3Error('BucketNotEmpty', undefined, { details: { BucketName: name } });
  for (const uploadId of store.uploads.ofBucket(name)) removeUpload(store, uploadId);
  store.buckets.remove(name);
}

/** Stores a part of an upload that is still open, in the place of the one with its number. @throws DevS3Error NoSuchUpload */
export function storePart(store: Store, upload: MultipartUpload, part: StoredPart): void {
  const replaced = transaction(store.db, () => {
    store.uploads.get(upload); // it may have ended while the body was coming in
    const existing = store.uploads.findPart(upload.id, part.number);
    store.uploads.putPart(upload.id, part);
    return existing?.file ?? null;
  });
  if (replaced !== null) store.files.remove(replaced, [replaced]);
}

/**
 * Makes an object of an upload's parts, in one commit. Nothing is copied.
 *
 * @param decide what the object is, from the upload and its parts as they are at that moment; throws when it cannot be
 */
export function completeUpload(
  store: Store,
  upload: UploadAddress,
  now: Date,
  decide: (upload: MultipartUpload, existing: StoredObject | null) => CompletedUpload,
): StoredObject {
  const { object, freed } = transaction(store.db, () => {
    const open = store.uploads.get(upload);
    const existing = store.objects.find(open.bucket, open.key);
    const { object, leftOut } = decide(open, existing);
    for (const part of leftOut) store.uploads.removePart(open.id, part.number);
    store.uploads.placeParts(open.id);
    store.uploads.remove(open.id);
    store.uploads.recordCompletion(open.id, { ...upload, etag: object.etag }, now.getTime());
    store.objects.put(open.bucket, object);
    const unused = leftOut.flatMap((part) => (part.file === null ? [] : [{ name: part.file, files: [part.file] }]));
    return { object, freed: [...unused, existing === null ? null : release(store, existing.content)] };
  });
  for (const one of freed) removeFreed(store, one);
  return object;
}

export interface CompletedUpload {
  object: StoredObject;
  /** Parts that the object does not have: they go. */
  leftOut: readonly StoredPart[];
}

/** What a reader of it holds: see {@link ObjectFiles.hold}. */
export function contentName(content: Content): string {
  return content.kind === 'empty' ? '' : content.kind === 'file' ? content.file : content.uploadId;
}

interface Freed {
  name: string;
  files: string[];
}

function release(store: Store, content: Content): Freed | null {
  if (content.kind === 'empty') return null;
  const files = content.kind === 'file' ? [content.file] : store.uploads.removeParts(content.uploadId);
  return { name: contentName(content), files };
}

/** Only after the commit. */
function removeFreed(store: Store, freed: Freed | null): void {
  if (freed !== null) store.files.remove(freed.name, freed.files);
}

function isSameContent(a: Content, b: Content): boolean {
  return a.kind === b.kind && contentName(a) === contentName(b);
}
