import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import type { Logger } from '../observability/logger.ts';

const HEARTBEAT_MS = 10_000;
const QUERY_TIMEOUT_MS = 5_000;
const MAX_RECONNECT_DELAY_MS = 5_000;
const STABLE_AFTER_MS = 10_000;

/**
 * Messages among the nodes that share a Postgres, by LISTEN and NOTIFY on a connection of their own (which a pooler in
 * transaction mode cannot give). It connects by itself, again and again; what is said while it is cut off is lost.
 */
export class PostgresMessages {
  readonly #url: string;
  readonly #logger: Pick<Logger, 'info' | 'warn'>;
  readonly #listeners = new Map<string, (payload: string) => void>();
  readonly #onChange: ((connected: boolean) => void)[] = [];
  readonly #closing = new AbortController();
  #running: Promise<void> = Promise.resolve();
  /** null: not connected. */
  #client: pg.Client | null = null;
  /** Gives the present connection up. */
  #giveUp: (reason: unknown) => void = () => {};
  #lossLogged = false;
  /** What the listeners of {@link onChange} know. */
  #told: boolean | null = null;

  constructor(url: string, logger: Pick<Logger, 'info' | 'warn'>) {
    this.#url = url;
    this.#logger = logger;
  }

  /** Whether the other nodes hear us, and we them. */
  get connected(): boolean {
    return this.#client !== null;
  }

  /** Before {@link start}. One listener a channel, which also hears what this node says. */
  listen(channel: string, hear: (payload: string) => void): void {
    this.#listeners.set(channel, hear);
  }

  /** Before {@link start}. Called when the connection is there, and when it is lost, or could not be made at the start. */
  onChange(listener: (connected: boolean) => void): void {
    this.#onChange.push(listener);
  }

  /** Connects in the background. */
  start(): void {
    this.#running = this.#stayConnected();
  }

  /** @throws Error when the server refuses it, or the connection is cut: perhaps it was heard */
  async notify(channel: string, payloads: readonly string[]): Promise<void> {
    const client = this.#client;
    if (client === null) throw new Error('not connected');
    try {
      for (const payload of payloads) await client.query('SELECT pg_notify($1, $2)', [channel, payload]);
    } catch (error) {
      // A server that refuses (its queue of notifications is full) is still there; the next message tries again.
      if (error instanceof pg.DatabaseError) this.#reportLoss(error);
      else if (client === this.#client) this.#giveUp(error);
      throw error;
    }
    this.#reportWorking();
  }

  /** Safe to call twice; never rejects. */
  async close(): Promise<void> {
    this.#closing.abort();
    this.#giveUp(null);
    await this.#running;
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
      await Promise.race([openChannels(client, [...this.#listeners.keys()]), rejectWhen(gaveUp.promise)]);
      const connected = client;
      this.#client = connected;
      heartbeat = setInterval(() => void connected.query('SELECT 1').catch(gaveUp.resolve), HEARTBEAT_MS);
      this.#reportWorking();
      this.#tellChange(true);
    } catch (error) {
      gaveUp.resolve(error);
    }
    const reason = this.#closing.signal.aborted ? null : await gaveUp.promise;
    clearInterval(heartbeat);
    this.#client = null;
    if (!this.#closing.signal.aborted) this.#tellChange(false);
    if (!this.#closing.signal.aborted) this.#reportLoss(reason);
    // Not waited for: a half-open connection would not answer.
    void client?.end().catch(() => {});
  }

  #createClient(): pg.Client {
    const client = new pg.Client({
      connectionString: this.#url,
      application_name: 'tus-relay-messages',
      connectionTimeoutMillis: QUERY_TIMEOUT_MS,
      query_timeout: QUERY_TIMEOUT_MS,
      keepAlive: true,
    });
    const giveUp = this.#giveUp;
    client.on('notification', ({ channel, payload }) => this.#listeners.get(channel)?.(payload ?? ''));
    client.on('error', giveUp);
    client.once('end', () => giveUp(null));
    return client;
  }

  #tellChange(connected: boolean): void {
    if (this.#told === connected) return;
    this.#told = connected;
    for (const listener of this.#onChange) listener(connected);
  }

  #reportWorking(): void {
    if (this.#lossLogged) this.#logger.info({}, 'messages reach the other nodes again');
    this.#lossLogged = false;
  }

  #reportLoss(reason: unknown): void {
    if (this.#lossLogged) return;
    this.#lossLogged = true;
    const why = reason instanceof Error ? reason.message.split('\n', 1)[0] : 'the connection was closed';
    this.#logger.warn(
      { reason: why },
      'the nodes do not hear one another until Postgres is back: live events reach only the browsers of this node',
    );
  }
}

async function openChannels(client: pg.Client, channels: readonly string[]): Promise<void> {
  await client.connect();
  for (const channel of channels) await client.query(`LISTEN ${channel}`);
}

/** So that a close need not wait for a server that does not answer. */
async function rejectWhen(gaveUp: Promise<unknown>): Promise<never> {
  throw await gaveUp;
}
