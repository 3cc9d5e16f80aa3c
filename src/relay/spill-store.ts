/**
 * Files that part buffers spill into. Each is unlinked as soon as it is open: its space comes back when it is closed,
 * also when the process is killed.
 */
import { randomUUID } from 'node:crypto';
import { open, readdir, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { makeFolder } from '../make-folder.ts';
import { type DiskFigures, DiskRoom } from './disk-room.ts';

const NAME_START = 'tus-relay-spill-';
const STRAY_NAME = /^tus-relay-spill-[0-9a-f-]{36}$/;

/** After the disk was full, spilling is tried again when a file was closed, or after this long. */
const RETRY_AFTER_MS = 1_000;

/**
 * Of what all files may have, parts and merges get this share. The rest is for the beginnings of bodies, which would
 * stay in memory that no budget counts.
 */
const PARTS_SHARE = 3 / 4;

/** What we use of a FileHandle. */
export interface SpillHandle {
  writev(chunks: readonly Uint8Array[], position: number): Promise<{ bytesWritten: number }>;
  read(into: Uint8Array, offset: number, length: number, position: number): Promise<{ bytesRead: number }>;
  close(): Promise<void>;
}

/** The disk takes no more bytes, and does not say why. */
export class SpillSpaceError extends Error {
  override readonly name: string = 'SpillSpaceError';
}

/** Spill files have all that they may have: as good as a full disk, and no failure of it. */
export class SpillLimitError extends SpillSpaceError {
  override readonly name = 'SpillLimitError';
}

export interface SpillSettings {
  /** What all files together may have; null: what the disk leaves, see {@link DiskRoom}. */
  capBytes: number | null;
  /** Looked at when there is no cap; left out: the disk is filled to its end. */
  lookAtDisk?: () => Promise<DiskFigures>;
  /** Monotonic, in milliseconds. */
  now: () => number;
  /** Spilling failed: the buffer stays in memory. At most one call a second. */
  onFailure: (error: unknown) => void;
}

/** Makes the folder, removes what a kill between open and unlink has left there, and shows that it can be written. */
export async function openSpillStore(dir: string, settings: SpillSettings): Promise<SpillStore> {
  makeFolder(dir, 0o700);
  for (const name of await readdir(dir)) if (STRAY_NAME.test(name)) await unlinkIfThere(join(dir, name));
  const probe = await openUnlinked(dir);
  await probe.close();
  return new SpillStore(() => openUnlinked(dir), settings);
}

async function openUnlinked(dir: string): Promise<SpillHandle> {
  const path = join(dir, `${NAME_START}${randomUUID()}`);
  const handle = await open(path, 'wx+', 0o600);
  await unlinkIfThere(path);
  return handle;
}

/** Another process that starts on the same folder may have taken our name for a stray: the open file is not harmed. */
async function unlinkIfThere(path: string): Promise<void> {
  try {
    await unlink(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}

export class SpillStore {
  readonly #openFile: () => Promise<SpillHandle>;
  readonly #settings: SpillSettings;
  readonly #disk: DiskRoom | null;
  readonly #closing = new Set<Promise<void>>();
  #bytes = 0;
  #totalBytes = 0;
  #files = 0;
  #failures = 0;
  #refusals = 0;
  #fullSinceMs: number | null = null;
  #onSpace: () => void = () => {};

  constructor(openFile: () => Promise<SpillHandle>, settings: SpillSettings) {
    this.#openFile = openFile;
    this.#settings = settings;
    const { capBytes, lookAtDisk, now } = settings;
    this.#disk = capBytes === null && lookAtDisk !== undefined ? new DiskRoom(lookAtDisk, now) : null;
  }

  /** Bytes in open files now. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Bytes ever written. */
  get totalBytes(): number {
    return this.#totalBytes;
  }

  get files(): number {
    return this.#files;
  }

  get failures(): number {
    return this.#failures;
  }

  /** Writes that were not made because the files have all that they may have. */
  get refusals(): number {
    return this.#refusals;
  }

  /** What all files together may have, as of the latest look at the disk; null: nothing limits them. */
  get limitBytes(): number | null {
    return this.#settings.capBytes ?? (this.#disk === null ? null : this.#bytes + this.#disk.bytes);
  }

  /** Not full, as far as is known. */
  get hasRoom(): boolean {
    return this.#fullSinceMs === null || this.#settings.now() - this.#fullSinceMs >= RETRY_AFTER_MS;
  }

  /** Called whenever a file was closed. */
  set onSpace(listener: () => void) {
    this.#onSpace = listener;
  }

  /**
   * @param share of what all files may have: it does not grow beyond that
   * @throws whatever the file system says
   */
  async create(share = PARTS_SHARE): Promise<SpillFile> {
    const handle = await this.#openFile();
    this.#files += 1;
    return new SpillFile(handle, this, share);
  }

  /**
   * For SpillFile: counts bytes before they are written; {@link written} or {@link unwritten} follow.
   *
   * @returns a promise only when the disk has to be looked at
   * @throws SpillLimitError, also by rejecting
   */
  reserve(bytes: number, share: number): void | Promise<void> {
    const { capBytes } = this.#settings;
    const fits =
      capBytes === null
        ? (this.#disk?.reserve(bytes, this.#bytes, share) ?? true)
        : this.#bytes + bytes <= capBytes * share;
    return typeof fits === 'boolean' ? this.#count(bytes, fits) : fits.then((it) => this.#count(bytes, it));
  }

  #count(bytes: number, fits: boolean): void {
    if (!fits) {
      throw new SpillLimitError(`spill files: ${this.#bytes} bytes of ${this.limitBytes} in use, ${bytes} more wanted`);
    }
    this.#bytes += bytes;
  }

  /**
   * @param reservedBytes of them: the file grew by these
   * @param share that the file was created with: what is kept for others says nothing of the room for parts
   */
  written(bytes: number, reservedBytes: number, share: number): void {
    this.#disk?.written(reservedBytes);
    this.#totalBytes += bytes;
    if (share <= PARTS_SHARE) this.#fullSinceMs = null;
  }

  /** @param isCounted the file is still there, and these bytes are not in it */
  unwritten(reservedBytes: number, isCounted: boolean): void {
    this.#disk?.written(reservedBytes);
    if (isCounted) this.#bytes -= reservedBytes;
  }

  /** A buffer could not be spilled. */
  failed(error: unknown): void {
    const quiet = !this.hasRoom;
    if (error instanceof SpillLimitError) this.#refusals += 1;
    else this.#failures += 1;
    this.#fullSinceMs = this.#settings.now();
    if (!quiet) this.#settings.onFailure(error);
  }

  /** For SpillFile: its handle is being closed, and then so many bytes are free again. */
  closing(closed: Promise<void>, bytes: number): void {
    const done = closed
      // The descriptor is gone all the same.
      .catch((error: unknown) => this.#settings.onFailure(error))
      .then(() => {
        this.#closing.delete(done);
        this.#files -= 1;
        this.#bytes -= bytes;
        this.#fullSinceMs = null;
        this.#onSpace();
      });
    this.#closing.add(done);
  }

  /** Waits until every file that was given up is closed. */
  async settled(): Promise<void> {
    while (this.#closing.size > 0) await Promise.all(this.#closing);
  }
}

/** One unlinked file. Writes and reads say where: a write that failed half-way is simply written again. */
export class SpillFile {
  readonly #handle: SpillHandle;
  readonly #store: SpillStore;
  /** Bytes reserved in the store: the highest end of any write that was not given up. */
  #reserved = 0;
  readonly #share: number;
  #closed = false;

  constructor(handle: SpillHandle, store: SpillStore, share: number) {
    this.#handle = handle;
    this.#store = store;
    this.#share = share;
  }

  /** All of it or an error. @throws SpillLimitError, SpillSpaceError, ENOSPC and the like */
  async write(chunks: readonly Uint8Array[], bytes: number, position: number): Promise<void> {
    const growth = Math.max(0, position + bytes - this.#reserved);
    // At once: another write of this file may begin meanwhile.
    this.#reserved += growth;
    if (growth > 0) {
      try {
        const reserved = this.#store.reserve(growth, this.#share);
        if (reserved !== undefined) await reserved;
      } catch (error) {
        this.#reserved -= growth;
        throw error;
      }
    }
    try {
      await this.#writeAll(chunks, bytes, position);
    } catch (error) {
      // A closed file has given its reservation back as a whole.
      if (!this.#closed) this.#reserved -= growth;
      this.#store.unwritten(growth, !this.#closed);
      throw error;
    }
    this.#store.written(bytes, growth, this.#share);
  }

  async #writeAll(chunks: readonly Uint8Array[], bytes: number, position: number): Promise<void> {
    let rest = chunks;
    let written = 0;
    for (;;) {
      const { bytesWritten } = await this.#handle.writev(rest, position + written);
      written += bytesWritten;
      if (written >= bytes) return;
      if (bytesWritten === 0) throw new SpillSpaceError('the disk takes no more bytes');
      rest = withoutFirst(rest, bytesWritten);
    }
  }

  /** @throws when the file is shorter than that */
  async read(into: Uint8Array, position: number): Promise<void> {
    let filled = 0;
    while (filled < into.length) {
      const { bytesRead } = await this.#handle.read(into, filled, into.length - filled, position + filled);
      if (bytesRead === 0) throw new Error(`spill file ends at ${position + filled}`);
      filled += bytesRead;
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#store.closing(this.#handle.close(), this.#reserved);
  }
}

/**
 * The first bytes of a file, in pieces that share one buffer: each is gone when the next is asked for.
 *
 * @param buffer nobody else's until the end
 */
export async function* readPieces(file: SpillFile, bytes: number, buffer: Buffer): AsyncGenerator<Uint8Array> {
  for (let position = 0; position < bytes; position += buffer.length) {
    const piece = buffer.subarray(0, bytes - position);
    await file.read(piece, position);
    yield piece;
  }
}

function withoutFirst(chunks: readonly Uint8Array[], count: number): Uint8Array[] {
  const rest: Uint8Array[] = [];
  let skip = count;
  for (const chunk of chunks) {
    if (skip < chunk.length) rest.push(skip === 0 ? chunk : chunk.subarray(skip));
    skip = Math.max(0, skip - chunk.length);
  }
  return rest;
}
