/** Live events as text between nodes: JSON `{"from": node, "events": [...]}`. */
import { END_STATES, type FileEvent } from './event-bus.ts';

/** Postgres refuses a NOTIFY payload of 8,000 bytes or more. */
const MAX_PAYLOAD_BYTES = 7_900;

export interface EventMessage {
  from: string;
  events: FileEvent[];
}

/** @returns as few messages as the events fit in, in their order; an event that fits in none is left out */
export function packEvents(from: string, events: readonly FileEvent[]): string[] {
  const emptyBytes = Buffer.byteLength(wrap(from, []));
  const messages: string[] = [];
  let packed: string[] = [];
  let bytes = emptyBytes;
  for (const text of events.map((event) => JSON.stringify(event))) {
    const more = Buffer.byteLength(text) + 1;
    if (emptyBytes + more > MAX_PAYLOAD_BYTES) continue;
    if (bytes + more > MAX_PAYLOAD_BYTES) {
      messages.push(wrap(from, packed));
      packed = [];
      bytes = emptyBytes;
    }
    packed.push(text);
    bytes += more;
  }
  if (packed.length > 0) messages.push(wrap(from, packed));
  return messages;
}

function wrap(from: string, events: string[]): string {
  return `{"from":${JSON.stringify(from)},"events":[${events.join(',')}]}`;
}

/**
 * Events of a kind that we do not know (a newer node's, during a roll-out) are left out.
 *
 * @returns null for what is no message of ours
 */
export function unpackEvents(text: string): EventMessage | null {
  let message: unknown;
  try {
    message = JSON.parse(text);
  } catch {
    return null;
  }
  if (!isRecord(message) || typeof message.from !== 'string' || !Array.isArray(message.events)) return null;
  return { from: message.from, events: message.events.filter(isFileEvent) };
}

function isFileEvent(event: unknown): event is FileEvent {
  if (!isRecord(event)) return false;
  switch (event.type) {
    case 'progress':
      return typeof event.uploadId === 'string' && isByteCount(event.offset) && isByteCountOrNull(event.length);
    case 'ended':
      return typeof event.uploadId === 'string' && END_STATES.some((state) => state === event.state);
    case 'missed':
      return true;
    case 'finished':
    case 'thumbnails':
    case 'deleted':
      return typeof event.fileId === 'string';
    default:
      return false;
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

function isByteCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isByteCountOrNull(value: unknown): boolean {
  return value === null || isByteCount(value);
}
