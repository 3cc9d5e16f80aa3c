import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type CatalogSample, CatalogSampler } from '../../src/app/catalog-sampler.ts';

const sample: CatalogSample = { uploadsByState: new Map([['open', 3]]), undeleted: 0, jobs: [] };

test('scrapes within fifteen seconds share one query', async () => {
  let queries = 0;
  let nowMs = 0;
  const sampler = new CatalogSampler(
    async () => {
      queries += 1;
      return sample;
    },
    () => nowMs,
  );
  await Promise.all([sampler.sample(), sampler.sample()]);
  nowMs = 14_999;
  assert.equal(await sampler.sample(), sample);
  assert.equal(queries, 1);
  nowMs = 15_000;
  await sampler.sample();
  assert.equal(queries, 2);
});

test('a catalog that refuses the query leaves the scrape without its figures', async () => {
  const sampler = new CatalogSampler(async () => {
    throw new Error('the database is gone');
  });
  assert.equal(await sampler.sample(), null);
});

test('a catalog that does not answer does not hold the scrape up for ever', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const sampler = new CatalogSampler(() => new Promise(() => {}));
  const asked = sampler.sample();
  t.mock.timers.tick(3_000);
  assert.equal(await asked, null);
});
