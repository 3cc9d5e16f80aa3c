import assert from 'node:assert/strict';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { after, before, type TestContext, test } from 'node:test';
import pg from 'pg';
import { PostgresMessages } from '../../src/catalog/postgres-messages.ts';
import type { FileEvent } from '../../src/pipeline/event-bus.ts';
import { PostgresEventBus } from '../../src/pipeline/postgres-event-bus.ts';
import { type PostgresServer, startPostgres } from '../support/services/start-postgres.ts';
import { until } from './support/until.ts';

let server: PostgresServer;
before(async () => {
  server = await startPostgres();
});
after(() => server.stop());

interface TestBus {
  bus: PostgresEventBus;
  messages: PostgresMessages;
  heard: FileEvent[];
  log: string[];
}

function openBus(t: TestContext, url = server.url): TestBus {
  const log: string[] = [];
  const logger = { info: () => log.push('info'), warn: () => log.push('warn') };
  const messages = new PostgresMessages(url, logger as never);
  const bus = new PostgresEventBus(messages, (error) => {
    throw error;
  });
  messages.start();
  t.after(async () => {
    await bus.close();
    await messages.close();
  });
  const heard: FileEvent[] = [];
  bus.subscribe((event) => heard.push(event));
  return { bus, messages, heard, log };
}

async function openConnectedBuses(t: TestContext, count: number): Promise<TestBus[]> {
  const buses = Array.from({ length: count }, () => openBus(t));
  await untilConnected(...buses);
  return buses;
}

async function untilConnected(...buses: TestBus[]): Promise<void> {
  for (const { messages } of buses) await until('the bus is connected', () => messages.connected);
}

function progress(uploadId: string, offset: number): FileEvent {
  return { type: 'progress', uploadId, offset, length: 1_000 };
}

const finished: FileEvent = { type: 'finished', fileId: 'a-file' };
const theEnd: FileEvent = { type: 'deleted', fileId: 'the-end' };

/** All that was sent before has arrived when this has. */
async function untilTheEnd(from: TestBus, ...listening: TestBus[]): Promise<void> {
  from.bus.publish(theEnd);
  for (const { heard } of listening) {
    await until('the last event is there', () => JSON.stringify(heard.at(-1)) === JSON.stringify(theEnd));
    heard.pop();
  }
}

test('an event is heard on its own node at once, and once on every other', async (t) => {
  const [one, two, three] = (await openConnectedBuses(t, 3)) as [TestBus, TestBus, TestBus];
  one.bus.publish(finished);
  assert.deepEqual(one.heard, [finished]);
  await untilTheEnd(one, two, three);
  assert.deepEqual(two.heard, [finished]);
  assert.deepEqual(three.heard, [finished]);
  two.bus.publish({ type: 'thumbnails', fileId: 'back' });
  await until('it comes back', () => one.heard.length === 3);
  assert.deepEqual(one.heard, [finished, theEnd, { type: 'thumbnails', fileId: 'back' }]);
});

test('of much progress the other nodes hear little, but the last of it', async (t) => {
  const [one, two] = (await openConnectedBuses(t, 2)) as [TestBus, TestBus];
  for (let offset = 1; offset <= 1_000; offset += 1) {
    for (const id of ['x', 'y']) one.bus.publish(progress(id, offset));
  }
  assert.equal(one.heard.length, 2_000);
  await until('the last is there', () => two.heard.length >= 2);
  await untilTheEnd(one, two);
  assert.deepEqual(two.heard, [progress('x', 1_000), progress('y', 1_000)]);
});

test('progress does not come after the end', async (t) => {
  const [one, two] = (await openConnectedBuses(t, 2)) as [TestBus, TestBus];
  one.bus.publish(progress('a-file', 999));
  one.bus.publish(finished);
  one.bus.publish(progress('other', 1));
  await until('the other upload’s progress is there', () => two.heard.length === 2);
  assert.deepEqual(two.heard, [finished, progress('other', 1)]);
});

test('progress that another node tells after the end reaches nobody', async (t) => {
  const [one, two, three] = (await openConnectedBuses(t, 3)) as [TestBus, TestBus, TestBus];
  const ended: FileEvent = { type: 'ended', uploadId: 'a-file', state: 'terminated' };
  // Both are on their way at the same time: the progress waits for its turn, the end goes out first.
  one.bus.publish(progress('a-file', 999));
  two.bus.publish(ended);
  await until('the end has arrived', () => one.heard.length === 2);
  one.bus.publish(progress('a-file', 1_000));
  one.bus.publish(progress('other', 1));
  await until('the other upload’s progress is there', () => three.heard.length === 2);
  assert.deepEqual(three.heard, [ended, progress('other', 1)]);
  assert.deepEqual(two.heard, three.heard);
  assert.deepEqual(one.heard, [progress('a-file', 999), ended, progress('other', 1)]);
});

