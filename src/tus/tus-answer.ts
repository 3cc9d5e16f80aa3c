import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http';

/** What a client may go on sending after an early answer before the connection is cut. */
const LINGER_BYTES = 1024 * 1024;
const LINGER_MS = 2_000;

/**
 * Sends an answer. When the request's body is not through yet, the connection is closed behind the answer, but not at
 * once: closing a socket with unread bytes resets it, and the client would lose the answer with it.
 */
export function answer(
  request: IncomingMessage,
  response: ServerResponse,
  status: number,
  headers: OutgoingHttpHeaders,
  body = '',
): void {
  if (response.headersSent || response.destroyed) return;
  const unread = !request.complete;
  response.writeHead(status, {
    ...headers,
    ...(body === '' ? {} : { 'Content-Type': 'text/plain; charset=utf-8' }),
    ...(status === 204 ? {} : { 'Content-Length': Buffer.byteLength(body) }),
    ...(unread ? { Connection: 'close' } : {}),
  });
  const sent = request.method === 'HEAD' || status === 204 ? '' : body;
  if (!unread) {
    response.end(sent);
    return;
  }
  // Node closes the socket when the response ends: it ends when the client has had time to read what is sent here.
  response.flushHeaders();
  if (sent !== '') response.write(sent);
  linger(request, () => response.end());
}

function linger(request: IncomingMessage, end: () => void): void {
  let bytes = 0;
  const timer = setTimeout(end, LINGER_MS);
  request.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > LINGER_BYTES) end();
  });
  for (const event of ['end', 'close', 'error']) {
    request.once(event, () => {
      clearTimeout(timer);
      end();
    });
  }
  request.resume();
}
