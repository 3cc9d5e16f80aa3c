import type { TestContext } from 'node:test';
import { Redis } from 'ioredis';
import type { LinkLogger } from '../../../src/locks/redis-link.ts';
import { RedisLocker, type RedisLockTimes } from '../../../src/locks/redis-locker.ts';
import { type RedisServer, startRedis } from '../../support/services/start-redis.ts';
import { until } from './until.ts';

/** The product's times, shortened; a test that is about one of them says so. */
export const SHORT_TIMES: Partial<RedisLockTimes> = { checkEveryMs: 50, renewEveryMs: 200, commandTimeoutMs: 10_000 };

export interface LoggedLine {
  level: 'info' | 'warn' | 'error';
  fields: object;
  message: string;
}

export interface TestNode {
  locker: RedisLocker;
  log: LoggedLine[];
}

export async function startTestRedis(
  t: TestContext,
  options: { password?: string; config?: string } = {},
): Promise<RedisServer> {
  const server = await startRedis(options);
  t.after(() => server.stop());
  return server;
}

/** A connection of the test's own, to look and to meddle. */
export function openRedis(t: TestContext, url: string): Redis {
  const redis = new Redis(url, { lazyConnect: true });
  redis.on('error', () => {});
  t.after(() => redis.disconnect());
  return redis;
}

export async function openNode(t: TestContext, url: string, times: Partial<RedisLockTimes> = {}): Promise<TestNode> {
  const log: LoggedLine[] = [];
  const locker = await RedisLocker.open(url, recordingLogger(log), { ...SHORT_TIMES, ...times });
  t.after(() => locker.close());
  return { locker, log };
}

export function recordingLogger(log: LoggedLine[]): LinkLogger {
  const record = (level: LoggedLine['level']) => (fields: object, message: string) => {
    log.push({ level, fields, message });
  };
  return { info: record('info'), warn: record('warn'), error: record('error') };
}

/** How many nodes wait for an upload. */
export function waitingNodes(redis: Redis, uploadId: string): Promise<number> {
  return redis.zcard(`tus-relay:order:{${uploadId}}`);
}

export async function untilWaiting(redis: Redis, uploadId: string, nodes: number): Promise<void> {
  await until(`${nodes} nodes wait for ${uploadId}`, async () => (await waitingNodes(redis, uploadId)) === nodes);
}