test('more events at once than one message holds all arrive, in their order', async (t) => {
  const [one, two] = (await openConnectedBuses(t, 2)) as [TestBus, TestBus];
  const many = Array.from({ length: 1_000 }, (_, index): FileEvent => ({ type: 'finished', fileId: `file-${index}` }));
  for (const event of many) one.bus.publish(event);
  await untilTheEnd(one, two);
  assert.deepEqual(two.heard, many);
});

test('what strangers say on the channel disturbs nobody', async (t) => {
  const [one, two] = (await openConnectedBuses(t, 2)) as [TestBus, TestBus];
  const stranger = new pg.Client({ connectionString: server.url });
  await stranger.connect();
  for (const payload of ['', 'hello', '{"from":"x","events":[{"type":"finished"}]}']) {
    await stranger.query(`SELECT pg_notify('tus_relay_events', $1)`, [payload]);
  }
  await stranger.end();
  await untilTheEnd(one, two);
  assert.deepEqual(two.heard, []);
});

test('a connection that the server ends is made again, and what happened meanwhile is told then', async (t) => {
  const [one, two] = (await openConnectedBuses(t, 2)) as [TestBus, TestBus];
  const admin = new pg.Client({ connectionString: server.url });
  await admin.connect();
  await admin.query(
    `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tus-relay-messages'`,
  );
  await admin.end();
  await until('the loss is noticed', () => !one.messages.connected && !two.messages.connected);
  await untilConnected(two);
  one.bus.publish(finished);
  await untilConnected(one);
  await until('it has arrived', () => two.heard.length === 2);
  assert.deepEqual(two.heard, [{ type: 'missed' }, finished]);
});

test('Postgres restarted: publishing goes on, each loss is logged once, and the nodes find together again', async (t) => {
  const own = await startPostgres();
  t.after(() => own.stop());
  const buses = [openBus(t, own.url), openBus(t, own.url)];
  const [one, two] = buses as [TestBus, TestBus];
  await untilConnected(one, two);
  await own.down('immediate');
  await until('the loss is noticed', () => !one.messages.connected && !two.messages.connected);
  one.bus.publish(finished);
  one.bus.publish(progress('x', 5));
  assert.deepEqual(one.heard, [finished, progress('x', 5)]);
  await own.up();
  await untilConnected(one, two);
  await until('the log says so', () => buses.every(({ log }) => log.includes('info')));
  for (const { log } of buses) assert.deepEqual(log, ['warn', 'info']);
  two.bus.publish({ type: 'thumbnails', fileId: 'after' });
  await until('it has arrived', () => one.heard.length === 4);
  assert.deepEqual(one.heard.slice(2), [{ type: 'missed' }, { type: 'thumbnails', fileId: 'after' }]);
  assert.deepEqual(two.heard[0], { type: 'missed' }, 'and nothing of the progress, which is old by now');
});

test('without Postgres at the start, a node hears itself and takes Postgres in use when it comes', async (t) => {
  const own = await startPostgres();
  t.after(() => own.stop());
  await own.down();
  const one = openBus(t, own.url);
  await until('it is said', () => one.log.length === 1);
  one.bus.publish(finished);
  assert.deepEqual(one.heard, [finished]);
  await own.up();
  await untilConnected(one);
  const two = openBus(t, own.url);
  await untilConnected(two);
  await untilTheEnd(one, two);
});

test('a URL that cannot be right keeps nobody from publishing or closing', async (t) => {
  const { bus, messages, heard } = openBus(t, 'postgres://127.0.0.1:99999/x');
  bus.publish(finished);
  assert.deepEqual(heard, [finished]);
  for (const it of [bus, messages, bus, messages]) await it.close();
});

test('a close does not wait for a server that accepts connections and says nothing', async (t) => {
  const silent = createServer(() => {});
  const sockets = new Set<Socket>();
  silent.on('connection', (socket) => sockets.add(socket));
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    silent.close();
  });
  const { bus, messages } = openBus(t, `postgres://127.0.0.1:${(silent.address() as AddressInfo).port}/x`);
  await until('it has connected', () => sockets.size > 0);
  const startedAt = performance.now();
  await bus.close();
  await messages.close();
  assert.ok(performance.now() - startedAt < 3_000);
});

test('the last event before a close still goes out', async (t) => {
  const [one, two] = (await openConnectedBuses(t, 2)) as [TestBus, TestBus];
  for (let index = 0; index < 20; index += 1) one.bus.publish({ type: 'finished', fileId: `file-${index}` });
  await one.bus.close();
  await one.messages.close();
  await until('all are there', () => two.heard.length === 20);
  one.bus.publish(finished);
  assert.equal(one.heard.at(-1), finished);
});
