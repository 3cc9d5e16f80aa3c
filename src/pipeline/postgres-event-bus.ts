import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import type { Logger } from '../observability/logger.ts';
import { type EventBus, type FileEvent, uploadIdOf } from './event-bus.ts';
import { packEvents, unpackEvents } from './event-message.ts';
import { EventOutbox } from './event-outbox.ts';
import { MemoryEventBus } from './memory-event-bus.ts';

const CHANNEL = 'tus_relay_events';
/** The progress of an upload goes to the other nodes at most this often. */
const PROGRESS_EVERY_MS = 250;
/** What else happens within this time goes out together: many small uploads would each cost a round trip otherwise. */
const GATHER_MS = 25;
const HEARTBEAT_MS = 10_000;
const QUERY_TIMEOUT_MS = 5_000;
const MAX_RECONNECT_DELAY_MS = 5_000;
const STABLE_AFTER_MS = 10_000;
/** What a close waits for, so that the last events still go out. */
const LAST_WORDS_MS = 1_000;

/**
 * Events among the nodes that share a Postgres, by LISTEN and NOTIFY on a connection of their own (which a pooler in
 * transaction mode cannot give). This node's listeners hear at once and whatever happens; those of the others a
 * moment later. What went by while they were cut off they do not hear, but that there may have been something.
 */
export class PostgresEventBus implements EventBus {
  readonly #url: string;
  readonly #logger: Pick<Logger, 'info' | 'warn'>;
  readonly #local: MemoryEventBus;
  readonly #nodeId = randomUUID();
  readonly #outbox = new EventOutbox();
  readonly #closing = new AbortController();
  readonly #running: Promise<void>;
  /** null: not connected. */
  #client: pg.Client | null = null;
  /** Gives the present connection up. */
  #giveUp: (reason: unknown) => void = () => {};
  #sending: Promise<void> | null = null;
  #progressTimer: NodeJS.Timeout | null = null;
  #gatherTimer: NodeJS.Timeout | null = null;
  #progressIsDue = false;
  #lossLogged = false;

  /** Connects in the background, again and again. `onFailure` is told what a listener threw. */
  constructor(url: string, logger: Pick<Logger, 'info' | 'warn'>, onFailure: (error: unknown) => void) {
    this.#url = url;
    this.#logger = logger;
    this.#local = new MemoryEventBus(onFailure);
    this.#running = this.#stayConnected();
  }

  /** Whether the other nodes hear us, and we them. */
  get connected(): boolean {
    return this.#client !== null;
  }

  publish(event: FileEvent): void {
    if (!this.#local.publish(event) || this.#closing.signal.aborted) return;
    this.#outbox.add(event);
    if (event.type === 'progress') this.#progressTimer ??= setTimeout(() => this.#onProgressDue(), PROGRESS_EVERY_MS);
    else this.#gatherTimer ??= setTimeout(() => this.#onGathered(), GATHER_MS);
  }

  subscribe(listener: (event: FileEvent) => void): () => void {
    return this.#local.subscribe(listener);
  }

  /** Safe to call twice; never rejects. */
  async close(): Promise<void> {
    if (this.#progressTimer !== null) clearTimeout(this.#progressTimer);
    if (this.#gatherTimer !== null) clearTimeout(this.#gatherTimer);
    if (!this.#closing.signal.aborted) {
      this.#send();
      const lastWords = sleep(LAST_WORDS_MS, undefined, { ref: false });
      if (this.#sending !== null) await Promise.race([this.#sending, lastWords]);
      this.#closing.abort();
      this.#giveUp(null);
    }
    await this.#running;
  }

  #onProgressDue(): void {
    this.#progressTimer = null;
    this.#progressIsDue = true;
    this.#send();
  }

  #onGathered(): void {
    this.#gatherTimer = null;
    this.#send();
  }

  /** One at a time: what comes up meanwhile goes out together. */
  #send(): void {
    const client = this.#client;
    if (client === null || this.#sending !== null) return;
    const progress = this.#progressIsDue ? this.#outbox.takeProgress() : [];
    const others = this.#outbox.takeOthers();
    this.#progressIsDue = false;
    if (progress.length + others.length === 0) return;
    this.#sending = this.#notify(client, [...progress, ...others]).then(
      () => {
        this.#sending = null;
        this.#reportWorking();
        this.#send();
      },
      (error: unknown) => {
        this.#sending = null;
        // Perhaps they had arrived. Twice is better than never: an event only says "look again".
        for (const event of others) this.#outbox.add(event);
        // A server that refuses (its queue of notifications is full) is still there; the next event tries again.
        if (error instanceof pg.DatabaseError) this.#reportLoss(error);
        else this.#giveUp(error);
      },
    );
  }

  async #notify(client: pg.Client, events: FileEvent[]): Promise<void> {
    for (const payload of packEvents(this.#nodeId, events)) {
      await client.query('SELECT pg_notify($1, $2)', [CHANNEL, payload]);
    }
  }

  /** Never rejects. */
  async #stayConnected(): Promise<void> {
    const { signal } = this.#closing;
    for (let failures = 0; !signal.aborted; failures += 1) {
      const startedAt = performance.now();
      await this.#connectOnce();
      // A connection that breaks as soon as it is there is a failure, too.
      if (performance.now() - startedAt > STABLE_AFTER_MS) failures = 0;
      const delayMs = Math.min(100 * 2 ** Math.min(failures, 10), MAX_RECONNECT_DELAY_MS);
      await sleep(delayMs * (0.5 + Math.random() / 2), undefined, { signal }).catch(() => {});
    }
  }

