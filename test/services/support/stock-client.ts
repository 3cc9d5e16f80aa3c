/** tus-js-client as it comes, with its own delays and its own idea of what is worth another try, and what it met. */
import type { Agent } from 'node:http';
import { Agent as TlsAgent } from 'node:https';
import { DefaultHttpStack, Upload, type UploadOptions } from 'tus-js-client';

/** What all uploads of a test met on their way. */
export class Tally {
  /** Answers by `METHOD status`; `METHOD lost` where none came. */
  readonly answers = new Map<string, number>();
  /** How often the upload that met most had to ask for its offset. */
  mostResumed = 0;

  count(what: string): void {
    this.answers.set(what, (this.answers.get(what) ?? 0) + 1);
  }

  sum(isMeant: (what: string) => boolean): number {
    return [...this.answers].reduce((sum, [what, times]) => sum + (isMeant(what) ? times : 0), 0);
  }

  toString(): string {
    const sorted = [...this.answers].toSorted(([one], [other]) => one.localeCompare(other));
    return sorted.map(([what, times]) => `${what}: ${times}`).join(', ');
  }
}

/** For a proxy of this machine: its certificate is trusted, and every name leads to it. */
export function localTlsAgent(ca: string): TlsAgent {
  return new TlsAgent({
    ...{ keepAlive: true, ca },
    lookup: (_name, { all }, tell) => {
      if (all) tell(null, [{ address: '127.0.0.1', family: 4 }]);
      else tell(null, '127.0.0.1', 4);
    },
  });
}

/**
 * @returns the upload's address when it has come to its end
 * @throws the client's own error when it gives up; Error when a server named a smaller offset than before (V2)
 */
export function uploadByStockClient(
  content: Buffer,
  endpoint: string,
  agent: Agent,
  tally: Tally,
  options: Partial<UploadOptions> = {},
): Promise<string> {
  return new Promise((resolve, reject) => {
    let asked: string | null = null;
    let resumed = 0;
    let knownBytes = 0;
    const noAnswer = () => {
      if (asked !== null) tally.count(`${asked} lost`);
      asked = null;
    };
    const upload = new Upload(content, {
      ...{ endpoint, httpStack: new DefaultHttpStack({ agent }) },
      onBeforeRequest: (request) => {
        noAnswer();
        asked = request.getMethod();
        if (asked === 'HEAD') tally.mostResumed = Math.max(tally.mostResumed, ++resumed);
      },
      onAfterResponse: (request, response) => {
        asked = null;
        tally.count(`${request.getMethod()} ${response.getStatus()}`);
        const offset = response.getHeader('Upload-Offset');
        if (offset === undefined) return;
        if (Number(offset) < knownBytes) {
          reject(new Error(`${knownBytes} bytes of ${upload.url} were acknowledged, and now ${offset}`));
        }
        knownBytes = Number(offset);
      },
      onSuccess: () => resolve(upload.url ?? ''),
      onError: (error) => {
        noAnswer();
        reject(error);
      },
      ...options,
    });
    upload.start();
  });
}
