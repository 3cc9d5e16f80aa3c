/** A tus client that never gives up, and that believes no server: it checks each answer against all earlier ones. */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { ConnectionLostError, type Exchange, exchange, type Sent } from '../../support/http-exchange.ts';
import type { CrashWorld } from './crash-world.ts';

const TUS = { 'Tus-Resumable': '1.0.0' };
const BODY = { 'Content-Type': 'application/offset+octet-stream' };
/** Well above the longest time that any of these uploads takes; then a test fails with what it waited for. */
const PATIENCE_MS = 180_000;

export interface UploadPlan {
  content: Buffer;
  /** Where each PATCH ends, if it starts before; the last one ends the upload. */
  ends: number[];
  /** Bytes that come with the POST; null: it has no body. */
  withCreation?: number | null;
  /** The length is told by a PATCH that starts at this offset or behind it. */
  lengthKnownFrom?: number | null;
  metadata?: string;
}

export class CrashClient {
  readonly plan: UploadPlan;
  readonly #world: CrashWorld;
  readonly #until = Date.now() + PATIENCE_MS;
  #url: string | null = null;
  /** Every byte below was called stored by some answer. */
  #acknowledged = 0;
  #lengthKnown: boolean;

  constructor(world: CrashWorld, plan: UploadPlan) {
    this.#world = world;
    this.plan = plan;
    this.#lengthKnown = plan.lengthKnownFrom == null;
  }

  get uploadId(): string {
    return this.#url?.split('/').at(-1) ?? '';
  }

  get acknowledged(): number {
    return this.#acknowledged;
  }

  /** Until the server has called the whole upload stored, however often it is killed meanwhile. */
  async upload(): Promise<void> {
    await this.persist(async () => {
      const { content } = this.plan;
      await this.create();
      for (let offset = await this.askOffset(); offset < content.length || !this.#lengthKnown; )
        offset = await this.append(offset);
    });
  }

  /** Sends all bytes, and asks for nothing more when the server has them and does not say yet that it is done. */
  async sendEverything(): Promise<void> {
    const { content, ends } = this.plan;
    for (let offset = 0; offset < content.length; offset = ends.find((it) => it > offset) ?? content.length) {
      try {
        await this.append(offset);
      } catch (error) {
        if (!(error instanceof BusyError)) throw error;
      }
    }
  }

  /** Repeats what a dead or busy server has interrupted. */
  async persist(work: () => Promise<void>): Promise<void> {
    for (;;) {
      try {
        return await work();
      } catch (error) {
        if (Date.now() > this.#until) throw new Error('the upload does not come to its end', { cause: error });
        if (error instanceof ConnectionLostError) await this.#world.revive(error);
        else if (error instanceof BusyError) await sleep(error.retryAfterMs);
        else throw error;
      }
    }
  }

  /** The upload's address is learnt once. */
  async create(): Promise<void> {
    if (this.#url !== null) return;
    const { content, withCreation = null, metadata } = this.plan;
    const created = await this.#send(this.#world.filesUrl, {
      method: 'POST',
      headers: {
        ...(this.#lengthKnown ? { 'Upload-Length': content.length } : { 'Upload-Defer-Length': 1 }),
        ...(metadata === undefined ? {} : { 'Upload-Metadata': metadata }),
        ...(withCreation === null ? {} : BODY),
      },
      ...(withCreation === null ? {} : { body: content.subarray(0, withCreation) }),
    });
    assert.equal(created.status, 201, explain(created));
    this.#url = String(created.headers.location);
    if (withCreation !== null) await this.#believe(created);
  }

  async askOffset(): Promise<number> {
    const answer = await this.#send(this.url, { method: 'HEAD' });
    assert.equal(answer.status, 200, explain(answer));
    this.#lengthKnown = answer.headers['upload-length'] !== undefined;
    return this.#believe(answer);
  }

  async append(offset: number): Promise<number> {
    const { content, ends, lengthKnownFrom } = this.plan;
    const end = ends.find((it) => it > offset) ?? content.length;
    const tellsLength = lengthKnownFrom != null && offset >= lengthKnownFrom;
    const answer = await this.#send(this.url, {
      method: 'PATCH',
      headers: { ...BODY, 'Upload-Offset': offset, ...(tellsLength ? { 'Upload-Length': content.length } : {}) },
      body: content.subarray(offset, end),
    });
    assert.equal(answer.status, 204, explain(answer));
    if (tellsLength) this.#lengthKnown = true;
    assert.equal(answer.headers['upload-offset'], String(end));
    return this.#believe(answer);
  }

  /** @returns the status of the answer */
  async terminate(): Promise<number> {
    return (await this.#send(this.url, { method: 'DELETE' })).status;
  }

  async head(): Promise<number> {
    return (await this.#send(this.url, { method: 'HEAD' })).status;
  }

  get url(): string {
    assert.ok(this.#url !== null, 'the upload has no address yet');
    return this.#url;
  }

  async #send(url: string, { headers, ...sent }: Sent): Promise<Exchange> {
    const answer = await exchange(url, { ...sent, headers: { ...TUS, ...headers } });
    if (answer.status === 423 || answer.status === 503) throw new BusyError(answer);
    return answer;
  }

  /** V1, V2, V3: offsets never go back, and the last one is not told before the object is there. */
  async #believe(answer: Exchange): Promise<number> {
    const offset = Number(answer.headers['upload-offset']);
    assert.ok(Number.isSafeInteger(offset), explain(answer));
    assert.ok(offset >= this.#acknowledged, `offset ${offset} after ${this.#acknowledged}`);
    this.#acknowledged = offset;
    const { content } = this.plan;
    assert.ok(offset <= content.length);
    if (offset === content.length && this.#lengthKnown) await this.#assertStored();
    return offset;
  }

  async #assertStored(): Promise<void> {
    const report = await this.#world.report();
    const files = report.files.filter(({ fileId }) => fileId === this.uploadId);
    assert.equal(files.length, 1, 'an upload is called done that has no record');
    const stored = await this.#world.read(files[0]?.objectKey ?? '');
    assert.ok(stored?.equals(this.plan.content), 'an upload is called done whose object is missing or different');
  }
}

/** The server is there, and asks for patience. */
class BusyError extends Error {
  readonly retryAfterMs: number;

  constructor(answer: Exchange) {
    super(explain(answer));
    this.retryAfterMs = Number(answer.headers['retry-after'] ?? 1) * 1_000;
  }
}

function explain({ status, body }: Exchange): string {
  return `${status} ${body.toString()}`.trim();
}