  /** Resolves when the connection has ended, or there was none; never rejects. */
  async #connectOnce(): Promise<void> {
    const gaveUp = Promise.withResolvers<unknown>();
    this.#giveUp = gaveUp.resolve;
    let client: pg.Client | null = null;
    let heartbeat: NodeJS.Timeout | undefined;
    try {
      client = this.#createClient();
      await Promise.race([listen(client), rejectWhen(gaveUp.promise)]);
      const connected = client;
      this.#client = connected;
      heartbeat = setInterval(() => void connected.query('SELECT 1').catch(gaveUp.resolve), HEARTBEAT_MS);
      if (this.#lossLogged) this.#afterLoss();
      this.#reportWorking();
      this.#send();
    } catch (error) {
      gaveUp.resolve(error);
    }
    const reason = this.#closing.signal.aborted ? null : await gaveUp.promise;
    clearInterval(heartbeat);
    this.#client = null;
    if (!this.#closing.signal.aborted) this.#reportLoss(reason);
    // Not waited for: a half-open connection would not answer.
    void client?.end().catch(() => {});
  }

  #createClient(): pg.Client {
    const client = new pg.Client({
      connectionString: this.#url,
      application_name: 'tus-relay-events',
      connectionTimeoutMillis: QUERY_TIMEOUT_MS,
      query_timeout: QUERY_TIMEOUT_MS,
      keepAlive: true,
    });
    const giveUp = this.#giveUp;
    client.on('notification', ({ payload }) => this.#hear(payload ?? ''));
    client.on('error', giveUp);
    client.once('end', () => giveUp(null));
    return client;
  }

  #hear(payload: string): void {
    const message = unpackEvents(payload);
    if (message === null || message.from === this.#nodeId) return;
    for (const event of message.events) {
      if (event.type !== 'progress' && event.type !== 'missed') this.#outbox.forgetProgress(uploadIdOf(event));
      this.#local.publish(event);
    }
  }

  /** Others may have told something meanwhile; and of our own progress nobody knows whether its uploads still go on. */
  #afterLoss(): void {
    this.#outbox.takeProgress();
    this.#local.publish({ type: 'missed' });
  }

  #reportWorking(): void {
    if (this.#lossLogged) this.#logger.info({}, 'live events reach the other nodes again');
    this.#lossLogged = false;
  }

  #reportLoss(reason: unknown): void {
    if (this.#lossLogged) return;
    this.#lossLogged = true;
    const why = reason instanceof Error ? reason.message.split('\n', 1)[0] : 'the connection was closed';
    this.#logger.warn({ reason: why }, 'live events reach only the browsers of this node, until Postgres is back');
  }
}

async function listen(client: pg.Client): Promise<void> {
  await client.connect();
  await client.query(`LISTEN ${CHANNEL}`);
}

/** So that a close need not wait for a server that does not answer. */
async function rejectWhen(gaveUp: Promise<unknown>): Promise<never> {
  throw await gaveUp;
}
