import type { IncomingMessage } from 'node:http';
import { type Valve, valveOf } from './connection-valve.ts';
import { freeMemory } from './free-memory.ts';
import type { WaitingRoom, WaitingSlot } from './waiting-room.ts';

/**
 * The beginning of a request's body, which came in the same read as its headers: up to 64 KiB that nobody has asked for.
 * It is the only memory that a client can take without the budget's leave, so it goes to a file when there is much of
 * it. Nothing more is read from the connection before somebody takes this.
 *
 * To be made when the request is handled, before anything is waited for.
 */
export class EarlyBytes implements Disposable {
  readonly valve: Valve;
  readonly #request: IncomingMessage;
  readonly #room: WaitingRoom;
  #chunk: Buffer | null = null;
  #slot: WaitingSlot | null = null;
  #moving: Promise<void> | null = null;
  #isOver = false;

  constructor(request: IncomingMessage, room: WaitingRoom) {
    this.#request = request;
    this.#room = room;
    this.valve = valveOf(request);
    // When this tick is over, the rest of that read has been parsed.
    process.nextTick(() => this.#receive());
  }

  /** @returns null: there are none (any more) */
  async take(): Promise<Buffer | null> {
    if (this.#isOver) return null;
    await this.#moving;
    this.#isOver = true;
    const chunk = this.#chunk;
    const slot = this.#slot;
    this.#slot = null;
    if (chunk !== null) this.#letGo(chunk);
    return chunk ?? slot?.read() ?? null;
  }

  get areThere(): boolean {
    return !this.#isOver && (this.#chunk !== null || this.#slot !== null);
  }

  [Symbol.dispose](): void {
    this.#isOver = true;
    this.#slot?.free();
    this.#slot = null;
    if (this.#chunk !== null) this.#letGo(this.#chunk);
    this.valve.release();
  }

  #letGo(chunk: Buffer): void {
    this.#chunk = null;
    this.#room.left(chunk.length);
  }

  #receive(): void {
    // Whoever reads the request already gets them from there.
    if (this.#isOver || this.#request.readableLength === 0 || this.#request.listenerCount('data') > 0) return;
    const chunk = this.#request.read() as Buffer | null;
    if (chunk === null) return;
    this.#chunk = chunk;
    if (this.#room.entered(chunk.length)) this.#moving = this.#moveToFile(chunk);
  }

  /** Never rejects. */
  async #moveToFile(chunk: Buffer): Promise<void> {
    const slot = await this.#room.write(chunk);
    if (slot === null) return;
    // Nobody wants it any more.
    if (this.#chunk !== chunk) return slot.free();
    this.#slot = slot;
    this.#letGo(chunk);
    if (chunk.buffer.byteLength === chunk.length) freeMemory(chunk.buffer);
  }
}
