import { Redis } from 'ioredis';
import { StartError } from '../errors.ts';

/** A connection that does not answer a command within this is as good as none. */
export const COMMAND_TIMEOUT_MS = 1_000;
const CONNECT_TIMEOUT_MS = 2_000;
/** Nothing heard for so long although something was asked: the connection is half open, and made anew. */
const SILENCE_MS = 3_000;
const MAX_RECONNECT_DELAY_MS = 2_000;

/**
 * A client whose calls fail fast and are never repeated behind our back: whoever asks for a lock has better things to
 * do than to wait for Redis. It reconnects by itself for ever, and every 'error' event has a listener.
 *
 * @param url `redis://` or, with TLS, `rediss://`
 * @param name what `CLIENT LIST` shows
 * @throws StartError when it is no such URL
 */
export function connectRedis(url: string, name: string, commandTimeoutMs = COMMAND_TIMEOUT_MS): Redis {
  const parsed = URL.parse(url);
  if (parsed === null || !/^rediss?:$/.test(parsed.protocol)) {
    throw new StartError('REDIS_URL is not a URL like redis://host:6379 or rediss://host:6379');
  }
  const redis = new Redis(url, {
    lazyConnect: true,
    connectionName: name,
    connectTimeout: CONNECT_TIMEOUT_MS,
    commandTimeout: commandTimeoutMs,
    socketTimeout: Math.max(SILENCE_MS, commandTimeoutMs),
    disconnectTimeout: 500,
    keepAlive: 10_000,
    retryStrategy: (times) =>
      Math.min(50 * 2 ** Math.min(times, 10), MAX_RECONNECT_DELAY_MS) * (0.5 + Math.random() / 2),
    // A replica after a failover: the name may lead to the new primary.
    reconnectOnError: (error) => error.message.startsWith('READONLY'),
    maxRetriesPerRequest: 0,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    // Its SUBSCRIBE would have nobody to report a failure to; redis-link.ts subscribes by itself.
    autoResubscribe: false,
    // INFO needs a permission of its own; what we need is tried instead.
    enableReadyCheck: false,
    // Understood by Redis 5, by Valkey, and by proxies.
    protocol: 2,
  });
  redis.on('error', () => {});
  return redis;
}

/** Host and port; never the user or the password. */
export function describeRedis(url: string): string {
  const host = URL.parse(url)?.host;
  return host ? host : 'REDIS_URL';
}

const REFUSALS: readonly (readonly [RegExp, string])[] = [
  [/^WRONGPASS|^ERR invalid password/, 'the user name or the password is wrong'],
  [/^NOAUTH/, 'it wants a password, and REDIS_URL has none'],
  [/^NOPERM/, 'the user lacks a permission (scripts, the keys tus-relay:*, the channels tus-relay:* are needed)'],
];

/** @returns why Redis turns us away, as a sentence without secrets; null when trying again can help */
export function redisRefusal(error: unknown): string | null {
  if (!(error instanceof Error)) return null;
  return REFUSALS.find(([pattern]) => pattern.test(error.message))?.[1] ?? null;
}

/** Short, and without what was sent: the code of a broken connection, or the first words of Redis' answer. */
export function redisFailure(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if ('code' in error && typeof error.code === 'string') return error.code;
  // ioredis' words for a connection that broke a moment ago.
  if (error.message.startsWith("Stream isn't writeable")) return 'the connection is broken';
  return error.message.split('\n', 1)[0]?.slice(0, 200) || error.name;
}
