/** A node's link to Redis: one connection for commands, one for messages, and whether Redis can be relied on now. */
import type { Redis } from 'ioredis';
import { StartError } from '../errors.ts';
import { connectRedis, describeRedis, redisFailure, redisRefusal } from './redis-connection.ts';
import type { LuaScript } from './redis-lock-scripts.ts';

/** Said again this often, SUBSCRIBE shows whether the connection for messages is still alive. */
const SUBSCRIBE_EVERY_MS = 10_000;

type Log = (fields: object, message: string) => void;

export interface LinkLogger {
  info: Log;
  warn: Log;
  error: Log;
}

export interface LinkUser {
  /** Tries all that is needed of Redis; rejects when something is missing. Runs before the link counts as usable. */
  check(): Promise<void>;
  onMessage(message: string): void;
  /** From now on {@link RedisLink.lost} is true. */
  onLost(): void;
}

export interface LinkTimes {
  /** How often a lost Redis is tried. */
  checkEveryMs: number;
  commandTimeoutMs: number;
}

export class RedisLink {
  readonly #commands: Redis;
  readonly #messages: Redis;
  readonly #where: string;
  readonly #channel: string;
  readonly #user: LinkUser;
  readonly #logger: LinkLogger;
  readonly #times: LinkTimes;
  /** The reason of the last failed connection, by which a refusal is told from a network that is down. */
  #lastError: unknown = null;
  #lost = true;
  #closed = false;
  #checking = false;
  #refusalLogged = false;
  #checkTimer: NodeJS.Timeout | undefined;
  #subscribeTimer: NodeJS.Timeout | undefined;

  /** @throws StartError when the URL is none of Redis' */
  constructor(url: string, channel: string, user: LinkUser, logger: LinkLogger, times: LinkTimes) {
    this.#commands = connectRedis(url, 'tus-relay', times.commandTimeoutMs);
    this.#messages = connectRedis(url, 'tus-relay-messages', times.commandTimeoutMs);
    this.#where = describeRedis(url);
    this.#channel = channel;
    this.#user = user;
    this.#logger = logger;
    this.#times = times;
  }

  /** Since a command failed or the connection broke, until everything has worked again. */
  get lost(): boolean {
    return this.#lost;
  }

  /**
   * Connects. When Redis cannot be reached it says so in the log, and goes on trying.
   *
   * @throws StartError when Redis turns us away
   */
  async open(): Promise<void> {
    for (const redis of [this.#commands, this.#messages]) {
      redis.on('error', (error) => {
        this.#lastError = error;
      });
    }
    this.#messages.on('message', (_channel, message: string) => this.#user.onMessage(message));
    try {
      await Promise.all([this.#commands.connect(), this.#messages.connect()]);
      await this.#messages.subscribe(this.#channel);
      await this.#user.check();
      this.#lost = false;
    } catch (error) {
      const refusal = redisRefusal(error) ?? redisRefusal(this.#lastError);
      if (refusal !== null) {
        this.close();
        throw new StartError(`Redis at ${this.#where}: ${refusal}`, { cause: error });
      }
      this.#reportLoss(error);
    }
    this.#commands.on('close', () => this.#lose(this.#lastError ?? new Error('the connection was closed')));
    this.#commands.on('ready', () => void this.#checkAgain());
    this.#messages.on('ready', () => void this.#subscribe());
    this.#subscribeTimer = setInterval(() => void this.#subscribe(), SUBSCRIBE_EVERY_MS).unref();
  }

  /** Rejects within the command timeout, at once when there is no connection; the link counts as lost then. */
  async run(script: LuaScript, keys: string[], args: (string | number)[]): Promise<unknown> {
    try {
      return await this.#evaluate(script, keys, args);
    } catch (error) {
      this.#lose(error);
      throw error;
    }
  }

  /** At once; what was sent before and not answered yet fails. */
  close(): void {
    this.#closed = true;
    clearInterval(this.#checkTimer);
    clearInterval(this.#subscribeTimer);
    this.#commands.disconnect();
    this.#messages.disconnect();
  }

  async #evaluate(script: LuaScript, keys: string[], args: (string | number)[]): Promise<unknown> {
    try {
      return await this.#commands.evalsha(script.sha1, keys.length, ...keys, ...args);
    } catch (error) {
      // A Redis that was restarted has forgotten its scripts.
      if (!(error instanceof Error) || !error.message.startsWith('NOSCRIPT')) throw error;
      return await this.#commands.eval(script.source, keys.length, ...keys, ...args);
    }
  }

  #lose(error: unknown): void {
    if (this.#lost || this.#closed) return;
    this.#lost = true;
    this.#reportLoss(error);
  }

  #reportLoss(error: unknown): void {
    const reason = redisFailure(this.#commands.status === 'ready' ? error : (this.#lastError ?? error));
    this.#logger.warn(
      { redis: this.#where, reason },
      'Redis is lost: uploads go on with the locks of this node alone, until it is back',
    );
    this.#checkTimer = setInterval(() => void this.#checkAgain(), this.#times.checkEveryMs).unref();
    this.#user.onLost();
  }

  /** Never rejects. */
  async #checkAgain(): Promise<void> {
    if (!this.#lost || this.#closed || this.#checking) return;
    if (this.#commands.status !== 'ready') {
      this.#reportRefusal(this.#lastError);
      return;
    }
    this.#checking = true;
    try {
      await this.#user.check();
      if (this.#closed) return;
      this.#lost = false;
      this.#refusalLogged = false;
      this.#lastError = null;
      clearInterval(this.#checkTimer);
      this.#logger.info({ redis: this.#where }, 'Redis is back');
      void this.#subscribe();
    } catch (error) {
      this.#reportRefusal(error);
    } finally {
      this.#checking = false;
    }
  }

  /** A password that was changed while we ran: waiting will not help, so the operator has to know. */
  #reportRefusal(error: unknown): void {
    const refusal = redisRefusal(error);
    if (refusal === null || this.#refusalLogged) return;
    this.#refusalLogged = true;
    this.#logger.error({ redis: this.#where }, `Redis turns us away: ${refusal}`);
  }

  /** Without messages waiters still get their turn, by asking again: a failure needs no more than another try. */
  async #subscribe(): Promise<void> {
    if (this.#closed || this.#messages.status !== 'ready') return;
    await this.#messages.subscribe(this.#channel).catch(() => {});
  }
}
