import type Uppy from '@uppy/core';
import type { UppyFile } from '@uppy/core';
import { getSafeFileId } from '@uppy/core/utils';
import { formatBytes } from '../format.ts';
import type { RequestWatcher } from '../resumable-upload.ts';
import { isWaiting, type UploadFacts } from './card-view.ts';
import { refusalSentence, saidBy } from './refusal.ts';
import { SpeedEstimator } from './speed-estimator.ts';
import { Transfer } from './transfer.ts';

export type Meta = Record<string, unknown>;
export type Body = Record<string, never>;
export type UploadFile = UppyFile<Meta, Body>;

export interface Upload {
  fileId: string;
  name: string;
  facts: UploadFacts;
}

/** All uploads that are not done, together. */
export interface Batch {
  unfinished: number;
  /** Of them, how many are paused or wait for their file. */
  halted: number;
  /** Stored since the last time that there was nothing to do. */
  stored: number;
  percent: number;
  bytesPerSec: number | null;
  leftBytes: number;
  /** What is under way gets no answer. */
  waiting: boolean;
}

/**
 * The uploads of this page: Uppy and tus underneath, and on top what a person is to know of each and can do with it.
 *
 * Every file is sent as an upload of its own (in Uppy's words), so that one that was refused, or is paused, is never
 * started again along with another.
 */
export class Uploads implements RequestWatcher {
  readonly #uppy: Uppy<Meta, Body>;
  readonly #maxBytes: number;
  readonly #onRefused: (name: string, reason: string) => void;
  readonly #transfers = new Map<string, Transfer>();
  readonly #refused = new Map<string, Upload & { atMs: number }>();
  /** Ids of uploads that are or were this page's own. */
  readonly #own = new Set<string>();
  readonly #speed = new SpeedEstimator();
  #movedBytes = 0;
  #stored = { count: 0, bytes: 0 };

