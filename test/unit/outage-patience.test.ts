import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DatabaseUnavailableError } from '../../src/catalog/database-errors.ts';
import { OutagePatience } from '../../src/catalog/outage-patience.ts';

/** Far longer than what a test waits for. */
const LONG_MS = 60_000;
const SHORT_MS = 1_500;

const away = () => new DatabaseUnavailableError('refused', 'away');

/** A connect that fails so many times, and counts how often it is tried. */
function connectAfter(failures: number, error: () => Error = away) {
  const connect = Object.assign(
    async () => {
      connect.tries += 1;
      if (connect.tries <= failures) throw error();
      return 'connected';
    },
    { tries: 0 },
  );
  return connect;
}

function begun(waitMs: number): OutagePatience {
  const patience = new OutagePatience(waitMs);
  patience.begin();
  return patience;
}

test('a database that is back in a moment is waited for', async () => {
  const connect = connectAfter(3);
  assert.equal(await begun(LONG_MS).connect(connect), 'connected');
  assert.equal(connect.tries, 4);
});

test('whoever starts, or closes, does not wait', async () => {
  const patience = new OutagePatience(LONG_MS);
  const starting = connectAfter(1);
  await assert.rejects(patience.connect(starting), DatabaseUnavailableError);
  patience.begin();
  patience.end();
  const closing = connectAfter(1);
  await assert.rejects(patience.connect(closing), DatabaseUnavailableError);
  assert.deepEqual([starting.tries, closing.tries], [1, 1]);
});

test('what no waiting can help is thrown at once', async () => {
  const connect = connectAfter(1, () => new TypeError('no such thing'));
  await assert.rejects(begun(LONG_MS).connect(connect), TypeError);
  assert.equal(connect.tries, 1);
});

test('an outage is waited for once, not by each statement; the next outage is another one', async () => {
  const patience = begun(SHORT_MS);
  const first = connectAfter(Number.POSITIVE_INFINITY);
  await assert.rejects(patience.connect(first), DatabaseUnavailableError);
  assert.ok(first.tries > 1, `${first.tries} tries`);
  const second = connectAfter(1);
  await assert.rejects(patience.connect(second), DatabaseUnavailableError);
  assert.equal(second.tries, 1);
  await patience.connect(connectAfter(0));
  const third = connectAfter(2);
  assert.equal(await patience.connect(third), 'connected');
  assert.equal(third.tries, 3);
});

test('that the database goes away, and is back, is said once each', async () => {
  const said: (string | null)[] = [];
  const patience = new OutagePatience(LONG_MS, (problem) => said.push(problem?.message ?? null));
  await assert.rejects(patience.connect(connectAfter(1)), DatabaseUnavailableError);
  patience.begin();
  await patience.connect(async () => 'connected');
  said.length = 0; // a start tells by itself
  const connect = connectAfter(5);
  await Promise.all([patience.connect(connect), patience.connect(connect)]);
  assert.deepEqual(said, ['away', null]);
});
