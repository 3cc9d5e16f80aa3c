/**
 * The steps of the lock in Redis, each one atomic. Of an upload there are three keys, in one slot of a cluster:
 *
 * - `lock`: a hash of the owner's token and the time (Redis' clock, ms) until which it holds. The key outlives that
 *   time a little, so that whoever takes an expired lock knows that it was not given back.
 * - `order`: those who wait, by order of arrival.
 * - `seen`: the same, by when they last asked. Whoever has been silent for too long has no place any more.
 *
 * A token is `{node}/{random}`, or `{node}/patient-{random}` of one that does not ask the holder to let go. Messages go
 * to the channel of the node that they concern, and only there.
 */
import { createHash, randomUUID } from 'node:crypto';

/** How long an expired lock is remembered. */
const MEMORY_MS = 60_000;

const COMMON = `
local token, ttl, silent, channels, upload = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4], ARGV[5]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local lock = redis.call('HMGET', KEYS[1], 'token', 'until')
local holder, held = lock[1], lock[1] and tonumber(lock[2]) > now

local function tell(whom, message)
  redis.call('PUBLISH', channels .. string.match(whom, '^[^/]+'), message)
end

local function leave(who)
  redis.call('ZREM', KEYS[2], who)
  redis.call('ZREM', KEYS[3], who)
end

local function hold()
  redis.call('HSET', KEYS[1], 'token', token, 'until', now + ttl)
  redis.call('PEXPIRE', KEYS[1], ttl + ${MEMORY_MS})
end

local function patient(who)
  return string.find(who, '/patient-', 1, true)
end

local function first()
  local waiting = redis.call('ZRANGE', KEYS[2], 0, 0)[1]
  if not waiting then return nil end
  for _, gone in ipairs(redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', now - silent)) do leave(gone) end
  return redis.call('ZRANGE', KEYS[2], 0, 0)[1]
end
`;

/** Returns 0: wait; 1: taken; 2: taken from one who had let it expire. A second call of the holder's is 1, too. */
const TAKE = `${COMMON}
local mine = holder == token
local ahead = nil
if not mine and not held then ahead = first() end
if mine or (not held and (not ahead or ahead == token)) then
  hold()
  leave(token)
  if holder and not mine then return 2 end
  return 1
end
local last = redis.call('ZRANGE', KEYS[2], -1, -1, 'WITHSCORES')
redis.call('ZADD', KEYS[2], 'NX', (tonumber(last[2]) or 0) + 1, token)
redis.call('ZADD', KEYS[3], now, token)
redis.call('PEXPIRE', KEYS[2], silent * 2)
redis.call('PEXPIRE', KEYS[3], silent * 2)
if not held then tell(ahead, 'free ' .. ahead)
elseif not patient(token) then tell(holder, 'wanted ' .. upload) end
return 0
`;

/**
 * Returns how many wait impatiently, or -1: another one has taken the lock. A lock that nobody took is the holder's again, even if
 * it had expired or Redis had forgotten it.
 */
const RENEW = `${COMMON}
if holder and holder ~= token then return -1 end
hold()
leave(token)
local waiting = 0
for _, who in ipairs(redis.call('ZRANGEBYSCORE', KEYS[3], '(' .. (now - silent), '+inf')) do
  if not patient(who) then waiting = waiting + 1 end
end
return waiting
`;

/** Gives the lock or the place in the queue back, and wakes the next. Returns -1 when the lock is another one's. */
const RELEASE = `${COMMON}
local mine = holder == token
if mine then redis.call('DEL', KEYS[1]) end
leave(token)
if mine or not held then
  local next = first()
  if next then tell(next, 'free ' .. next) end
end
if holder and not mine then return -1 end
return 0
`;

export interface LuaScript {
  readonly source: string;
  /** What EVALSHA names it by. */
  readonly sha1: string;
}

export const takeScript = luaScript(TAKE);
export const renewScript = luaScript(RENEW);
export const releaseScript = luaScript(RELEASE);

function luaScript(source: string): LuaScript {
  return { source, sha1: createHash('sha1').update(source).digest('hex') };
}

/** A new one, which names this hold and no other. */
export function lockToken(nodeId: string, patient: boolean): string {
  return `${nodeId}/${patient ? 'patient-' : ''}${randomUUID()}`;
}

const PREFIX = 'tus-relay:';

/** Of the messages to a node. */
export function nodeChannel(nodeId: string): string {
  return `${CHANNELS}${nodeId}`;
}

const CHANNELS = `${PREFIX}node:`;

export type LockMessage = { kind: 'wanted'; uploadId: string } | { kind: 'free'; token: string };

/** @returns null for what no version of ours says */
export function readLockMessage(text: string): LockMessage | null {
  const [kind, subject] = text.split(' ', 2);
  if (subject === undefined) return null;
  if (kind === 'wanted') return { kind, uploadId: subject };
  return kind === 'free' ? { kind, token: subject } : null;
}

export type RunScript = (script: LuaScript, keys: string[], args: (string | number)[]) => Promise<unknown>;

/** The scripts with the keys and arguments that they share. All reject when Redis does not do what it was asked. */
export class RedisLockScripts {
  readonly #run: RunScript;
  readonly #ttlMs: number;
  readonly #silentMs: number;

  /** @param silentMs a waiter that has not asked for so long has no place any more */
  constructor(run: RunScript, ttlMs: number, silentMs: number) {
    this.#run = run;
    this.#ttlMs = ttlMs;
    this.#silentMs = silentMs;
  }

  async take(uploadId: string, token: string): Promise<'taken' | 'taken-over' | 'wait'> {
    const answer = await this.#call(takeScript, uploadId, token);
    if (answer === 2) return 'taken-over';
    return answer === 1 ? 'taken' : 'wait';
  }

  /** @returns how many wait for the lock and want it now; null: it is another one's */
  async renew(uploadId: string, token: string): Promise<number | null> {
    const waiting = await this.#call(renewScript, uploadId, token);
    return waiting < 0 ? null : waiting;
  }

  /** @returns false when the lock is another one's */
  async release(uploadId: string, token: string): Promise<boolean> {
    return (await this.#call(releaseScript, uploadId, token)) === 0;
  }

  async #call(script: LuaScript, uploadId: string, token: string): Promise<number> {
    const keys = ['lock', 'order', 'seen'].map((part) => `${PREFIX}${part}:{${uploadId}}`);
    return Number(await this.#run(script, keys, [token, this.#ttlMs, this.#silentMs, CHANNELS, uploadId]));
  }
}
