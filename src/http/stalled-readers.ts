import type { Socket } from 'node:net';
import { connectionName, readSendQueues, type SendQueues } from './send-queues.ts';

interface Reader {
  /** What its connection had taken, and what of it was not acknowledged, when something last moved. */
  takenBytes: number;
  unacknowledgedBytes: number | null;
  movedAtMs: number;
}

/**
 * Ends connections whose client takes nothing of what there is for it: whatever the answer is, it holds memory, and a
 * download a connection to S3.
 *
 * "Takes" is what leaves us, not what is handed to Node's buffers. The system takes bytes for a slow client in lumps of a
 * megabyte and more, with long silences between them; so before a client is given up, the system is asked whether the
 * client acknowledges any of what it was given.
 */
export class StalledReaders {
  readonly #idleMs: number;
  readonly #readQueues: () => Promise<SendQueues>;
  readonly #now: () => number;
  readonly #readers = new Map<Socket, Reader>();
  readonly #timer: NodeJS.Timeout;
  #looking = false;

  /** @param idleMs how long a client may take nothing */
  constructor(idleMs: number, readQueues = readSendQueues, now = () => performance.now()) {
    this.#idleMs = idleMs;
    this.#readQueues = readQueues;
    this.#now = now;
    this.#timer = setInterval(() => void this.look(), Math.min(LOOK_EVERY_MS, idleMs / LOOKS_A_LIMIT));
    this.#timer.unref();
  }

  watch(socket: Socket): void {
    this.#readers.set(socket, { takenBytes: 0, unacknowledgedBytes: null, movedAtMs: this.#now() });
    socket.once('close', () => this.#readers.delete(socket));
  }

  /** Ends those whose time has run out. Never rejects. */
  async look(): Promise<void> {
    if (this.#looking) return;
    this.#looking = true;
    try {
      const stalled = this.#findStalled();
      if (stalled.length > 0) this.#judge(stalled, await this.#readQueues());
    } finally {
      this.#looking = false;
    }
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** @returns those of which nothing has been taken for so long that the system is to be asked */
  #findStalled(): Socket[] {
    const nowMs = this.#now();
    const stalled: Socket[] = [];
    for (const [socket, reader] of this.#readers) {
      // Nothing waits for the client: it is we who have nothing to give.
      const takenBytes = socket.writableLength === 0 ? null : takenBy(socket);
      if (takenBytes === null || takenBytes !== reader.takenBytes) {
        reader.takenBytes = takenBytes ?? 0;
        reader.unacknowledgedBytes = null;
        reader.movedAtMs = nowMs;
      } else if (nowMs - reader.movedAtMs >= this.#idleMs / 2) {
        stalled.push(socket);
      }
    }
    return stalled;
  }

  #judge(stalled: readonly Socket[], queues: SendQueues): void {
    const nowMs = this.#now();
    for (const socket of stalled) {
      const reader = this.#readers.get(socket);
      if (reader === undefined || takenBy(socket) !== reader.takenBytes) continue;
      const unacknowledgedBytes = queues.get(connectionName(socket)) ?? 0;
      const before = reader.unacknowledgedBytes;
      reader.unacknowledgedBytes = unacknowledgedBytes;
      if (before !== null && before !== unacknowledgedBytes) reader.movedAtMs = nowMs;
      // With a reset, so that the system does not keep for it what it will not take either.
      else if (nowMs - reader.movedAtMs >= this.#idleMs) socket.resetAndDestroy();
    }
  }
}

const LOOK_EVERY_MS = 1_000;
const LOOKS_A_LIMIT = 10;

/** Bytes that have left Node: without those that wait in its buffers, or are half out. */
function takenBy(socket: Socket): number {
  return socket.bytesWritten - socket.writableLength;
}
