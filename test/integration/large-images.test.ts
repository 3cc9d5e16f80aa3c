/** Images of every size, uploaded at once to the real server. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import sharp from 'sharp';
import { bombPng } from '../support/bomb-png.ts';
import { eventually } from '../support/eventually.ts';
import { startServerProcess } from '../support/server-process.ts';
import { createUpload, patch } from '../support/tus-client.ts';

interface FileJson {
  width: number | null;
  thumbs: object | null;
  problem: string | null;
}

test('bombs are refused by their headers, large images have their turn, small ones and uploads go on', async (t) => {
  const server = await startServerProcess(t, { env: { LOG_LEVEL: 'warn' } });
  const plain = (width: number) => sharp({ create: { width, height: width, channels: 4, background: '#3a6ea5' } });
  const large = await plain(4_200).png().toBuffer(); // 67 MiB
  const upload = async (content: Buffer) => {
    const url = await createUpload(`${server.url}/files`, content.length);
    assert.equal((await patch(url, 0, content)).status, 204);
    return url.split('/').at(-1) as string;
  };
  const bombs = [bombPng({ width: 9_000, height: 9_000 }), bombPng({ width: 12_000, height: 12_000, depth: 1 })];
  const [first, second, ...larges] = await Promise.all([...bombs, large, large].map(upload));
  const small = await upload(await plain(900).jpeg().toBuffer());
  const looked = (fileId: string | undefined) =>
    eventually('its image has been looked at', async () => {
      const file = (await (await fetch(`${server.url}/api/files/${fileId}`)).json()) as FileJson;
      return file.thumbs === null && file.problem === null ? undefined : file;
    });
  assert.match((await looked(first)).problem ?? '', /9000 × 9000 pixels and takes 618 MiB/);
  assert.match((await looked(second)).problem ?? '', /100 megapixels/);
  assert.equal((await looked(small)).width, 900);
  for (const fileId of larges)
    assert.deepEqual([(await looked(fileId)).width, (await looked(fileId)).problem], [4_200, null]);
});
