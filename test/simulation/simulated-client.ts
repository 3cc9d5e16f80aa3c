/** A tus client with a file of its own: asks how far the upload is, sends from there, and sends again when it fails. */
import { EventEmitter } from 'node:events';
import { DatabaseUnavailableError } from '../../src/catalog/database-errors.ts';
import { RelayError } from '../../src/errors.ts';
import type { BodySource, RequestBody } from '../../src/relay/body-reader.ts';
import { UploadGoneError, UploadNotFoundError } from '../../src/relay/relay-errors.ts';
import type { History } from './history.ts';
import type { Scheduler } from './scheduler.ts';
import { ConnectionLostError, messageOf, type SimulatedNode } from './simulated-node.ts';

/** What a client that has lost count sends beyond the upload's length. */
const TOO_MUCH_BYTES = 2;

/** A request's body whose bytes arrive when the scheduler says so. */
class SimulatedBody extends EventEmitter {
  complete = false;
  readableEnded = false;
  destroyed = false;
  #isPaused = false;
  readonly #unread: Buffer[] = [];

  /** What has arrived before anybody reads waits in the socket. */
  override on(event: string, listener: (...args: never[]) => void): this {
    super.on(event, listener as () => void);
    if (event === 'data') for (const chunk of this.#unread.splice(0)) this.emit('data', chunk);
    return this;
  }

  arrive(chunk: Buffer): void {
    if (this.listenerCount('data') === 0) this.#unread.push(chunk);
    else this.emit('data', chunk);
  }

  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    this.#isPaused = false;
  }

  isPaused(): boolean {
    return this.#isPaused;
  }

  end(): void {
    this.complete = true;
    this.readableEnded = true;
    this.emit('end');
  }

  cut(): void {
    this.destroyed = true;
    this.emit('close');
  }
}

export interface ClientSurroundings {
  scheduler: Scheduler;
  history: History;
  uploadId: string;
  /** null: the length is declared in the request that brings the last byte. */
  deferredLengthBytes: number | null;
  pickNode: () => SimulatedNode | null;
}

export class SimulatedClient {
  readonly name: string;
  readonly #content: number;
  readonly #bytes: Buffer;
  readonly #surroundings: ClientSurroundings;
  /** Stops the request that is under way: another one waits for the upload on the same node. */
  #running: { node: SimulatedNode; stop: AbortController } | null = null;
  /** The upload has ended, as far as this client has been told. */
  isDone = false;

  constructor(name: string, content: number, bytes: Buffer, surroundings: ClientSurroundings) {
    this.name = name;
    this.#content = content;
    this.#bytes = bytes;
    this.#surroundings = surroundings;
  }

  async live(requests: number): Promise<void> {
    const { scheduler } = this.#surroundings;
    const { random } = scheduler;
    for (let count = 0; count < requests && !this.isDone; count += 1) {
      await scheduler.sleep(random.chance(0.6) ? 0 : random.anyMagnitude(1, 120_000), null);
      const offset = await this.head();
      if (offset === null || this.isDone) continue;
      await this.patch(offset, random.chance(0.5) ? this.#bytes.length - offset : null, random.chance(0.25));
    }
  }

  /** Until the upload is finished, with nothing going wrong. @returns whether it is */
  async finish(): Promise<boolean> {
    const { scheduler } = this.#surroundings;
    for (let tries = 0; tries < 60 && !this.isDone; tries += 1) {
      const offset = await this.head();
      if (offset !== null && !this.isDone) await this.patch(offset, this.#bytes.length - offset, false);
      // The longest Complete, and the second look after it, take a while.
      await scheduler.sleep(tries < 20 ? 1_000 : 60_000, null);
    }
    return this.isDone;
  }

  /** @returns null when there was no answer, or a failure */
  async head(): Promise<number | null> {
    const { uploadId } = this.#surroundings;
    return this.#ask('HEAD', (node) => node.serve(null, (relay) => relay.look(uploadId)));
  }

  /**
   * @param count bytes to send; null: any number
   * @param isFickle it gives up in the middle and asks again at once
   */
  async patch(offset: number, count: number | null, isFickle: boolean): Promise<void> {
    const { scheduler, uploadId, deferredLengthBytes } = this.#surroundings;
    const { random } = scheduler;
    const tooMuch = deferredLengthBytes === null && random.chance(0.05) ? TOO_MUCH_BYTES : 0;
    const sent = (count ?? random.between(0, this.#bytes.length - offset)) + tooMuch;
    const declares = deferredLengthBytes !== null && (offset + sent === deferredLengthBytes || random.chance(0.1));
    await this.#ask(`PATCH ${offset}+${sent}`, (node) => {
      const { body, gaveUp } = this.#body(offset, sent, isFickle, node);
      const appended = node.serve(this.#content, async (relay) => {
        const declaredLengthBytes = declares ? deferredLengthBytes : null;
        const { upload } = await relay.append({ uploadId, offsetBytes: offset, declaredLengthBytes, body });
        return upload;
      });
      appended.catch(() => {});
      return Promise.race([appended, gaveUp]);
    });
  }

  async create(lengthBytes: number | null, withBody: boolean): Promise<void> {
    const { scheduler, uploadId } = this.#surroundings;
    const sent = scheduler.random.between(0, this.#bytes.length);
    await this.#ask(`POST ${withBody ? sent : ''}`, (node) =>
      node.serve(this.#content, async (relay) => {
        const body = withBody ? this.#body(0, sent, false, node).body : null;
        const created = await relay.create({ uploadId, owner: 'public', lengthBytes, metadata: null, body });
        const { upload, offsetBytes } = created;
        // As the tus endpoint, which names no offset then.
        return offsetBytes === null || upload.state === 'completing' ? null : { ...upload, offsetBytes };
      }),
    );
  }

