/**
 * Faults and counts of a server in a process of its own: `POST /__faults` with the token that it was started with.
 *
 * @example
 * POST /__faults   x-dev-s3-control: <token>
 * {"clear": true, "rules": [{"operation": "UploadPart", "times": 1, "action": {"kind": "drop-reply"}}]}
 * → {"counts": {"UploadPart": 3}}
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { z } from 'zod';
import { isSame } from './authenticate.ts';
import type { FaultRule, Faults } from './faults.ts';
import { isOperationName, type OperationName } from './operation.ts';

export const CONTROL_PATH = '/__faults';
export const CONTROL_HEADER = 'x-dev-s3-control';

const MAX_BYTES = 1024 * 1024;

const count = z.number().int().nonnegative();
const moment = z.enum(['start', 'received', 'done']);
const action = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('error'),
    status: z.number().int().min(200).max(599),
    code: z.string(),
    afterwards: z.boolean().exactOptional(),
  }),
  z.object({ kind: z.literal('delay'), ms: count, when: moment }),
  z.object({ kind: z.literal('hang'), when: moment }),
  z.object({ kind: z.literal('cut-request'), afterBytes: count }),
  z.object({ kind: z.literal('cut-answer'), afterBytes: count }),
  z.object({ kind: z.literal('drop-reply') }),
]);
const rule = z.object({
  operation: z.union([
    z.literal('*'),
    z.custom<OperationName>((name) => isOperationName(String(name)), 'no operation of S3'),
  ]),
  keyPart: z.string().exactOptional(),
  skip: count.exactOptional(),
  times: count.exactOptional(),
  probability: z.number().min(0).max(1).exactOptional(),
  seed: count.exactOptional(),
  action,
});

/** What is left out stays as it is; in the order of the fields. */
const command = z.strictObject({
  clear: z.literal(true).exactOptional(),
  resetCounts: z.literal(true).exactOptional(),
  rules: z.array(rule).exactOptional(),
  /** null ends it; without `forMs` it lasts until then. */
  outage: z
    .object({ kind: z.enum(['busy', 'cut']), forMs: count.exactOptional() })
    .nullable()
    .exactOptional(),
});
export type ControlCommand = z.input<typeof command>;

export function isControlRequest(req: IncomingMessage): boolean {
  return req.url === CONTROL_PATH;
}

/** Never rejects. */
export async function handleControl(
  req: IncomingMessage,
  res: ServerResponse,
  token: string,
  faults: Faults,
): Promise<void> {
  res.on('error', () => {});
  try {
    if (!isSame(token, String(req.headers[CONTROL_HEADER] ?? ''))) return answer(res, 403, { error: 'wrong token' });
    if (req.method !== 'POST') return answer(res, 405, { error: 'POST only' });
    const parsed = command.safeParse(JSON.parse(await textOf(req)));
    if (!parsed.success) return answer(res, 400, { error: z.prettifyError(parsed.error) });
    const { clear, resetCounts, rules, outage } = parsed.data;
    if (clear === true) faults.clear();
    if (resetCounts === true) faults.resetCounts();
    for (const one of rules ?? []) faults.add(one satisfies FaultRule);
    if (outage === null) faults.endOutage();
    else if (outage?.kind === 'busy') faults.startOutage('busy', outage.forMs);
    // Only when the answer is out: it breaks this connection too.
    else if (outage?.kind === 'cut') res.once('finish', () => faults.startOutage('cut', outage.forMs));
    answer(res, 200, { counts: faults.counts() });
  } catch (error) {
    answer(res, 400, { error: error instanceof Error ? error.message : String(error) });
  }
}

function answer(res: ServerResponse, status: number, body: object): void {
  if (res.headersSent || res.destroyed) return;
  res.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

async function textOf(req: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of req as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MAX_BYTES) throw new Error('the command is too long');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}
