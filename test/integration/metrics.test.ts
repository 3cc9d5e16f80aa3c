/** The metrics of a real server with everything embedded, over HTTP. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventually } from '../support/eventually.ts';
import { scrape } from '../support/read-metrics.ts';
import { startServerProcess } from '../support/server-process.ts';
import { patternBytes } from '../support/test-relay.ts';
import { createUpload, patch, terminate } from '../support/tus-client.ts';

const MIB = 1024 * 1024;
const S3_CALLS = 'tus_relay_s3_request_duration_seconds_count';

test('a server tells what it did: uploads, bytes, calls to S3, requests, buffers, locks, catalog, jobs, itself', async (t) => {
  const server = await startServerProcess(t);
  const filesUrl = `${server.url}/files`;
  const [small, large] = [patternBytes(1_000), patternBytes(6 * MIB)];
  const first = await createUpload(filesUrl, small.length);
  assert.equal((await patch(first, 0, small)).status, 204);
  const second = await createUpload(filesUrl, large.length);
  assert.equal((await patch(second, 0, large)).status, 204);
  await createUpload(filesUrl, 100);
  assert.equal((await terminate(first)).status, 204);

  const seen = await scrape(server.url);
  assert.equal(seen.find('tus_relay_uploads_created_total'), 3);
  assert.equal(seen.find('tus_relay_uploads_finished_total'), 2);
  assert.equal(seen.find('tus_relay_uploads_terminated_total'), 1);
  assert.equal(seen.find('tus_relay_writer_takeovers_total'), 0);
  assert.equal(seen.find('tus_relay_committed_bytes_total'), small.length + large.length);
  assert.ok(seen.sum('tus_relay_http_received_bytes_total') > small.length + large.length);
  // The marker in the bucket is one more.
  assert.ok((seen.find(`${S3_CALLS}{operation="PutObject",outcome="ok"}`) ?? 0) >= 1);
  assert.equal(seen.find(`${S3_CALLS}{operation="UploadPart",outcome="ok"}`), 2);
  assert.equal(seen.find(`${S3_CALLS}{operation="CompleteMultipartUpload",outcome="ok"}`), 1);
  assert.equal(seen.find('tus_relay_s3_sent_bytes_total{operation="UploadPart"}'), large.length);
  const patches = 'tus_relay_http_request_duration_seconds_count{area="tus",method="PATCH",status="2xx"}';
  assert.equal(seen.find(patches), 2);
  assert.equal(seen.find('tus_relay_buffer_capacity_bytes'), 256 * MIB);
  assert.equal(seen.find('tus_relay_buffer_in_flight_bytes'), 0);
  assert.ok((seen.find('tus_relay_locks_acquired_total') ?? 0) >= 2);
  assert.equal(seen.find('tus_relay_lock_degraded'), 0);
  assert.equal(seen.find('tus_relay_catalog_up'), 1);
  assert.equal(seen.find('tus_relay_uploads{state="open"}'), 1);
  assert.equal(seen.find('tus_relay_uploads{state="terminated"}'), 1);
  assert.equal(seen.find('tus_relay_uploads{state="completing"}'), 0);
  assert.notEqual(seen.find('tus_relay_jobs{queue="upload-completion",state="ready"}'), undefined);
  assert.ok((seen.find('process_resident_memory_bytes') ?? 0) > 0);
  for (const url of [first, second]) {
    assert.ok(!seen.text.includes(url.split('/').at(-1) ?? ''), 'ids are nobody’s business');
  }
});

test('a writer that is taken over is counted', async (t) => {
  const server = await startServerProcess(t);
  const bytes = patternBytes(8 * MIB);
  const url = await createUpload(`${server.url}/files`, bytes.length);
  const begun = bytes.subarray(0, 6 * MIB);
  const cut = patch(url, 0, begun, { 'Content-Length': bytes.length }).catch(() => null);
  await eventually('the first part is committed, and the second one is awaited', async () => {
    const seen = await scrape(server.url);
    return seen.find('tus_relay_committed_bytes_total') === 5 * MIB ? true : undefined;
  });
  await server.kill(); // its token stays in the row
  await cut;
  await server.start();
  assert.equal((await patch(url, 5 * MIB, bytes.subarray(5 * MIB))).status, 204);
  assert.equal((await scrape(server.url)).find('tus_relay_writer_takeovers_total'), 1);
});

test('with METRICS_TOKEN only its bearer reads them', async (t) => {
  const token = 'a-token-of-32-characters-for-tests';
  const server = await startServerProcess(t, { env: { METRICS_TOKEN: token } });
  await assert.rejects(scrape(server.url), /403/);
  const seen = await scrape(server.url, { Authorization: `Bearer ${token}` });
  assert.equal(seen.find('tus_relay_catalog_up'), 1);
  assert.ok(!server.output.includes(token));
});
