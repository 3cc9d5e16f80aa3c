/** What the nodes of one deployment share beside the two stores: the lock, and the live events. */
import { MemoryLocker } from '../locks/memory-locker.ts';
import { RedisLocker } from '../locks/redis-locker.ts';
import type { NodeLocker } from '../locks/upload-locker.ts';
import type { Logger } from '../observability/logger.ts';
import type { EventBus } from '../pipeline/event-bus.ts';
import { MemoryEventBus } from '../pipeline/memory-event-bus.ts';
import { PostgresEventBus } from '../pipeline/postgres-event-bus.ts';

/** @throws StartError when Redis refuses our credentials; one that cannot be reached is waited for while we serve */
export function openLocker(redisUrl: string | null, logger: Logger): Promise<NodeLocker> {
  return redisUrl === null ? Promise.resolve(new MemoryLocker()) : RedisLocker.open(redisUrl, logger);
}

/** Through Postgres where there is one, since other nodes may be on it too. */
export function openEvents(databaseUrl: string | null, logger: Logger, opened: AsyncDisposableStack): EventBus {
  const onFailure = (error: unknown) => logger.error({ err: error }, 'a listener of live events failed');
  if (databaseUrl === null) return new MemoryEventBus(onFailure);
  return opened.adopt(new PostgresEventBus(databaseUrl, logger, onFailure), (it) => it.close());
}
