/** The commands' side of the control socket. */
import { once } from 'node:events';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { StartError } from '../errors.ts';
import type { FoundItem, OnFound } from '../relay/deep-sweep-report.ts';
import { findControlAddress } from './control-address.ts';
import type { SweepReport, SweepRequest } from './sweep-parts.ts';

/** Nobody listens: there is no server, or a killed one has left its socket behind. */
const NOBODY = new Set(['ENOENT', 'ECONNREFUSED', 'ENOTSOCK', 'ENOTDIR']);

/**
 * Has the server that holds the data folder sweep, however long that takes.
 *
 * @param onFound with `list`: called for each thing that a deep sweep finds, and waited for
 * @returns null when no server is running there
 * @throws StartError with one sentence when it cannot be asked, or does not come to an end
 */
export async function askServerToSweep(
  dataDir: string,
  wish: SweepRequest,
  signal: AbortSignal,
  onFound: OnFound = () => {},
): Promise<SweepReport | null> {
  const body = JSON.stringify(wish);
  const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
  const socketPath = findControlAddress(dataDir);
  const request = httpRequest({ socketPath, method: 'POST', path: '/sweep', headers, signal });
  try {
    request.end(body);
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    if (response.statusCode !== 200) throw new Error((JSON.parse(await text(response)) as { message: string }).message);
    return await readAnswer(response, onFound);
  } catch (error) {
    if (error instanceof Error && 'code' in error && NOBODY.has(String(error.code))) return null;
    if (signal.aborted)
      throw new StartError('interrupted; the server has been told to stop sweeping', { cause: error });
    const why = error instanceof Error ? error.message : String(error);
    throw new StartError(`the running server did not carry the sweep out: ${why}`, { cause: error });
  }
}

/** One line of the answer: exactly one of these. */
interface Line {
  found?: FoundItem;
  report?: SweepReport;
  message?: string;
}

async function readAnswer(response: IncomingMessage, onFound: OnFound): Promise<SweepReport> {
  for await (const text of createInterface({ input: response, crlfDelay: Number.POSITIVE_INFINITY })) {
    const { found, report, message }: Line = JSON.parse(text);
    if (report !== undefined) return report;
    if (found === undefined) throw new Error(message ?? 'it gave an answer that is none');
    await onFound(found);
  }
  throw new Error('it ended in the middle of its answer');
}
