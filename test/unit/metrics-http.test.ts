import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type ClientRequest, request } from 'node:http';
import { text } from 'node:stream/consumers';
import { type TestContext, test } from 'node:test';
import { createMetrics } from '../../src/observability/metrics.ts';
import { Scrape } from '../support/read-metrics.ts';
import { serveApp } from '../support/serve-app.ts';

async function serveMeasured(t: TestContext) {
  const { http, registry } = createMetrics();
  const bodyBegan = Promise.withResolvers<void>();
  const { url } = await serveApp(t, {
    requestMetrics: http,
    tus: {
      async handle(incoming, response) {
        incoming.once('data', () => bodyBegan.resolve());
        await text(incoming).catch(() => {});
        if (!response.destroyed) response.writeHead(204).end();
      },
    },
  });
  return { url, bodyBegan: bodyBegan.promise, scrape: async () => new Scrape(await registry.metrics()) };
}

function openPatch(url: string): ClientRequest {
  return request(`${url}/files/x`, { method: 'PATCH', agent: false, headers: { 'Content-Length': 1_000_000 } });
}

const COUNT = 'tus_relay_http_request_duration_seconds_count';

test('requests are counted by area, method and class of status', async (t) => {
  const { url, scrape } = await serveMeasured(t);
  await (await fetch(`${url}/livez`)).text();
  await (await fetch(`${url}/api/config`)).text();
  await (await fetch(`${url}/api/nothing`)).text();
  await (await fetch(`${url}/files/x`, { method: 'HEAD' })).text();
  await (await fetch(`${url}/files/x`, { method: 'HEAD' })).text();
  const seen = await scrape();
  assert.equal(seen.find(`${COUNT}{area="other",method="GET",status="2xx"}`), 1);
  assert.equal(seen.find(`${COUNT}{area="api",method="GET",status="2xx"}`), 1);
  assert.equal(seen.find(`${COUNT}{area="api",method="GET",status="4xx"}`), 1);
  assert.equal(seen.find(`${COUNT}{area="tus",method="HEAD",status="2xx"}`), 2);
  assert.equal(seen.sum(COUNT), 5);
});

test('neither paths nor strange methods make series of their own', async (t) => {
  const { url, scrape } = await serveMeasured(t);
  for (const path of ['a', 'b', 'c']) await (await fetch(`${url}/${path}?q=${path}`)).text();
  await (await fetch(`${url}/d`, { method: 'PROPFIND' })).text();
  const counts = (await scrape()).series.filter((series) => series.startsWith(COUNT));
  assert.deepEqual(counts.sort(), [
    `${COUNT}{area="other",method="GET",status="4xx"}`,
    `${COUNT}{area="other",method="other",status="4xx"}`,
  ]);
});

test('a body that is still coming in is counted as it comes, and the request as running', async (t) => {
  const { url, bodyBegan, scrape } = await serveMeasured(t);
  const patch = openPatch(url);
  patch.write(Buffer.alloc(600_000));
  await bodyBegan;
  const before = await scrape();
  assert.ok(before.sum('tus_relay_http_received_bytes_total') > 0);
  assert.equal(before.find('tus_relay_http_requests_running{area="tus"}'), 1);
  patch.end(Buffer.alloc(400_000));
  const [response] = await once(patch, 'response');
  await once(response.resume(), 'end');
  const received = (await scrape()).sum('tus_relay_http_received_bytes_total');
  assert.ok(received >= 1_000_000 && received < 1_010_000, String(received));
  assert.equal((await scrape()).find('tus_relay_http_requests_running{area="tus"}'), 0);
});

test('a client that leaves before its answer is counted as gone, its bytes too', async (t) => {
  const { url, bodyBegan, scrape } = await serveMeasured(t);
  const patch = openPatch(url).on('error', () => {});
  patch.write(Buffer.alloc(50_000));
  await bodyBegan;
  patch.destroy();
  const gone = `${COUNT}{area="tus",method="PATCH",status="gone"}`;
  let seen = await scrape();
  while (seen.find(gone) === undefined) {
    await (await fetch(`${url}/livez`)).text(); // a round trip, so that the server gets to see the end
    seen = await scrape();
  }
  assert.equal(seen.find(gone), 1);
  assert.equal(seen.find('tus_relay_http_requests_running{area="tus"}'), 0);
  assert.ok(seen.sum('tus_relay_http_received_bytes_total') > 0);
});

test('two nodes in one process do not share their metrics', async (t) => {
  const [first, second] = [await serveMeasured(t), await serveMeasured(t)];
  await (await fetch(`${first.url}/livez`)).text();
  assert.equal((await first.scrape()).sum(COUNT), 1);
  assert.equal((await second.scrape()).sum(COUNT), 0);
});
