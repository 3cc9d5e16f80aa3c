import { once } from 'node:events';
import { type ClientRequest, type IncomingMessage, request } from 'node:http';
import type { TestContext } from 'node:test';
import type { ServerProcess } from '../../support/server-process.ts';

export interface HeardEvent {
  type: string;
  data: Record<string, unknown>;
}

/** A browser that listens to the live events of one node. */
export class EventReader {
  readonly #sending: ClientRequest;
  #text = '';

  constructor(sending: ClientRequest, response: IncomingMessage) {
    this.#sending = sending;
    response.setEncoding('utf8').on('data', (text: string) => {
      this.#text += text;
    });
    response.on('error', () => {}); // it leaves in the middle
  }

  /** So far, in their order. */
  get heard(): HeardEvent[] {
    const whole = this.#text.slice(0, this.#text.lastIndexOf('\n\n') + 2);
    return [...whole.matchAll(/^event: (\w+)\ndata: (.*)\n\n/gm)].map(([, type = '', data = '']) => ({
      type,
      data: JSON.parse(data),
    }));
  }

  close(): void {
    this.#sending.destroy();
  }
}

/** It has begun to listen when this comes back. */
export async function readEvents(t: TestContext, node: ServerProcess): Promise<EventReader> {
  const sending = request(`${node.url}/api/events`, { agent: false }).end();
  sending.on('error', () => {});
  const [response] = await once(sending, 'response');
  const reader = new EventReader(sending, response);
  t.after(() => reader.close());
  return reader;
}