  /** @param onRefused a file was not taken, or not stored, for a reason that is not the network */
  constructor(uppy: Uppy<Meta, Body>, maxBytes: number, onRefused: (name: string, reason: string) => void) {
    this.#uppy = uppy;
    this.#maxBytes = maxBytes;
    this.#onRefused = onRefused;
    uppy.on('files-added', (files) => this.#startAll(files));
    uppy.on('upload-progress', (file, { bytesUploaded }) => this.#follow(file, Number(bytesUploaded)));
    uppy.on('upload-success', (file) => this.#settle(file));
    uppy.on('upload-error', (file, error, response) => this.#fail(file, error, response));
    uppy.on('restriction-failed', (file, error) => this.#refuse(file, error.message));
    uppy.on('file-removed', (file) => this.#transfers.delete(file.id));
  }

  /** In the order in which they came; what was refused comes first, for it is what the person has to read. */
  get all(): Upload[] {
    const [nowMs, isOffline] = [performance.now(), !navigator.onLine];
    const files = this.#uppy.getFiles().map((file) => {
      const uploadId = file.tus?.uploadUrl?.split('/').at(-1);
      if (uploadId) this.#own.add(uploadId);
      return {
        fileId: file.id,
        name: file.name ?? 'Untitled file',
        facts: this.#transferOf(file).facts(file, nowMs, isOffline),
      };
    });
    return [...this.#refused.values(), ...files];
  }

  owns(uploadId: string): boolean {
    return (
      this.#own.has(uploadId) || this.#uppy.getFiles().some((file) => file.tus?.uploadUrl?.endsWith(`/${uploadId}`))
    );
  }

  batchOf(uploads: readonly Upload[]): Batch {
    const unfinished = uploads.map((it) => it.facts).filter((it) => !ENDED.has(it.phase));
    const halted = unfinished.filter((it) => it.phase === 'paused' || it.phase === 'missing').length;
    const sending = unfinished.filter((it) => it.phase === 'sending');
    if (unfinished.length === 0) this.#stored = { count: 0, bytes: 0 };
    let [done, total] = [this.#stored.bytes, this.#stored.bytes];
    for (const { doneBytes, totalBytes } of unfinished) {
      done += doneBytes;
      total += totalBytes;
    }
    return {
      unfinished: unfinished.length,
      halted,
      stored: this.#stored.count,
      percent: total === 0 ? 0 : Math.floor((done / total) * 100),
      bytesPerSec: this.#speed.bytesPerSec(performance.now()),
      leftBytes: total - done,
      waiting: sending.length > 0 && sending.every(isWaiting),
    };
  }

  add(files: readonly File[]): void {
    try {
      this.#uppy.addFiles(files.map((file) => ({ source: 'page', name: file.name, type: file.type, data: file })));
    } catch {
      // What was not taken has been told of by an event.
    }
  }

  /** Sends a file, from where it stopped. */
  readonly start = (fileId: string): void => {
    const transfer = this.#transferOf(this.#uppy.getFile(fileId));
    transfer.started = true;
    transfer.begin();
    this.#uppy.retryUpload(fileId).catch(() => {}); // told of by an event
  };

  pause(fileId: string): void {
    const file = this.#uppy.getFile(fileId);
    if (file === undefined || file.isPaused || file.progress.uploadComplete) return;
    this.#transferOf(file).begin();
    this.#uppy.pauseResume(fileId);
  }

  resume(fileId: string): void {
    const file = this.#uppy.getFile(fileId);
    if (file === undefined) return;
    const transfer = this.#transferOf(file);
    if (!transfer.started) {
      this.start(fileId);
    } else if (file.isPaused) {
      transfer.begin();
      this.#uppy.pauseResume(fileId);
    }
  }

  pauseAll(): void {
    for (const { fileId, facts } of this.all)
      if (!ENDED.has(facts.phase) && facts.phase !== 'missing') this.pause(fileId);
  }

  resumeAll(): void {
    for (const { fileId, facts } of this.all) if (facts.phase === 'paused') this.resume(fileId);
  }

  /** Ends an upload for good, here and on the server; takes a card away that only says something. */
  cancel(fileId: string): void {
    if (this.#refused.delete(fileId)) return;
    const file = this.#uppy.getFile(fileId);
    if (file === undefined) return;
    const wasStarted = this.#transferOf(file).started;
    this.#uppy.removeFile(fileId);
    const uploadUrl = file.tus?.uploadUrl;
    // Of what was started, Uppy tells the server.
    if (!wasStarted && uploadUrl) void terminate(uploadUrl);
  }

  cancelAll(): void {
    for (const { fileId, facts } of this.all) if (!ENDED.has(facts.phase)) this.cancel(fileId);
  }

  /** A file that is to take the place of the one that the browser kept no copy of. */
  chooseAgain(fileId: string, data: File): void {
    const file = this.#uppy.getFile(fileId);
    const chosen = { source: 'page', name: data.name, type: data.type, data };
    if (getSafeFileId(chosen as unknown as UploadFile, this.#uppy.getID()) === fileId) {
      this.#transferOf(file).reason = null;
      this.add([data]);
    } else {
      const wanted = `${file.name}, ${formatBytes(file.size ?? 0)}`;
      this.#transferOf(file).reason = `That is another file, or it has changed since: what is missing is ${wanted}.`;
    }
  }

  /** With a way to the server again, what failed for the lack of one is tried again. */
  retryUnanswered(): void {
    for (const file of this.#uppy.getFiles()) if (file.error && !file.response?.status) this.start(file.id);
  }

  requestBegan(fileId: string): void {
    this.#transfers.get(fileId)?.requestBegan(performance.now());
  }

  answered(fileId: string): void {
    this.#transfers.get(fileId)?.answered();
  }

  wentAway(fileId: string, body: string): void {
    this.#transfers.get(fileId)?.wentAway(saidBy(body));
  }

  #transferOf(file: UploadFile): Transfer {
    let transfer = this.#transfers.get(file.id);
    if (transfer === undefined) {
      transfer = new Transfer(Number(file.progress.bytesUploaded || 0));
      this.#transfers.set(file.id, transfer);
    }
    return transfer;
  }

  #startAll(files: readonly UploadFile[]): void {
    // Others are chosen: what was refused before has been read. What is refused of these stands for some milliseconds.
    const beforeMs = performance.now() - SAME_CHOICE_MS;
    for (const [fileId, { atMs }] of this.#refused) if (atMs < beforeMs) this.#refused.delete(fileId);
    for (const file of files) this.start(file.id);
  }

  #follow(file: UploadFile | undefined, doneBytes: number): void {
    if (file === undefined) return;
    const nowMs = performance.now();
    this.#movedBytes += this.#transferOf(file).moved(nowMs, doneBytes);
    this.#speed.add(nowMs, this.#movedBytes);
  }

  #settle(file: UploadFile | undefined): void {
    if (file === undefined) return;
    this.#transferOf(file).doneBytes = file.size ?? 0;
    this.#stored = { count: this.#stored.count + 1, bytes: this.#stored.bytes + (file.size ?? 0) };
  }

  #fail(file: UploadFile | undefined, error: { message: string }, response: UploadFile['response']): void {
    if (file === undefined) return;
    const xhr = (response?.body as { xhr?: XMLHttpRequest } | undefined)?.xhr;
    const reason =
      response === undefined
        ? 'It could not be read or sent.'
        : refusalSentence(response.status, xhr?.responseText ?? '');
    this.#uppy.log(error.message);
    this.#transferOf(file).reason = reason;
    this.#onRefused(file.name ?? 'The file', reason);
  }

  /** Before a byte is sent. */
  #refuse(file: UploadFile | undefined, message: string): void {
    const name = file?.name ?? 'The file';
    const reason = this.#reasonOf(file, message);
    const fileId = `refused-${file?.id ?? name}`;
    this.#refused.set(fileId, { fileId, name, facts: refusedFacts(file?.size ?? 0, reason), atMs: performance.now() });
    this.#onRefused(name, reason);
  }

  #reasonOf(file: UploadFile | undefined, message: string): string {
    if (file === undefined) return message;
    const bytes = file.size ?? 0;
    if (bytes > this.#maxBytes) {
      return `Too large: it has ${formatBytes(bytes)}, and the server takes up to ${formatBytes(this.#maxBytes)} each.`;
    }
    return this.#uppy.checkIfFileAlreadyExists(file.id) ? 'It is being uploaded already.' : message;
  }
}

/** Uppy tells what it refuses before what it takes, of the files that are chosen at once. */
const SAME_CHOICE_MS = 200;
/** Nothing is to come any more. */
const ENDED: ReadonlySet<string> = new Set(['failed', 'refused', 'stored']);

function refusedFacts(totalBytes: number, reason: string): UploadFacts {
  return { phase: 'refused', totalBytes, doneBytes: 0, bytesPerSec: null, away: null, silentMs: 0, reason };
}

/** Should it not get there, the server's own expiry ends the upload. */
async function terminate(uploadUrl: string): Promise<void> {
  await fetch(uploadUrl, { method: 'DELETE', headers: { 'Tus-Resumable': '1.0.0' } }).catch(() => {});
}
