import { closeSync, openSync, readSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import type { ServerResponse } from 'node:http';
import { writeXml, type XmlChildren } from './xml.ts';

/** A stretch of a file. */
export interface FilePiece {
  path: string;
  /** First byte within the file. */
  start: number;
  bytes: number;
}

export interface FileBody {
  bytes: number;
  pieces: readonly FilePiece[];
  /** Called when nothing more will be read. */
  release(): void;
}

/** What an operation answers. Kept apart from the sending, so that a test can have a reply lost (`faults.ts`). */
export interface Reply {
  status: number;
  headers: Record<string, string>;
  body: string | FileBody | null;
}

export function emptyReply(status: number, headers: Record<string, string> = {}): Reply {
  return { status, headers, body: null };
}

export function xmlReply(root: string, children: XmlChildren, headers: Record<string, string> = {}): Reply {
  return {
    status: 200,
    headers: { 'content-type': 'application/xml', ...headers },
    body: writeXml(root, children),
  };
}

export function discardReply(reply: Reply): void {
  if (reply.body !== null && typeof reply.body === 'object') reply.body.release();
}

/** Where a test wants the answer to break off. */
export interface Cut {
  afterBytes: number;
}

/** A body up to here is read in one go. */
const SMALL_BYTES = 256 * 1024;

/**
 * Sends the reply, no faster than the client takes it.
 *
 * @returns when it is sent, or when the client has gone
 */
export async function sendReply(res: ServerResponse, reply: Reply, isHead: boolean, cut: Cut | null): Promise<void> {
  const { body } = reply;
  try {
    if (body !== null && typeof body === 'object') {
      // A HEAD names its own length.
      if (!isHead) reply.headers['content-length'] = String(body.bytes);
      await (isHead ? sendHead(res, reply) : sendFile(res, reply, body, cut));
      return;
    }
    const text = body === null ? null : Buffer.from(body);
    // 204 and 304 have no body and no length; a HEAD may name the length of what it does not send.
    if (reply.status !== 204 && reply.status !== 304) reply.headers['content-length'] ??= String(text?.length ?? 0);
    res.writeHead(reply.status, reply.headers);
    if (cut !== null && text !== null && !isHead) await sendCut(res, text, cut);
    else res.end(isHead ? undefined : (text ?? undefined));
  } finally {
    discardReply(reply);
  }
}

async function sendHead(res: ServerResponse, reply: Reply): Promise<void> {
  res.writeHead(reply.status, reply.headers).end();
}

async function sendFile(res: ServerResponse, reply: Reply, body: FileBody, cut: Cut | null): Promise<void> {
  const [only] = body.pieces;
  if (body.bytes <= SMALL_BYTES && body.pieces.length <= 1) {
    // Before the headers: a file that cannot be read is an error, not half an answer.
    const bytes = only === undefined ? Buffer.alloc(0) : readSmall(only);
    res.writeHead(reply.status, reply.headers);
    if (cut !== null) await sendCut(res, bytes, cut);
    else res.end(bytes);
    return;
  }
  const sender = new FileSender(res, cut);
  const first = only === undefined ? null : await open(only.path);
  res.writeHead(reply.status, reply.headers);
  for (const [index, piece] of body.pieces.entries()) {
    if (!(await sender.send(piece, index === 0 ? first : null))) return;
  }
  res.end();
}

function readSmall(piece: FilePiece): Buffer {
  const bytes = Buffer.allocUnsafe(piece.bytes);
  const fd = openSync(piece.path, 'r');
  try {
    let at = 0;
    while (at < piece.bytes) {
      const read = readSync(fd, bytes, at, piece.bytes - at, piece.start + at);
      if (read === 0) throw new Error('a file of the store is shorter than the index says');
      at += read;
    }
  } finally {
    closeSync(fd);
  }
  return bytes;
}

/** Copies files to a connection by way of two buffers in turns: one is read into while the other is on its way. */
class FileSender {
  readonly #res: ServerResponse;
  readonly #cut: Cut | null;
  readonly #buffers = [Buffer.allocUnsafeSlow(SMALL_BYTES), Buffer.allocUnsafeSlow(SMALL_BYTES)] as const;
  /** Resolves to false when the client has gone. */
  #sending: Promise<boolean> = Promise.resolve(true);
  #turn = 0;
  #sent = 0;

  constructor(res: ServerResponse, cut: Cut | null) {
    this.#res = res;
    this.#cut = cut;
  }

  /** @returns false when there is nobody to send to any more */
  async send(piece: FilePiece, opened: FileHandle | null): Promise<boolean> {
    const handle = opened ?? (await open(piece.path));
    try {
      let at = 0;
      while (at < piece.bytes) {
        this.#turn = 1 - this.#turn;
        const buffer = this.#buffers[this.#turn === 0 ? 0 : 1];
        const { bytesRead } = await handle.read(buffer, 0, Math.min(buffer.length, piece.bytes - at), piece.start + at);
        if (bytesRead === 0) throw new Error('a file of the store is shorter than the index says');
        // The other buffer must be through before the next round reads into it.
        if (!(await this.#sending)) return false;
        at += bytesRead;
        this.#sending = this.#write(buffer.subarray(0, bytesRead));
      }
      return await this.#sending;
    } finally {
      await handle.close();
    }
  }

  #write(bytes: Buffer): Promise<boolean> {
    const allowed = this.#cut === null ? bytes.length : Math.min(bytes.length, this.#cut.afterBytes - this.#sent);
    this.#sent += allowed;
    return new Promise((resolve) => {
      const res = this.#res;
      if (res.destroyed) return resolve(false);
      const onClose = () => resolve(false);
      res.once('close', onClose);
      res.write(bytes.subarray(0, allowed), () => {
        res.off('close', onClose);
        if (allowed < bytes.length) res.destroy();
        resolve(allowed === bytes.length);
      });
    });
  }
}

async function sendCut(res: ServerResponse, bytes: Buffer, cut: Cut): Promise<void> {
  await new Promise<void>((resolve) => {
    res.once('close', resolve);
    res.write(bytes.subarray(0, Math.min(cut.afterBytes, bytes.length)), () => {
      res.destroy();
      resolve();
    });
  });
}
