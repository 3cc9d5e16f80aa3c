/** The commands' side of the control socket. */
import { once } from 'node:events';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { StartError } from '../errors.ts';
import { findControlAddress } from './control-address.ts';

/** Nobody listens: there is no server, or a killed one has left its socket behind. */
const NOBODY = new Set(['ENOENT', 'ECONNREFUSED', 'ENOTSOCK', 'ENOTDIR']);

/**
 * Has the server that holds the data folder do it, however long that takes.
 *
 * @param path of the control socket, whose answer `Report` is
 * @param onFound called for each thing that is told before the end (a sweep with `list`), and waited for
 * @returns null when no server is running there
 * @throws StartError with one sentence when it cannot be asked, or does not come to an end
 */
export async function askServer<Report, Found = never>(
  dataDir: string,
  path: '/sweep' | '/uploads' | '/jobs',
  wish: object,
  signal: AbortSignal,
  onFound: (found: Found) => void | Promise<void> = () => {},
): Promise<Report | null> {
  const body = JSON.stringify(wish);
  const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
  const socketPath = findControlAddress(dataDir);
  const request = httpRequest({ socketPath, method: 'POST', path, headers, signal });
  try {
    request.end(body);
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    if (response.statusCode !== 200) throw new Error((JSON.parse(await text(response)) as { message: string }).message);
    return await readAnswer<Report, Found>(response, onFound);
  } catch (error) {
    if (error instanceof Error && 'code' in error && NOBODY.has(String(error.code))) return null;
    if (signal.aborted) throw new StartError('interrupted; the server has been told to stop', { cause: error });
    const why = error instanceof Error ? error.message : String(error);
    throw new StartError(`the running server did not carry it out: ${why}`, { cause: error });
  }
}

/** One line of the answer: exactly one of these. */
interface Line<Report, Found> {
  found?: Found;
  report?: Report;
  message?: string;
}

async function readAnswer<Report, Found>(
  response: IncomingMessage,
  onFound: (found: Found) => void | Promise<void>,
): Promise<Report> {
  for await (const text of createInterface({ input: response, crlfDelay: Number.POSITIVE_INFINITY })) {
    const { found, report, message }: Line<Report, Found> = JSON.parse(text);
    if (report !== undefined) return report;
    if (found === undefined) throw new Error(message ?? 'it gave an answer that is none');
    await onFound(found);
  }
  throw new Error('it ended in the middle of its answer');
}