  async terminate(): Promise<void> {
    const { uploadId } = this.#surroundings;
    await this.#ask('DELETE', async (node) => {
      await node.serve(null, (relay) => relay.terminate(uploadId));
      return null;
    });
  }

  /** As the tus endpoint answers. @returns the offset that the answer names */
  async #ask(
    what: string,
    request: (node: SimulatedNode) => Promise<{ offsetBytes: number; lengthBytes: number | null } | null>,
  ): Promise<number | null> {
    const { scheduler, history, pickNode } = this.#surroundings;
    const node = pickNode();
    if (node === null) return null;
    const promisedBefore = history.promisedBytes;
    scheduler.say(`${this.name} → ${node.name} ${what}`);
    try {
      const upload = await request(node);
      if (upload === null) return null;
      scheduler.say(`${this.name} ← ${node.name} ${what}: offset ${upload.offsetBytes}`);
      history.answered(upload.offsetBytes, upload.lengthBytes, promisedBefore, `${this.name}’s ${what}`);
      if (upload.offsetBytes === upload.lengthBytes) this.isDone = true;
      return upload.offsetBytes;
    } catch (error) {
      scheduler.say(`${this.name} ← ${node.name} ${what}: ${messageOf(error)}`);
      const isExpected =
        error instanceof RelayError ||
        error instanceof DatabaseUnavailableError ||
        error instanceof ConnectionLostError;
      if (!isExpected) history.fail('unexpected', messageOf(error));
      if (error instanceof UploadGoneError || error instanceof UploadNotFoundError) this.isDone = true;
      return null;
    } finally {
      if (this.#running?.node === node) this.#running = null;
    }
  }

  #body(
    offset: number,
    count: number,
    isFickle: boolean,
    node: SimulatedNode,
  ): { body: RequestBody; gaveUp: Promise<null> } {
    const { scheduler } = this.#surroundings;
    const { random } = scheduler;
    const source = new SimulatedBody();
    const stop = new AbortController();
    if (this.#running !== null && this.#running.node === node)
      this.#running.stop.abort(new ConnectionLostError('stopped'));
    this.#running = { node, stop };
    const { promise: gaveUp, resolve } = Promise.withResolvers<null>();
    const last = isFickle ? random.between(0, count) : count;
    void this.#send(source, offset, last, isFickle, () => resolve(null));
    return {
      body: {
        source: source as unknown as BodySource,
        declaredBytes: random.chance(0.7) ? count : null,
        stop: stop.signal,
      },
      gaveUp,
    };
  }

  async #send(
    source: SimulatedBody,
    offset: number,
    count: number,
    isFickle: boolean,
    giveUp: () => void,
  ): Promise<void> {
    const { scheduler } = this.#surroundings;
    const { random } = scheduler;
    const sendable = Buffer.concat([this.#bytes, Buffer.alloc(TOO_MUCH_BYTES)]);
    for (let sent = 0; sent < count; ) {
      const size = random.chance(0.5) ? count - sent : random.between(1, count - sent);
      await scheduler.sleep(random.chance(0.8) ? 0 : random.anyMagnitude(1, 100_000), null);
      source.arrive(Buffer.from(sendable.subarray(offset + sent, offset + sent + size)));
      sent += size;
    }
    await scheduler.sleep(0, null);
    if (!isFickle) return source.end();
    if (random.chance(0.7)) source.cut();
    giveUp();
  }
}
