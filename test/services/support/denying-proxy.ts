/** An S3 server that denies one thing: everything else goes through to a real one. */
import { createServer, type IncomingHttpHeaders, type IncomingMessage, request, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TestContext } from 'node:test';

export interface DenyingProxy {
  readonly endpoint: string;
  /** From now on. null: nothing. */
  deny(what: Denied | null): void;
}

/** @returns whether the request is one that the policy of the bucket denies */
export type Denied = (method: string, url: URL, headers: IncomingHttpHeaders) => boolean;

const ACCESS_DENIED = '<?xml version="1.0"?>\n<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>';

export async function startDenyingProxy(t: TestContext, to: string, denied: Denied | null): Promise<DenyingProxy> {
  let policy = denied;
  const server = createServer((incoming, response) => {
    const url = new URL(incoming.url ?? '/', to);
    if (policy?.(incoming.method ?? '', url, incoming.headers)) refuse(incoming, response);
    else forward(incoming, response, url);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    deny: (what) => {
      policy = what;
    },
  };
}

function refuse(incoming: IncomingMessage, response: ServerResponse): void {
  incoming.resume();
  incoming.once('end', () => response.writeHead(403, { 'Content-Type': 'application/xml' }).end(ACCESS_DENIED));
}

/** With its headers as they are: the signature is about the Host that the client knows. */
function forward(incoming: IncomingMessage, response: ServerResponse, url: URL): void {
  const outgoing = request(url, { method: incoming.method, headers: incoming.headers, agent: false }, (answer) => {
    response.writeHead(answer.statusCode ?? 502, answer.headers);
    answer.pipe(response);
  });
  outgoing.on('error', () => response.destroy());
  incoming.pipe(outgoing);
}
