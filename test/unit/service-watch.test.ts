import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createLogger } from '../../src/observability/logger.ts';
import { ServiceWatch } from '../../src/observability/service-watch.ts';

function watched() {
  const said: string[] = [];
  const log = (level: string) => (_fields: object, message: string) => said.push(`${level}: ${message}`);
  const logger = { info: log('info'), error: log('error') } as unknown as ConstructorParameters<typeof ServiceWatch>[1];
  return { watch: new ServiceWatch('storage', logger), said };
}

test('losing a service and finding it again is said once each, whoever notices', () => {
  const { watch, said } = watched();
  watch.failed({});
  watch.failed({});
  watch.found();
  assert.deepEqual(said, [], 'two failures are no outage');
  for (let count = 0; count < 10; count += 1) watch.failed({});
  watch.lost({});
  assert.deepEqual(said, ['error: the storage does not answer: this node is not ready']);
  watch.found();
  watch.found();
  assert.deepEqual(said.slice(1), ['info: the storage answers again']);
  watch.lost({});
  assert.equal(said.length, 3);
});

test('an error that is a plain object, as pg-boss throws them, is logged in its words and nothing else of it', () => {
  const lines: string[] = [];
  const logger = createLogger('info', { write: (line: string) => void lines.push(line) });
  logger.warn({ err: { message: 'no such queue', queue: 'thumbnail', data: { secret: 'hunter2' } } }, 'failed');
  logger.warn({ err: { data: 'hunter2' } }, 'failed');
  const [first, second] = lines.map((line) => JSON.parse(line));
  assert.deepEqual(first.err, { message: 'no such queue', queue: 'thumbnail' });
  assert.deepEqual(second.err, { message: 'something without a message: data' });
  assert.ok(!lines.join('').includes('hunter2'));
});
