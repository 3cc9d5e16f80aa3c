import { type DestinationStream, type Logger as PinoLogger, pino } from 'pino';
import type { LogLevel } from '../config.ts';

/** What the program's parts log with: an object of fields first, a sentence second. */
export type Logger = Pick<PinoLogger, 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal'>;

/**
 * JSON lines, one an event: `{"level":"info","time":"2026-01-01T00:00:00.000Z","msg":"…"}`.
 *
 * @param destination left out: stdout, written at once, so that the last words of a dying process are not lost
 * @param fields stand in every line
 */
export function createLogger(level: LogLevel, destination?: DestinationStream, fields: object | null = null): Logger {
  return pino(
    {
      level,
      base: fields,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: describeError },
    },
    destination ?? pino.destination({ fd: 1, sync: true }),
  );
}

/**
 * An error without the properties that a library hung on it: an AWS error carries the whole response, a database
 * error may carry the row.
 */
function describeError(error: unknown): unknown {
  if (!(error instanceof Error)) return describeThrown(error);
  return {
    name: error.name,
    ...('code' in error ? { code: error.code } : {}),
    message: error.message,
    stack: error.stack,
    ...(error.cause === undefined ? {} : { cause: describeError(error.cause) }),
  };
}

/** Libraries throw plain objects, too (pg-boss): what they say in words, and nothing else of them. */
function describeThrown(thrown: unknown): object {
  if (typeof thrown !== 'object' || thrown === null) return { message: String(thrown) };
  const words = Object.entries(thrown).filter(([name, value]) => WORDS.has(name) && typeof value === 'string');
  const said = Object.fromEntries(words);
  return 'message' in said
    ? said
    : { ...said, message: `something without a message: ${Object.keys(thrown).join(', ')}` };
}

const WORDS = new Set(['name', 'code', 'message', 'stack', 'queue']);
