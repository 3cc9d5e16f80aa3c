/** What a page is told, by the real server: every upload has one event for its end, and none after it. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { type HeardEvent, readEvents } from '../support/event-reader.ts';
import { eventually } from '../support/eventually.ts';
import { runSweepCommand } from '../support/run-sweep-command.ts';
import { startServerProcess } from '../support/server-process.ts';
import { createUpload, OFFSET_BODY, patch, TUS, terminate } from '../support/tus-client.ts';

const idOf = (url: string) => url.split('/').at(-1) as string;
const about = (heard: readonly HeardEvent[], uploadId: string) =>
  heard.filter(({ data }) =>
    [data.uploadId, data.id, (data.file as { id?: string } | undefined)?.id].includes(uploadId),
  );

test('an upload that is cancelled, expires, finishes or is deleted as a file: each end is told once, and nothing after it', async (t) => {
  const dataDir = mkdtempSync(join(tmpdir(), 'tus-relay-events-'));
  t.after(() => rmSync(dataDir, { recursive: true, force: true, maxRetries: 3 }));
  const env = { DATA_DIR: dataDir, LOG_LEVEL: 'warn', UPLOAD_EXPIRES_SECS: '5' };
  const server = await startServerProcess(t, { env });
  const files = `${server.url}/files`;
  const heard = await readEvents(t, server.url);
  const untilTold = (uploadId: string, type: string) =>
    eventually(`${type} is told`, async () => about(heard, uploadId).find((event) => event.type === type));

  const expiring = await createUpload(files, 100);

  const cancelled = await createUpload(files, 100_000);
  // A page's Cancel: the running request is cut, and the upload deleted while what had arrived is being stored.
  const cut = new AbortController();
  const body = new ReadableStream({ pull: (controller) => controller.enqueue(randomBytes(1_000)) });
  const headers = { ...TUS, ...OFFSET_BODY, 'Upload-Offset': '0' };
  const running = fetch(cancelled, {
    method: 'PATCH',
    headers,
    body,
    duplex: 'half',
    signal: cut.signal,
  } as RequestInit);
  const broken = assert.rejects(running, { name: 'AbortError' });
  cut.abort();
  assert.equal((await terminate(cancelled)).status, 204);
  await broken;
  assert.deepEqual((await untilTold(idOf(cancelled), 'ended')).data, {
    uploadId: idOf(cancelled),
    state: 'terminated',
  });

  const finished = await createUpload(files, 10);
  assert.equal((await patch(finished, 0, randomBytes(10))).status, 204);
  await untilTold(idOf(finished), 'finished');
  assert.equal((await fetch(`${server.url}/api/files/${idOf(finished)}`, { method: 'DELETE' })).status, 204);
  assert.deepEqual((await untilTold(idOf(finished), 'deleted')).data, { id: idOf(finished) });

  await eventually('its time is over', async () => {
    const { status } = await fetch(expiring, { method: 'HEAD', headers: TUS });
    return status === 410 ? true : undefined;
  });
  assert.equal((await runSweepCommand(env)).code, 0);
  assert.deepEqual((await untilTold(idOf(expiring), 'ended')).data, { uploadId: idOf(expiring), state: 'expired' });

  // Later than anything that was on its way.
  const last = await createUpload(files, 100);
  await patch(last, 0, randomBytes(50));
  await terminate(last);
  await untilTold(idOf(last), 'ended');
  const typesOf = (url: string) => about(heard, idOf(url)).map(({ type }) => type);
  assert.deepEqual(typesOf(expiring), ['ended']);
  assert.deepEqual(
    typesOf(cancelled).filter((type) => type !== 'progress'),
    ['ended'],
  );
  assert.equal(typesOf(cancelled).at(-1), 'ended');
  assert.deepEqual(
    typesOf(finished).filter((type) => type !== 'progress'),
    ['finished', 'deleted'],
  );
  assert.equal(typesOf(last).at(-1), 'ended');
});
