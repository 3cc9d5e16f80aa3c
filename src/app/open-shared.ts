/** What the nodes of one deployment share beside the two stores: the lock, and the live events. */
import { PostgresMessages } from '../catalog/postgres-messages.ts';
import type { Secrets } from '../config.ts';
import { MemoryLocker } from '../locks/memory-locker.ts';
import { PostgresLocker } from '../locks/postgres-locker.ts';
import { RedisLocker } from '../locks/redis-locker.ts';
import type { NodeLocker } from '../locks/upload-locker.ts';
import type { Logger } from '../observability/logger.ts';
import type { EventBus } from '../pipeline/event-bus.ts';
import { MemoryEventBus } from '../pipeline/memory-event-bus.ts';
import { PostgresEventBus } from '../pipeline/postgres-event-bus.ts';

export interface SharedParts {
  readonly locker: NodeLocker;
  readonly events: EventBus;
}

/**
 * Events go through Postgres where there is one, since other nodes may be on it too; so does the lock without Redis.
 *
 * @throws StartError when Redis refuses our credentials; one that cannot be reached is waited for while we serve
 */
export async function openShared(
  { databaseUrl, redisUrl }: Pick<Secrets, 'databaseUrl' | 'redisUrl'>,
  logger: Logger,
  opened: AsyncDisposableStack,
): Promise<SharedParts> {
  const messages = databaseUrl === null ? null : openMessages(databaseUrl, logger, opened);
  const events = openBus(messages, logger, opened);
  const locker = await openLocker(redisUrl, messages, logger, opened);
  messages?.start();
  return { events, locker };
}

/** The events alone, for a command beside the servers. */
export function openEvents(databaseUrl: string | null, logger: Logger, opened: AsyncDisposableStack): EventBus {
  const messages = databaseUrl === null ? null : openMessages(databaseUrl, logger, opened);
  const events = openBus(messages, logger, opened);
  messages?.start();
  return events;
}

/** Not started yet: who listens says so before. */
function openMessages(databaseUrl: string, logger: Logger, opened: AsyncDisposableStack): PostgresMessages {
  return opened.adopt(new PostgresMessages(databaseUrl, logger), (it) => it.close());
}

function openBus(messages: PostgresMessages | null, logger: Logger, opened: AsyncDisposableStack): EventBus {
  const onFailure = (error: unknown) => logger.error({ err: error }, 'a listener of live events failed');
  if (messages === null) return new MemoryEventBus(onFailure);
  return opened.adopt(new PostgresEventBus(messages, onFailure), (it) => it.close());
}

async function openLocker(
  redisUrl: string | null,
  messages: PostgresMessages | null,
  logger: Logger,
  opened: AsyncDisposableStack,
): Promise<NodeLocker> {
  if (redisUrl !== null) return opened.adopt(await RedisLocker.open(redisUrl, logger), (it) => it.close());
  return messages === null ? new MemoryLocker() : new PostgresLocker(messages);
}
