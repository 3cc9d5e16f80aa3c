/** A client that does what a server asks for: after 423 and 503 it waits and tries again, and so after a lost connection. */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { ConnectionLostError, type Exchange } from '../../support/http-exchange.ts';
import { head, patch } from '../../support/tus-client.ts';

const PATIENCE_MS = 90_000;
const AFTER_LOSS_MS = 200;

/** @throws AssertionError for a 503, or a 423 of an outage, that does not say when to come again */
export async function askPatiently(ask: () => Promise<Exchange>): Promise<Exchange> {
  for (const until = Date.now() + PATIENCE_MS; ; ) {
    const answer = await ask().catch((error) => {
      if (error instanceof ConnectionLostError && Date.now() < until) return null;
      throw error;
    });
    if (answer !== null && answer.status !== 423 && answer.status !== 503) return answer;
    if (Date.now() > until) throw new Error(`still ${answer?.status} after ${PATIENCE_MS} ms: ${answer?.body}`);
    if (answer === null) await sleep(AFTER_LOSS_MS);
    else await sleep(retryAfterMs(answer));
  }
}

/** The offset that a client may go on from, whoever is still busy with the upload. */
export async function offsetAt(url: string): Promise<number> {
  const answer = await askPatiently(() => head(url));
  assert.equal(answer.status, 200, String(answer.status));
  return Number(answer.headers['upload-offset']);
}

/**
 * Sends what is missing, as often as it takes.
 *
 * @param url of the upload, at the node to go through
 * @param acknowledged what some answer has called stored: V1 is broken when less is there
 */
export async function finish(url: string, content: Buffer, acknowledged = 0): Promise<void> {
  let known = acknowledged;
  for (const until = Date.now() + PATIENCE_MS; ; ) {
    const offset = await offsetAt(url);
    assert.ok(offset >= known, `${offset} bytes are there, ${known} were acknowledged`);
    known = offset;
    if (offset === content.length) return;
    assert.ok(Date.now() < until, `the upload stays at ${offset} of ${content.length} bytes`);
    const answer = await patch(url, offset, content.subarray(offset)).catch((error) => {
      if (error instanceof ConnectionLostError) return null;
      throw error;
    });
    if (answer?.status === 204) known = Number(answer.headers['upload-offset']);
  }
}

function retryAfterMs({ status, headers }: Exchange): number {
  const secs = Number(headers['retry-after']);
  assert.ok(secs > 0, `a ${status} without Retry-After`);
  return secs * 1_000;
}
