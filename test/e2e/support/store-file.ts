import assert from 'node:assert/strict';
import type { PageServer } from './page-server.ts';

/** Uploads a file past the page. @returns its id */
export async function storeFile(
  server: PageServer,
  name: string,
  content: string | Buffer,
  type = 'text/plain',
): Promise<string> {
  const metadata = Object.entries({ filename: name, filetype: type });
  const answer = await fetch(`${server.url}/files`, {
    method: 'POST',
    headers: {
      'Tus-Resumable': '1.0.0',
      'Upload-Length': String(Buffer.byteLength(content)),
      'Upload-Metadata': metadata.map(([key, value]) => `${key} ${Buffer.from(value).toString('base64')}`).join(','),
      'Content-Type': 'application/offset+octet-stream',
    },
    body: content,
  });
  assert.equal(answer.status, 201, await answer.text());
  return answer.headers.get('location')?.split('/').at(-1) ?? '';
}
