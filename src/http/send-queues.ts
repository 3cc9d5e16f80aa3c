import { readFile } from 'node:fs/promises';
import type { Socket } from 'node:net';

/** Bytes that the system still holds of what it was given for a connection, by {@link connectionName}. */
export type SendQueues = ReadonlyMap<string, number>;

/**
 * Ports are enough to tell our connections apart, but for two clients with the same port at different addresses: their
 * numbers are added up, and one that has stalled may be taken for one that reads.
 */
export function connectionName(socket: Socket): string {
  return `${socket.localPort}:${socket.remotePort}`;
}

/**
 * What the other side of each connection has not acknowledged, as Linux tells it. Elsewhere it is not to be had: the map
 * is empty.
 */
export async function readSendQueues(): Promise<SendQueues> {
  const queues = new Map<string, number>();
  for (const text of await Promise.all(['/proc/net/tcp', '/proc/net/tcp6'].map(readIfThere))) {
    for (const [, localPort = '', remotePort = '', bytes = ''] of text.matchAll(CONNECTION)) {
      const name = `${Number.parseInt(localPort, 16)}:${Number.parseInt(remotePort, 16)}`;
      queues.set(name, (queues.get(name) ?? 0) + Number.parseInt(bytes, 16));
    }
  }
  return queues;
}

/** A line of those that have something to send: `sl local_address:port rem_address:port st tx_queue:rx_queue …`. */
const CONNECTION = /^ *\d+: [\dA-F]+:([\dA-F]{4}) [\dA-F]+:([\dA-F]{4}) [\dA-F]{2} (?!00000000)([\dA-F]{8}):/gm;

async function readIfThere(path: string): Promise<string> {
  try {
    return await readFile(path, 'latin1');
  } catch {
    return '';
  }
}
