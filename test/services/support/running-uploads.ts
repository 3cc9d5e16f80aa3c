/** Many uploads of the stock client that stay under way until the test lets them come to their end. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import type { Agent } from 'node:http';
import type { UploadOptions } from 'tus-js-client';
import { Pace, pacedReader } from './paced-file.ts';
import { Tally, uploadByStockClient } from './stock-client.ts';
import { until } from './until.ts';

/** How tus-js-client may send a file: in one request, in the one that creates it, in many. */
const WAYS: readonly Partial<UploadOptions>[] = [{}, { uploadDataDuringCreation: true }, { chunkSize: 192 * 1024 }, {}];
const SMALL_BYTES = 20_000;

export interface Sent {
  content: Buffer;
  url: string;
}

export class RunningUploads {
  readonly tally = new Tally();
  readonly #agent: Agent;
  readonly #endpoints: readonly string[];
  readonly #pace = new Pace();
  readonly #underWay = new Set<number>();
  readonly #sent: Sent[] = [];
  readonly #failed: string[] = [];
  readonly #running: Promise<void>[] = [];
  readonly #small: Promise<void>[] = [];
  #smallTimer: NodeJS.Timeout | undefined;

  /** @param endpoints that take the uploads in turn */
  constructor(agent: Agent, endpoints: readonly string[]) {
    this.#agent = agent;
    this.#endpoints = endpoints;
  }

  /** Comes back when some bytes of each of them are on their way. */
  async start(count: number, bytesOf: (index: number) => number): Promise<void> {
    for (let index = 0; index < count; index++) {
      const content = randomBytes(bytesOf(index));
      const onProgress = (sentBytes: number) => sentBytes > 0 && this.#underWay.add(index);
      const way = WAYS[Math.floor(index / this.#endpoints.length) % WAYS.length];
      const fileReader = pacedReader(content, this.#pace);
      this.#running.push(this.#upload(index, content, { fileReader, onProgress, ...way }));
    }
    await until('all are under way', () => this.#underWay.size === count || this.#failed.length > 0);
    assert.deepEqual(this.#failed, []);
  }

  /** Small files, one after the other: whatever happens to the creation of an upload, one of them is in it. */
  keepSendingSmall(everyMs: number): void {
    this.#smallTimer = setInterval(() => {
      this.#small.push(this.#upload(this.#small.length, randomBytes(SMALL_BYTES + this.#small.length), {}));
    }, everyMs);
  }

  /** @returns how many were sent */
  async stopSmall(): Promise<number> {
    clearInterval(this.#smallTimer);
    await Promise.all(this.#small);
    return this.#small.length;
  }

  /** All of them are under way still: none has come to its end, or failed. */
  assertRunning(): void {
    assert.deepEqual(this.#failed, []);
    assert.equal(this.#sent.length, this.#small.length, 'an upload came to its end by itself');
  }

  /** @returns every file that was sent; none of its clients has given up */
  async finish(): Promise<readonly Sent[]> {
    this.abandon();
    await Promise.all([...this.#running, ...this.#small]);
    assert.deepEqual(this.#failed, []);
    return this.#sent;
  }

  /** Lets go of what still waits, after a test that has failed. Safe to call twice. */
  abandon(): void {
    clearInterval(this.#smallTimer);
    this.#pace.free();
  }

  /** Never rejects: who fails is told of at the end. */
  async #upload(index: number, content: Buffer, options: Partial<UploadOptions>): Promise<void> {
    const endpoint = this.#endpoints[index % this.#endpoints.length] ?? '';
    try {
      this.#sent.push({ content, url: await uploadByStockClient(content, endpoint, this.#agent, this.tally, options) });
    } catch (error) {
      this.#failed.push(String(error));
    }
  }
}
